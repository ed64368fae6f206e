"""Using trained networks: what there is, what a network looks like inside, and what it says of an image."""
