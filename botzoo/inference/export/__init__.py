"""Trained networks in the form of other programs, one form a file; what is written has answered as the network does.

Imports the folder above. A new form is a file here and a line in ``formats.py``.
"""
