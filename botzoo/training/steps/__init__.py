"""How steps are taken: batches, objective and optimizer, the learning rate of each step, and the evaluation between epochs."""
