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
        if prediction.rejected:
            yield f"  {reason(prediction)}"
        elif not prediction.labels:
            yield "  no label over 50 %"
        for label, share in prediction.top:
            yield f"  {100 * share:6.2f} %  {label}"


def as_json(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield one JSON object a line: {"image": ..., "predictions": [{"index": 0, "label": ..., "probability": 0.9}, ...],
    "temperature": 1.0, "unlike": 0.7}, the last two being what the logits were divided by, and how unlike the training
    images it is: null where the model does not know. Where an image is none of the classes there are no predictions, and
    "rejected" says why.
    """
    for p in predictions:
        rows = [{"index": k, "label": label, "probability": round(share, 6)} for k, label, share in answered(p)]
        found = {"image": p.image, "predictions": rows, "temperature": p.temperature, "unlike": _rounded(p)}
        yield json_line(found | ({"rejected": reason(p)} if p.rejected else {}))


def as_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a header, and a line for each class of each image: image, rank from 1, index, label, probability, unlike.

    The last is how unlike the training images the image is, empty where the model does not know. An image that is none of
    the classes has one line, with the reason in the place of the label and no probability.
    """
    yield "image,rank,index,label,probability,unlike"
    for p in predictions:
        if p.rejected:
            yield csv_line([p.image, 1, "", reason(p), "", _rounded(p)])
        for rank, (k, label, share) in enumerate(answered(p), 1):
            yield csv_line([p.image, rank, k, label, f"{share:.6f}", _rounded(p)])


def _rounded(prediction: Prediction) -> float | None:
    return None if prediction.unlike is None else round(prediction.unlike, 4)


def answered(p: Prediction) -> Iterator[tuple[int, str, float]]:
    """Yield index, label and probability of the classes that an image may be, none where it is rejected."""
    return iter(()) if p.rejected else zip(p.indices, p.labels, p.probabilities, strict=True)


def reason(p: Prediction) -> str:
    """Return why an image is none of the classes."""
    return f"none of these: {p.labels[0]} has {100 * p.probabilities[0]:.2f} %, less than {100 * p.least:.2f} %"


FORMATS: dict[str, Callable[[Iterable[Prediction]], Iterator[str]]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}
