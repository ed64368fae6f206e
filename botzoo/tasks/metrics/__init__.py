"""The metrics that people choose by, as functions of an evaluation, and their intervals by resampling.

Imports nothing of the other tasks: an evaluation is whatever has their arrays.
"""
