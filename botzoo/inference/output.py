"""Predictions as a table for people, and as JSON lines or CSV for programs."""

from collections.abc import Callable, Iterable, Iterator

from botzoo.inference.predict import Prediction
from botzoo.util.outgoing import as_json as json_line
from botzoo.util.outgoing import csv_line


def as_table(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield each image's name, and below it a line for each of its classes: per cent and label."""
    for prediction in predictions:
        yield prediction.image + (
            f"  (unlike the training images: {prediction.unlike:.1f})" if prediction.is_unlike else ""
        )
        if not prediction.labels:
            yield "  no label over 50 %"
        for label, share in prediction.top:
            yield f"  {100 * share:6.2f} %  {label}"


def as_json(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield one JSON object a line: {"image": ..., "predictions": [{"index": 0, "label": ..., "probability": 0.9}, ...],
    "temperature": 1.0, "unlike": 0.7}, the last two being what the logits were divided by, and how unlike the training
    images it is: null where the model does not know.
    """
    for p in predictions:
        found = zip(p.indices, p.labels, p.probabilities, strict=True)
        rows = [{"index": k, "label": label, "probability": round(share, 6)} for k, label, share in found]
        yield json_line({"image": p.image, "predictions": rows, "temperature": p.temperature, "unlike": _rounded(p)})


def as_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a header, and a line for each class of each image: image, rank from 1, index, label, probability, unlike.

    The last is how unlike the training images the image is, empty where the model does not know.
    """
    yield "image,rank,index,label,probability,unlike"
    for p in predictions:
        for rank, (k, label, share) in enumerate(zip(p.indices, p.labels, p.probabilities, strict=True), 1):
            yield csv_line([p.image, rank, k, label, f"{share:.6f}", _rounded(p)])


def _rounded(prediction: Prediction) -> float | None:
    return None if prediction.unlike is None else round(prediction.unlike, 4)


FORMATS: dict[str, Callable[[Iterable[Prediction]], Iterator[str]]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}
