"""What is published of a model: the figure, the images it is of, and the weights that it was measured on.

It stands in the front matter of a card (``model-index``), and beside the weights that come with the package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from botzoo.errors import CheckpointError
from botzoo.models.pretrained import Weights
from botzoo.tasks.classification import SingleLabel, wilson
from botzoo.tasks.multi_label import MultiLabel

CARD_BYTES = 4 << 20

IMAGENET = 50_000
"""Validation images of ImageNet-1k."""

FIGURES = {task.metric: task.figure for task in (SingleLabel, MultiLabel)}
"""The figures that are claimed: the name that the Hub has for each, and ours."""


@dataclass(frozen=True)
class Claim:
    """A published figure.

    Attributes:
        dataset: Hub id, or name of the folder.
        role: "test" or "validation"; which of the run's splits.
        images: how many it is of.
        value: in per cent.
        low, high: its 95 % interval, in per cent.
        images_sha256: fingerprint of those images and their labels, None where it was not published.
        weights_sha256: SHA-256 of the file of weights, None where it was not published.
        metric: which figure, as the Hub names it, one of ``FIGURES``.
    """

    dataset: str
    role: str
    images: int
    value: float
    low: float
    high: float
    images_sha256: str | None = None
    weights_sha256: str | None = None
    metric: str = SingleLabel.metric

    @property
    def figure(self) -> str:
        """Which figure, in words: top-1 or mAP."""
        return FIGURES[self.metric]


def metric_args(
    role: str, images: int, interval: tuple[float, float], images_sha256: str, weights_sha256: str
) -> dict[str, Any]:
    """Return what a card's front matter says of a figure besides its value."""
    return {
        "images": images,
        "interval_95": [round(bound, 3) for bound in interval],
        "split": role,
        "images_sha256": images_sha256,
        "weights_sha256": weights_sha256,
    }


def claim_in_card(card: Path) -> Claim | None:
    """Return the figure of ``FIGURES`` that a card's front matter claims, None where it has none with its images.

    Raises:
        CheckpointError: the file is too large for a card, or no card.
    """
    if card.stat().st_size > CARD_BYTES:
        raise CheckpointError(f"{card} has {card.stat().st_size:,} bytes, too many for a card.")
    try:
        data: Any = ModelCard(card.read_text(encoding="utf-8")).data
        found = [result for result in data.eval_results or [] if result.metric_type in FIGURES and result.metric_args]
        return _claim(found[0]) if found else None
    except Exception as error:  # YAML's errors, and others for values that are not what they should be
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise CheckpointError(f"{card} is not a model card that can be read ({reason}).") from error


def _claim(result: EvalResult) -> Claim:
    args: Mapping[str, Any] = result.metric_args or {}
    low, high = (float(bound) for bound in args["interval_95"])
    return Claim(
        str(result.dataset_type),
        str(args.get("split", "validation")),
        int(args["images"]),
        float(result.metric_value),
        low,
        high,
        args.get("images_sha256") and str(args["images_sha256"]),
        args.get("weights_sha256") and str(args["weights_sha256"]),
        result.metric_type,
    )


def claim_in_table(weights: Weights) -> Claim | None:
    """Return what is claimed of weights in our table: with their images where they come with the package, else on ImageNet."""
    beside = weights.path.with_suffix(".json") if weights.path else None
    if beside is not None:
        return _from_json(json.loads(beside.read_text(encoding="utf-8"))["claim"])
    if weights.top1 is None or weights.num_classes != 1000:
        return None
    low, high = wilson(round(weights.top1 / 100 * IMAGENET), IMAGENET)
    return Claim("imagenet-1k", "validation", IMAGENET, weights.top1, low, high)


def _from_json(claim: Mapping[str, Any]) -> Claim:
    """Return the claim of a file beside weights; the value was called top1 while there were no other figures."""
    return Claim(**{"value" if key == "top1" else key: value for key, value in claim.items()})
