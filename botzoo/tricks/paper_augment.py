"""The paper's training augmentation (section 2.1), in its order; images are RGB in 0..255, in floating point from 3 on.

1. A random crop, aspect ratio ~ U[3/4, 4/3], area ~ U[8 %, 100 %] of the image, resized to the input's size.
2. A horizontal flip with probability 0.5.
3. Hue, saturation and brightness are scaled by h, s, b ~ U[0.6, 1.4].
4. PCA noise: ``x + E (alpha * lambda)`` with three alphas ~ N(0, 0.1), one for each principal component.
5. Normalisation: ``(x - mean) / std`` of each channel.

Steps 3 to 5 leave values outside 0..255 as they are: the paper works in 32-bit floating point and names no clipping.

The paper does not say how a hue, an angle without a natural zero, is scaled. Multiplied as in HSV, reds just above 0
degrees would stay and reds just below 360 go elsewhere, which tears even areas apart. Here h turns the chrominance
(I, Q) of the YIQ colour space by ``theta = pi * (h - 1)``, 72 degrees at most either way, as MXNet, the paper's
framework, does for a hue jitter of 0.4 (``HueJitterAug``). With the luma ``y = .299 R + .587 G + .114 B`` of each
pixel, saturation gives ``y + s * (x - y)`` and brightness ``b * x``. In YIQ the three are ``Y -> b Y`` and
``I + jQ -> b s exp(j theta) (I + jQ)``, so their order does not matter, and an image's steps 3 to 5 are one affine map
of its pixels.
"""

import math
from functools import cache
from random import Random

import torch
from torch import Tensor

CROP_MIN = 0.08  # smallest area of the crop, as a share of the image

MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
STD = (58.393 / 255, 57.12 / 255, 57.375 / 255)
"""Of each RGB channel, on the scale 0..1."""

EIGENVALUES = (55.46, 4.794, 1.148)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
"""lambda and E of the PCA noise, on the scale 0..255; rows R, G, B, one column for each eigenvalue."""

TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""RGB to the NTSC's luma and chrominance; a grey pixel has no chrominance."""


def aspect_ratio(rng: Random) -> float:
    """Draw the width of a crop over its height, uniform in [3/4, 4/3]."""
    return rng.uniform(3 / 4, 4 / 3)


def draw_colour(rng: Random) -> tuple[float, ...]:
    """Draw the colour parameters of one image: h, s, b ~ U[0.6, 1.4] and three alphas ~ N(0, 0.1)."""
    return (*(rng.uniform(0.6, 1.4) for _ in range(3)), *(rng.gauss(0, 0.1) for _ in range(3)))


def paper_augment(images: Tensor, colour: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return ``images`` after steps 3 to 5, as one pass over the batch on its device.

    Args:
        images: uint8, shape (N, 3, H, W), fastest with the channels last in memory.
        colour: floating point, shape (N, 6): h, s, b and the three alphas of each image.
        mean, std: of each RGB channel, on the scale 0..1.

    Returns:
        Shape (N, 3, H, W), channels last in memory, of colour's dtype.
    """
    n, _, height, width = images.shape
    basis, noise, offset = _constants(tuple(mean), tuple(std), colour.device, colour.dtype)
    hue, saturation, brightness = colour[:, :3].unbind(1)
    theta, chroma = math.pi * (hue - 1), brightness * saturation
    weights = torch.stack([brightness, chroma * theta.cos(), chroma * theta.sin()], 1)
    matrix = (weights @ basis).view(n, 3, 3)
    shift = torch.addmm(offset, colour[:, 3:], noise)
    pixels = images.permute(0, 2, 3, 1).reshape(n, height * width, 3).to(colour.dtype)
    mapped = torch.bmm(pixels, matrix).add_(shift[:, None])
    return mapped.view(n, height, width, 3).permute(0, 3, 1, 2)


@cache
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the affine maps are made of, for pixels as rows and with the normalisation folded in.

    ``x -> b (L x + s cos(theta) (x - L x) + s sin(theta) T x)`` is steps 3: L takes a pixel to its luma, T turns the
    chrominance by 90 degrees.

    Returns:
        L, 1 - L and T as rows of 9, shape (3, 9); the PCA noise of a unit alpha each, (3, 3); the offset, (3,).
    """
    to_yiq = torch.tensor(TO_YIQ, dtype=torch.float64)
    luma = torch.linalg.solve(to_yiq, torch.diag(torch.tensor([1.0, 0, 0], dtype=torch.float64)) @ to_yiq)
    turn = torch.linalg.solve(to_yiq, torch.tensor([[0, 0, 0], [0, 0, -1.0], [0, 1, 0]], dtype=torch.float64) @ to_yiq)
    basis = torch.stack([luma, torch.eye(3, dtype=torch.float64) - luma, turn]).mT
    noise = (torch.tensor(EIGENVECTORS, dtype=torch.float64) * torch.tensor(EIGENVALUES, dtype=torch.float64)).mT
    scale = 255 * torch.tensor(std, dtype=torch.float64)
    offset = -255 * torch.tensor(mean, dtype=torch.float64) / scale
    basis, noise = (basis / scale).reshape(3, 9), noise / scale
    return basis.to(device, dtype), noise.to(device, dtype), offset.to(device, dtype)
