"""Zero gamma (section 3.1, "Zero gamma"): every residual block starts as the identity."""

from torch import nn


def zero_gamma(model: nn.Module, value: float = 0.0) -> int:
    """Set gamma of the last BatchNorm of every residual block to ``value``, in place; return how many were set.

    Args:
        model: a timm network; one without residual blocks is left as it is and 0 is returned.
        value: 0.0 for the trick, 1.0 for the ordinary initialisation that the paper compares it with.
    """
    gammas = last_gammas(model)
    for gamma in gammas:
        nn.init.constant_(gamma, value)
    return len(gammas)


def last_gammas(model: nn.Module) -> list[nn.Parameter]:
    """Return gamma of the last BatchNorm of every residual block, shape (C,) each.

    A residual block is any module with timm's ``zero_init_last`` method whose last normalisation is ``bn3`` or ``bn2``.
    """
    blocks = [module for module in model.modules() if hasattr(module, "zero_init_last")]
    # bn3 of a bottleneck, bn2 of a basic block
    last_norms = [getattr(block, "bn3", None) or getattr(block, "bn2", None) for block in blocks]
    return [gamma for norm in last_norms if (gamma := getattr(norm, "weight", None)) is not None]
