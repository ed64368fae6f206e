"""No bias decay (section 3.1, "No bias decay"): weight decay only on the weights of convolutions and linear layers."""

from torch import nn


def no_bias_decay(parameter: nn.Parameter, weight_decay: float) -> float:
    """Return the parameter's weight decay: 0 for biases, gammas and betas (at most one dimension), else as given."""
    return 0.0 if parameter.ndim <= 1 else weight_decay
