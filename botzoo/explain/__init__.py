"""Why a network answers as it does, and what it is made of: maps over images, pages of weights and of activations.

A network is watched from outside, on a copy, and never changed. Imports inference and what is above.
"""
