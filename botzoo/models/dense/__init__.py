"""Networks for boxes and masks on the body of any of timm's networks: Faster R-CNN with FPN, FCN, and an FPN for masks.

A body is a classifier without its head, with the same weights; what is put on it is torchvision's or small. Imports
the networks and weights of the folder above, and nothing of data or training.
"""
