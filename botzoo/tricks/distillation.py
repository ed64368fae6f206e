"""Knowledge distillation (section 5.3; Hinton et al., 2015): learn a stronger network's answers besides the labels."""

from torch import Tensor
from torch.nn import functional as F


def distillation(
    logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float = 20.0, weight: float = 1.0
) -> Tensor:
    """Return ``l(p, softmax(z)) + weight * T^2 * l(softmax(r / T), softmax(z / T))``, l being the cross-entropy.

    T^2 makes up for the gradient of the second term, which shrinks with 1 / T^2.

    Args:
        logits, teacher_logits: z and r, of any float dtype, shape (N, K); no gradient flows into r.
        targets: p, float32 probabilities, shape (N, K).
        temperature: T > 0; 20 in the paper.
        weight: > 0; 1 in the paper.

    Returns:
        The mean over the batch, a float32 scalar in nats, computed in float32.
    """
    z, r = logits.float(), teacher_logits.detach().float() / temperature
    return F.cross_entropy(z, targets) + weight * temperature**2 * F.cross_entropy(z / temperature, r.softmax(1))


def distillation_floor(teacher_logits: Tensor, temperature: float = 20.0, weight: float = 1.0) -> Tensor:
    """Return ``weight * T^2 * H(softmax(r / T))``, H being the entropy: what the second term is for a perfect student.

    It has no gradient. What the second term is above it is ``weight * T^2`` times the Kullback-Leibler divergence.
    Arguments are as in ``distillation``; the mean over the batch is a float32 scalar in nats, ``weight * T^2 ln K`` at
    most, which is 1,842 for 100 classes and the paper's values.
    """
    r = teacher_logits.detach().float() / temperature
    return weight * temperature**2 * F.cross_entropy(r, r.softmax(1))
