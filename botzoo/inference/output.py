"""Predictions as a table for people, and as JSON lines or CSV for programs."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from botzoo.inference.prediction import Prediction
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


def boxes_as_table(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield each image's name, and below it a line for each box: score in per cent, label, left, top, right and bottom."""
    for p in predictions:
        yield p.image
        for box in p.boxes:
            yield f"  {100 * box.score:6.2f} %  {box.label}  {' '.join(f'{edge:.0f}' for edge in box.corners)}"
        if not p.boxes:
            yield "  nothing found"


def boxes_as_json(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield one JSON object a line: {"image": ..., "width": 640, "height": 480, "boxes": [{"index": 0, "label": ...,
    "score": 0.9, "box": [left, top, right, bottom]}, ...]}, in pixels of the image.
    """
    for p in predictions:
        rows = [
            {"index": b.index, "label": b.label, "score": round(b.score, 6), "box": [round(e, 2) for e in b.corners]}
            for b in p.boxes
        ]
        yield json_line({"image": p.image, **_sides(p), "boxes": rows})


def boxes_as_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a header, and a line for each box: image, index, label, score, left, top, right, bottom."""
    yield "image,index,label,score,left,top,right,bottom"
    for p in predictions:
        for box in p.boxes:
            edges = (f"{edge:.2f}" for edge in box.corners)
            yield csv_line([p.image, box.index, box.label, f"{box.score:.6f}", *edges])


def boxes_in_short(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a line for each image: how many objects of each class there are."""
    for p in predictions:
        counts = Counter(box.label for box in p.boxes)
        yield f"{p.image}: {', '.join(f'{n} {label}' for label, n in counts.most_common()) or 'nothing found'}"


def masks_as_json(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield one JSON object a line: {"image": ..., "width": 640, "height": 480, "classes": [{"index": 0, "label": ...,
    "share": 0.4}, ...]}, the shares of the pixels, the largest first.
    """
    for p in predictions:
        rows = [{"index": k, "label": label, "share": round(share, 6)} for k, label, share in answered(p)]
        yield json_line({"image": p.image, **_sides(p), "classes": rows})


def masks_as_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a header, and a line for each class in each mask: image, index, label, share of the pixels."""
    yield "image,index,label,share"
    for p in predictions:
        for k, label, share in answered(p):
            yield csv_line([p.image, k, label, f"{share:.6f}"])


def masks_in_short(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a line for each image: the classes that have a hundredth of its pixels or more."""
    for p in predictions:
        large = [f"{label} {100 * share:.0f} %" for label, share in p.top if share >= 0.01]
        yield f"{p.image}: {', '.join(large)}"


def _sides(p: Prediction) -> dict[str, int]:
    assert p.size is not None
    return {"width": p.size[0], "height": p.size[1]}


Format = Callable[[Iterable[Prediction]], Iterator[str]]

FORMATS: dict[str, dict[str, Format]] = {
    "classes": {"table": as_table, "json": as_json, "csv": as_csv},
    "boxes": {"table": boxes_as_table, "json": boxes_as_json, "csv": boxes_as_csv, "short": boxes_in_short},
    "masks": {"table": as_table, "json": masks_as_json, "csv": masks_as_csv, "short": masks_in_short},
}
"""By what a network gives, see ``Task.gives``."""
