"""Trained networks at work on new images. Imports results and what is above."""
