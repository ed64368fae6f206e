"""What transfer adds to training: frozen stages, layer-wise learning rates, features in the place of images."""
