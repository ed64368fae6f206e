"""The page of a finished run, report.html: how good the network is, where it errs, and what it learned from.

It is made of a ``RunRecord``, and of the images and the network where they can be had; whatever is gone since is said and
left out. This room stands above inference and explain; the hub, experiments and commands may import it.
"""
