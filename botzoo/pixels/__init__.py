"""What stored images hold besides 8-bit RGB: more bits, other channels, transparency; how it becomes pixels of 8 bits, and
how these are made smaller.

Files are opened in ``botzoo.data.decode``, which calls what is here; imports from ``botzoo.models`` and below only.
"""
