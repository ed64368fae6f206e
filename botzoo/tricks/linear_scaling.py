"""Linear scaling of the learning rate with the batch size (section 3.1, "Linear scaling learning rate")."""


def linear_scaling(base_lr: float, batch_size: int, base_batch_size: int = 256) -> float:
    """Return ``base_lr * batch_size / base_batch_size``.

    A batch k times as large has gradients with a k-th of the variance, so its step may be k times as long.

    Args:
        base_lr: learning rate at ``base_batch_size``, > 0; the paper's is 0.1 for training from scratch.
        batch_size: images in one optimizer step, over all processes and accumulated micro-batches, >= 1.
    """
    return base_lr * batch_size / base_batch_size
