"""A doctor for data: looks at a data set before anything is trained on it."""
