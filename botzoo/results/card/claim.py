"""What is published of a model: the figure, the images it is of, and the weights that it was measured on.

It stands in the front matter of a card (``model-index``), which the Hub's search reads, and beside the weights that come
with the package.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from botzoo.errors import CheckpointError
from botzoo.models.pretrained import Weights
from botzoo.results.record import RunRecord
from botzoo.tasks.classification import CLASSIFICATION, wilson
from botzoo.tasks.find import TASKS
from botzoo.util.text import brief, rounded_bounds
from botzoo.util.yaml_files import parse_yaml

CARD_BYTES = 4 << 20  # at most; a stranger's file may be of any size
IMAGENET = 50_000  # validation images of ImageNet-1k

FIGURES = {task.headline.metric: task.headline.figure for task in TASKS}
"""The figures that are claimed: the name that the Hub has for each, and ours."""

PIPELINES = {
    "classification": ("image-classification", "Image Classification"),
    "multi_label": ("image-classification", "Multi-label Image Classification"),
    "detection": ("object-detection", "Object Detection"),
    "segmentation": ("image-segmentation", "Semantic Segmentation"),
}
"""What the Hub calls each task, and what people do."""

HUB_LICENSES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "mpl-2.0", "gpl-3.0", "agpl-3.0", "openrail"),
        *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
        *("apple-ascl", "apple-amlr", "gemma"),
    }
)
"""Names that the Hub knows as ``license``; any other goes there as ``other`` with its name beside it."""


@dataclass(frozen=True)
class Claim:
    """A published figure: ``value`` and its 95 % interval from ``low`` to ``high``, in per cent."""

    dataset: str  # Hub id, or name of the folder
    role: str  # which of the run's splits: "test" or "validation"
    images: int  # how many it is of
    value: float
    low: float
    high: float
    images_sha256: str | None = None  # fingerprint of those images and their labels, None where it was not published
    weights_sha256: str | None = None  # of the file of weights, None where it was not published
    metric: str = CLASSIFICATION.headline.metric  # which figure, as the Hub names it, one of ``FIGURES``

    @property
    def figure(self) -> str:
        """Which figure, in words: top-1 or mAP."""
        return FIGURES[self.metric]


def card_data(record: RunRecord, figures: list[EvalResult]) -> ModelCardData:
    """Return the front matter of a run's card, for the Hub's search and widgets; ``figures`` are its ``model-index``."""
    base, hub_id = record.facts["network"]["base_model"], record.facts["data"]["hub_id"]
    pipeline, _ = PIPELINES[record.task.name]
    return ModelCardData(
        model_name=record.facts["name"],
        library_name="timm" if record.task.whole_image else "botzoo",  # the program that loads it
        pipeline_tag=pipeline,
        tags=[pipeline, "timm", "botzoo"],
        **license_fields(record.license),
        base_model=base,
        base_model_relation="finetune" if base else None,
        datasets=[hub_id] if hub_id else None,
        metrics=[*dict.fromkeys(filter(None, [record.task.headline.metric, *(m.metric.hub for m in record.metrics)]))],
        eval_results=figures,
    )


def license_fields(license: str | None) -> dict[str, Any]:
    """Return a licence as the front matter has it: a name that the Hub does not list goes beside ``other``."""
    listed = license is None or license in HUB_LICENSES
    return {"license": license if listed else "other", "license_name": None if listed else license}


def eval_result(record: RunRecord, metric: str, name: str, value: float, interval: tuple[float, float]) -> EvalResult:
    """Return a figure of a run's evaluated images for the Hub, which names it ``metric``.

    It is in per cent, with its 95 % interval; to its ``name`` the image size is added.
    """
    data, split = record.facts["data"], record.split
    pipeline, title = PIPELINES[record.task.name]
    return EvalResult(
        task_type=pipeline,
        task_name=title,
        dataset_type=data["hub_id"] or data["title"],
        dataset_name=data["title"],
        dataset_split=data["split_names"][split],
        metric_type=metric,
        metric_name=f"{name} at {record.size.px}",  # else the Hub would merge those of several sizes
        metric_value=round(value, 3),
        metric_args={
            "images": len(record.evaluation),
            "interval_95": rounded_bounds(interval),
            "split": split,
            "images_sha256": record.facts["fingerprints"][split],
            "weights_sha256": record.facts["weights_sha256"],
        },
    )


def read_card(file: Path) -> ModelCard:
    """Return a card that anybody may have written.

    Raises:
        CheckpointError: the file is too large for a card, or its front matter cannot be read; see ``parse_yaml``.
    """
    if file.stat().st_size > CARD_BYTES:
        raise CheckpointError(f"{file} has {file.stat().st_size:,} bytes, too many for a card.")
    try:
        text = file.read_text(encoding="utf-8")
        if front := REGEX_YAML_BLOCK.search(text):
            parse_yaml(front[2])  # before ModelCard reads it, which sets no limits
        return ModelCard(text)
    except Exception as error:  # ValueError, and others for a model-index that is not one
        raise CheckpointError(f"{file} is not a model card that can be read ({brief(error, 1000)}).") from error


def claim_in_card(card: Path) -> Claim | None:
    """Return the figure of ``FIGURES`` that a card's front matter claims, None where it has none with its images.

    Raises:
        CheckpointError: as ``read_card``, or the figure is none.
    """
    data: Any = read_card(card).data
    try:
        found = [result for result in data.eval_results or [] if result.metric_type in FIGURES and result.metric_args]
        if not found:
            return None
        result, args = found[0], found[0].metric_args
        low, high = (float(bound) for bound in args["interval_95"])
        images, weights = (args.get(key) and str(args[key]) for key in ("images_sha256", "weights_sha256"))
        return Claim(
            str(result.dataset_type),
            role=str(args.get("split", "validation")),
            images=int(args["images"]),
            value=float(result.metric_value),
            low=low,
            high=high,
            images_sha256=images,
            weights_sha256=weights,
            metric=result.metric_type,
        )
    except Exception as error:  # whatever values raise that are not what they should be
        raise CheckpointError(f"{card} is not a model card that can be read ({brief(error)}).") from error


def claim_in_table(weights: Weights) -> Claim | None:
    """Return what is claimed of weights in our table: with their images where they come with the package, else on ImageNet."""
    if weights.path is not None:
        found = json.loads(weights.path.with_suffix(".json").read_text(encoding="utf-8"))["claim"]
        # The value was called top1 while there were no other figures.
        return Claim(**{"value" if key == "top1" else key: value for key, value in found.items()})
    if weights.top1 is None or weights.num_classes != 1000:
        return None
    low, high = wilson(round(weights.top1 / 100 * IMAGENET), IMAGENET)
    return Claim("imagenet-1k", "validation", IMAGENET, weights.top1, low, high)
