"""How a data set lies on the disk: which folders are splits and which are classes, what names tell of them, and archives.

What is here may use ``base``, ``files`` and ``folders`` of the folder above; ``find`` asks it, and tables ask ``split_names``.
"""
