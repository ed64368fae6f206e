"""What is predicted: targets and loss, the figures of an evaluation, and the words for them.

Imports data and what is above it.
"""
