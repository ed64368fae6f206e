"""The bag of tricks: one file a trick, under the paper's name for it (He et al., 2018, arXiv:1812.01187)."""
