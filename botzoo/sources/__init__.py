"""One kind of data, one file; ``find`` picks the one that a name means. A new kind is a file here and its line in ``find``."""
