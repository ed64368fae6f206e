"""The paper's colours against each step in float64, torchvision and the standard library; the draws against their laws."""

import colorsys
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import kstest
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from botzoo.tricks.paper_augment import (
    EIGENVALUES,
    EIGENVECTORS,
    MEAN,
    STD,
    TO_YIQ,
    aspect_ratio,
    draw_colour,
    paper_augment,
)

AS_IT_IS = (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)
"""Mean and std that leave 0..255 alone."""


def pixels(n: int, low: int = 0, high: int = 256, size: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(low, high, (n, size, size, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)


def colour(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def changed(images: Tensor, **parameters: Any) -> Tensor:
    """The images with these parameters of all of them, in 0..255."""
    values = {"hue": 1.0, "saturation": 1.0, "brightness": 1.0, "alphas": (0.0, 0.0, 0.0), **parameters}
    row = (values["hue"], values["saturation"], values["brightness"], *values["alphas"])
    return paper_augment(images, colour(*[row] * len(images)), *AS_IT_IS)


def step_by_step(image: Tensor, parameters: tuple[float, ...]) -> NDArray[np.float64]:
    """Steps 3 to 5 of the docstring, one after the other, in float64."""
    hue, saturation, brightness, *alphas = parameters
    x = image.permute(1, 2, 0).double().numpy()
    yiq = x @ np.array(TO_YIQ).T
    chrominance = (yiq[..., 1] + 1j * yiq[..., 2]) * np.exp(1j * math.pi * (hue - 1))
    x = np.stack([yiq[..., 0], chrominance.real, chrominance.imag], -1) @ np.linalg.inv(np.array(TO_YIQ)).T
    luma = x @ np.array(TO_YIQ[0])
    x = luma[..., None] + saturation * (x - luma[..., None])
    x = brightness * x
    x = x + np.array(EIGENVECTORS) @ (np.array(alphas) * np.array(EIGENVALUES))
    return ((x - [123.68, 116.779, 103.939]) / [58.393, 57.12, 57.375]).transpose(2, 0, 1)


def drawn(count: int) -> NDArray[np.float64]:
    rng = random.Random(0)
    return np.array([draw_colour(rng) for _ in range(count)])


def test_the_one_map_is_the_steps_one_after_the_other() -> None:
    images, parameters = pixels(20), drawn(20)
    ours = paper_augment(images, torch.from_numpy(parameters), MEAN, STD)
    for i in range(20):
        np.testing.assert_allclose(ours[i].numpy(), step_by_step(images[i], tuple(parameters[i])), rtol=0, atol=1e-9)


def test_in_float32_it_is_the_same_up_to_rounding() -> None:
    images, parameters = pixels(8), torch.from_numpy(drawn(8))
    single = paper_augment(images, parameters.float(), MEAN, STD)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), paper_augment(images, parameters, MEAN, STD), rtol=0, atol=1e-5)


def test_with_factors_of_1_and_no_noise_it_only_normalises() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ours = paper_augment(pixels(2), colour(*[(1, 1, 1, 0, 0, 0)] * 2), mean, std)
    torch.testing.assert_close(ours, F.normalize(pixels(2).double() / 255, mean, std))


@pytest.mark.parametrize("factor", [0.6, 0.9, 1.4])
def test_saturation_is_torchvisions(factor: float) -> None:
    images = pixels(4, 90, 160)  # far enough from the ends that nothing is clipped
    theirs = F.adjust_saturation(images.double() / 255, factor) * 255
    torch.testing.assert_close(changed(images, saturation=factor), theirs, rtol=0, atol=0.03)  # .2989 R there


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_brightness_is_torchvisions(factor: float) -> None:
    images = pixels(4, 0, 180)
    theirs = F.adjust_brightness(images.double() / 255, factor) * 255
    torch.testing.assert_close(changed(images, brightness=factor), theirs)


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.4])
def test_hue_turns_the_chrominance_and_keeps_the_luma(factor: float) -> None:
    images = torch.tensor([[200, 40, 90], [30, 220, 60]], dtype=torch.uint8)[:, :, None, None]
    for before, after in zip(images.squeeze().tolist(), changed(images, hue=factor).squeeze().tolist(), strict=True):
        (y, *iq), (turned_y, *turned_iq) = colorsys.rgb_to_yiq(*before), colorsys.rgb_to_yiq(*after)
        assert turned_y == pytest.approx(y, abs=1.5)
        assert complex(*turned_iq) / complex(*iq) == pytest.approx(np.exp(1j * math.pi * (factor - 1)), abs=0.03)


def test_grey_has_no_hue_and_no_saturation() -> None:
    grey = pixels(3)[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(changed(grey, hue=1.4, saturation=0.6), grey.double())


@pytest.mark.parametrize("k", [0, 1, 2])
def test_an_alpha_moves_every_pixel_along_its_eigenvector(k: int) -> None:
    moved = changed(pixels(2), alphas=tuple(np.eye(3)[k])) - pixels(2)
    expected = torch.tensor([EIGENVALUES[k] * row[k] for row in EIGENVECTORS], dtype=torch.float64)
    torch.testing.assert_close(moved, expected[:, None, None].expand(2, 3, 5, 5))


def test_the_noise_comes_after_the_three_factors() -> None:
    black, alphas = torch.zeros(1, 3, 2, 2, dtype=torch.uint8), (0.2, -0.1, 0.05)
    torch.testing.assert_close(
        changed(black, hue=0.6, saturation=1.4, brightness=0.7, alphas=alphas), changed(black, alphas=alphas)
    )


def test_nothing_is_clipped() -> None:
    white = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    assert changed(white, brightness=1.4).flatten().tolist() == pytest.approx([357] * 3)
    assert changed(torch.zeros_like(white), alphas=(1.0, 0.0, 0.0)).max() < -30


def test_each_image_has_its_own_colours() -> None:
    images, parameters = pixels(6), torch.from_numpy(drawn(6))
    together = paper_augment(images, parameters, MEAN, STD)
    alone = [paper_augment(images[i : i + 1], parameters[i : i + 1], MEAN, STD)[0] for i in range(6)]
    torch.testing.assert_close(together, torch.stack(alone))


def test_the_memory_format_is_channels_last_whatever_comes_in() -> None:
    last, parameters = pixels(2), torch.from_numpy(drawn(2))
    before, ours = last.clone(), paper_augment(last, parameters, MEAN, STD)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(paper_augment(last.contiguous(), parameters, MEAN, STD), ours)
    assert torch.equal(last, before)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_factors_are_uniform_from_06_to_14(k: int) -> None:
    assert kstest(drawn(4000)[:, k], "uniform", (0.6, 0.8)).pvalue > 0.01


@pytest.mark.parametrize("k", [3, 4, 5])
def test_alphas_are_normal_with_standard_deviation_01(k: int) -> None:
    assert kstest(drawn(4000)[:, k] / 0.1, "norm").pvalue > 0.01


def test_the_six_are_drawn_independently() -> None:
    correlation = np.corrcoef(drawn(4000).T)
    assert np.abs(correlation - np.eye(6)).max() < 4 / 4000**0.5


def test_aspect_ratios_are_uniform_and_not_log_uniform() -> None:
    rng = random.Random(0)
    ratios = [aspect_ratio(rng) for _ in range(4000)]
    assert kstest(ratios, "uniform", (3 / 4, 4 / 3 - 3 / 4)).pvalue > 0.01
    assert kstest(np.log(ratios), "uniform", (math.log(3 / 4), 2 * math.log(4 / 3))).pvalue < 1e-6


def test_the_eigenvectors_are_orthonormal() -> None:
    vectors = np.array(EIGENVECTORS)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-4)
