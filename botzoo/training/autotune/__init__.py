"""What a run finds out by trying: time budget, batch size, micro-batch, learning-rate range, memory."""
