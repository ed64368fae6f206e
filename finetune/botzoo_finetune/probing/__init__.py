"""What frozen features say before any training: linear probe, comparison of networks, first look."""
