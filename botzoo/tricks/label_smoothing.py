"""Label smoothing (section 5.2, equation 4; Szegedy et al., 2016)."""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F


def label_smoothing(labels: Tensor, num_classes: int, eps: float, over: Literal["others", "all"] = "others") -> Tensor:
    """Return target probabilities: ``1 - eps`` for the true class and ``eps / (K - 1)`` for each other one.

    timm and torch spread eps over all K classes instead, the true one too: ``over="all"`` does as they do, and equals
    ``eps * (K - 1) / K`` over the others.

    Args:
        labels: int64, shape (N,), values in [0, K).
        num_classes: K >= 2.
        eps: in [0, 1); 0.1 in the paper, 0 gives one-hot targets.

    Returns:
        float32, shape (N, K), rows sum to 1.
    """
    one_hot = F.one_hot(labels, num_classes).float()
    if over == "all":
        return one_hot * (1 - eps) + eps / num_classes
    off_value = eps / (num_classes - 1)
    return one_hot * (1 - eps - off_value) + off_value
