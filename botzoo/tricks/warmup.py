"""Learning rate warmup (section 3.1, "Learning rate warmup"; Goyal et al., 2017)."""


def warmup(step: int, warmup_steps: int) -> float:
    """Return the factor on the learning rate at ``step``: ``i / m`` for the i-th of the first m batches, then 1.

    Args:
        step: optimizer steps taken so far, >= 0; the first batch of the paper, i = 1, is ``step`` 0 here.
        warmup_steps: m, the length of the warmup in steps; 0 for none.
    """
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
