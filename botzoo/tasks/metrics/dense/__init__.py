"""Figures of boxes and masks, as pure functions of what was found and what is there: average precision of COCO and of Pascal
VOC, intersection over union and pixel accuracy, and their intervals from statistics of each image.

Imports what ``botzoo.sources.targets`` says of boxes and masks, and no network.
"""
