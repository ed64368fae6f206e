"""The front matter of a card: what the Hub's search and widgets read of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from botzoo.data.sources.base import ImageData
from botzoo.models.licence import combined_license
from botzoo.results.claim import metric_args
from botzoo.training.run import Result
from botzoo.util.files import sha256_of

HUB_LICENSES = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "mpl-2.0", "gpl-3.0", "agpl-3.0", "openrail"),
        *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
        *("apple-ascl", "apple-amlr", "gemma"),
    }
)
"""Names that the Hub knows as ``license``; any other goes there as ``other`` with its name beside it."""


def card_data(result: Result, figures: list[EvalResult]) -> ModelCardData:
    """Return the front matter, for the Hub's search and widgets."""
    base = result.job.start.base_model
    return ModelCardData(
        model_name=result.job.folder.resolve().name,
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "botzoo"],
        **license_fields(known_license(result)),
        base_model=base,
        base_model_relation="finetune" if base else None,
        datasets=[result.job.data.hub_id] if result.job.data.hub_id else None,
        metrics=[result.job.task.metric],
        eval_results=figures,
    )


def license_fields(license: str | None) -> dict[str, Any]:
    """Return a licence as the front matter has it: a name that the Hub does not list goes beside ``other``."""
    listed = license is None or license in HUB_LICENSES
    return {"license": license if listed else "other", "license_name": None if listed else license}


def known_license(result: Result) -> str | None:
    """Return the licence of the trained weights, None where nobody has chosen one yet."""
    job = result.job
    return combined_license(job.start.license, job.data.license, job.config.license)


def eval_result(
    result: Result,
    metric: str,
    name: str,
    value: float,
    interval: tuple[float, float],
    task: str = "Image Classification",
) -> EvalResult:
    """Return a figure for the Hub.

    Args:
        result: of the run; the figure is of its evaluated images and its file of weights.
        metric: as the Hub names it.
        name: of the figure; the image size is added to it, since else the Hub merges those of several sizes.
        value: in per cent, with its 95 % ``interval``.
        task: in words.
    """
    data, split = result.job.data, result.split
    weights = sha256_of(result.model_folder / "model.safetensors")
    return EvalResult(
        task_type="image-classification",
        task_name=task,
        dataset_type=data.hub_id or data_title(data),
        dataset_name=data_title(data),
        dataset_split=data.splits[split].name,
        metric_type=metric,
        metric_name=f"{name} at {result.job.preprocessing.size} px",
        metric_value=round(value, 3),
        metric_args=metric_args(split, len(result.evaluation), interval, result.facts["fingerprints"][split], weights),
    )


def data_title(data: ImageData[Any]) -> str:
    """Return the data set's name, of a folder the last part only: where it lay is nobody's business."""
    return data.name if data.hub_id or data.name == "digits" else Path(data.name).expanduser().resolve().name
