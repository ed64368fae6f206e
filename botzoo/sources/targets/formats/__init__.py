"""The files in which boxes come: one kind, one file, and what several of them need to be read.

May use ``boxes``, ``assemble`` and ``pictures`` of the folder above; ``find`` asks it.
"""
