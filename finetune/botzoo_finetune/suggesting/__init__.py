"""What to label next: unlabelled images of a folder, ranked by what a probe on frozen features does not know."""
