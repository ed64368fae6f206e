"""The model card and the files beside it, made from a run's record."""
