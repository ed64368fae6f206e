"""Many runs at once: ablation, folds, seeds and search, each a folder of ordinary runs that goes on where it was.

What they share is in ``series``. They are generic over the configuration and know nothing of transfer: what a run of theirs
has besides, they are given as a function from its options to its callbacks.
"""
