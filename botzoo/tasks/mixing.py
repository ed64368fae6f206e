"""How the images of a step are mixed: by the paper's mixup, by timm's CutMix, or by either; a function of (seed, step)."""

import numpy as np
from timm.data.mixup import cutmix_bbox_and_lam
from torch import Tensor

from botzoo.tricks.mixup import mixup, mixup_lambda, partners

Box = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""

SWITCH = 0.5
"""Share of the steps that CutMix takes where both are on; timm's."""


def mix(
    images: Tensor, targets: Tensor, mixup_alpha: float, cutmix_alpha: float, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Return the mixed images and targets of a step, or the same where neither is on.

    Args:
        images: floating point, shape (N, C, H, W), in random order; N >= 2 where anything is mixed.
        targets: probabilities, shape (N, K).
        mixup_alpha, cutmix_alpha: of the Beta distribution of each, 0 for none.
        seed, step: all that lambda, the box and the choice between the two depend on.

    Raises:
        ConfigError: there is one image only.
    """
    if cutmix_alpha and (not mixup_alpha or _rng(seed, step, "switch").random() < SWITCH):
        return cutmix(images, targets, *cutmix_box(cutmix_alpha, seed, step, images.shape[2], images.shape[3]))
    if mixup_alpha:
        return mixup(images, targets, mixup_lambda(mixup_alpha, seed, step))
    return images, targets


def cutmix_box(alpha: float, seed: int, step: int, height: int, width: int) -> tuple[Box, float]:
    """Return timm's box for ``lambda ~ Beta(alpha, alpha)``, and the share of the image outside it: 1 where it is empty.

    Its sides are ``sqrt(1 - lambda)`` of the image's and its centre is uniform; what reaches beyond the image is cut off.
    """
    rng = _rng(seed, step, "cutmix")
    lam = rng.beta(alpha, alpha)
    before = np.random.get_state()  # timm draws from numpy's global generator
    try:
        np.random.seed(int(rng.integers(2**32)))
        box, outside = cutmix_bbox_and_lam((height, width), lam)
    finally:
        np.random.set_state(before)
    top, bottom, left, right = map(int, box)
    return (top, bottom, left, right), float(outside)


def cutmix(images: Tensor, targets: Tensor, box: Box, lam: float) -> tuple[Tensor, Tensor]:
    """Put what each image's partner shows inside ``box`` into the image (Yun et al., 2019).

    Args:
        images: any dtype, shape (N, C, H, W), N >= 2, in random order; left as they are.
        targets: probabilities, shape (N, K).
        box: in pixels.
        lam: share of the image outside the box, in [0, 1], and so of its own target.

    Raises:
        ConfigError: there is one image only.
    """
    top, bottom, left, right = box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = partners(images[:, :, top:bottom, left:right])
    return mixed, targets.lerp(partners(targets), 1 - lam)


def _rng(seed: int, step: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng((seed, step, *purpose.encode()))
