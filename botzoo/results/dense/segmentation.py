"""What card and terminal say of a network that gives each pixel a class; see ``botzoo.results.words.Words``."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from huggingface_hub import EvalResult
from numpy.typing import NDArray

from botzoo.pages.overlays import Marks, MaskMarks
from botzoo.results.card import sections
from botzoo.results.card.claim import eval_result
from botzoo.results.dense.figures import Figure, RegionFigures, region_figures
from botzoo.results.dense.looking import Look
from botzoo.results.dense.shared import TELLING, Confusion, figures_table, shown_answers, terminal_lines
from botzoo.results.metrics import eval_results as other_results
from botzoo.results.per_class import per_class
from botzoo.results.record import RunRecord
from botzoo.tasks.metrics.dense.regions import mean_iou, pixel_accuracy
from botzoo.tasks.metrics.dense.resampling import RESAMPLES
from botzoo.util.markdown import escaped, quoted, table
from botzoo.util.outgoing import shown
from botzoo.util.text import counted

NOUN, NOUNS = "class", "classes"
MARKS = "what the mask leaves open has no colour"


def figures(record: RunRecord) -> list[RegionFigures]:
    return region_figures(record.evaluation, record.class_names)


def whole(record: RunRecord) -> list[Figure]:
    """Return the figures over all classes, the headline figure first."""
    seen, headline = record.evaluation, record.task.headline
    first = Figure(headline.figure, seen.score, seen.interval(), "intersection over union, mean over the classes")
    return [first, *(Figure(m.metric.title, m.value, (m.low, m.high), m.metric.says) for m in record.metrics)]


def eval_results(record: RunRecord) -> list[EvalResult]:
    headline, seen = record.task.headline, record.evaluation
    return [eval_result(record, headline.metric, headline.figure, seen.score, seen.interval()), *other_results(record)]


def right_pixels(record: RunRecord) -> float:
    """Return the share of the pixels that are right, in per cent."""
    return 100 * float(pixel_accuracy(record.evaluation.counts.sum(0)))


def opening(record: RunRecord) -> Iterator[str]:
    right = right_pixels(record)
    return sections.opening_of(
        record,
        "A network for semantic segmentation",
        f"says of each pixel which of {counted(len(record.class_names), 'class', 'classes')} it shows",
        f"decisions in which one wrong answer does harm: it was wrong on {100 - right:.1f} % of the pixels of "
        f"{record.split_text}",
    )


def results(record: RunRecord) -> Iterator[str]:
    every = figures(record)
    yield "## Results"
    yield figures_table(record, whole(record))
    yield sections.looked_at(record)
    commonest = max((f.pixels for f in every), default=0.0)
    yield (
        f"{sections.conditions(record)}; the answers are compared at the size of the stored mask, and the intervals are those "
        f"of {RESAMPLES} bootstrap resamples of the images, seed 0. Always answering with the commonest class would get "
        f"{commonest:.1f} % of the pixels right."
    )
    if said := never_there(record):
        yield f"No image shows {', '.join(map(quoted, said))}; as it was said all the same, it counts as 0 in the mean."
    yield "### Class by class"
    yield from per_class(every, len(record.class_names), NOUN, NOUNS)
    yield "### Confusions"
    yield confusions(record)
    yield from shown_answers(record, MARKS)
    yield from sections.learning_curve(record)


def never_there(record: RunRecord) -> list[str]:
    """Return the classes that were said of pixels, though no image shows them."""
    _, there, said = record.evaluation.counts.sum(0)
    return [record.class_names[k] for k in np.flatnonzero((there == 0) & (said > 0)).tolist()]


def confusions(record: RunRecord) -> str:
    """Return a table of the ten commonest confusions, by their pixels."""
    matrix: NDArray[np.int64] | None = record.evaluation.confusion
    if matrix is None:
        return "There are too many classes to keep which of them were taken for which."
    names, wrong = record.class_names, matrix - np.diag(matrix.diagonal())
    total, of_class = max(int(matrix.sum()), 1), np.maximum(matrix.sum(1), 1)
    rows = []
    for k in np.argsort(-wrong, axis=None, kind="stable")[:10].tolist():
        i, j = divmod(k, len(names))
        if wrong[i, j]:
            shares = (f"{100 * wrong[i, j] / whole:.1f} %" for whole in (total, of_class[i]))
            rows.append((escaped(names[i]), escaped(names[j]), *shares))
    return table(("class", "answer", "of all pixels", "of the class"), rows) if rows else "No pixel was wrong."


def note(record: RunRecord) -> str:
    return (
        f"95 % intervals in brackets are those of {RESAMPLES} bootstrap resamples of the images. IoU is the intersection of "
        "mask and answer over their union, of the pixels of all images together."
    )


def limits(record: RunRecord) -> Iterator[str]:
    every = figures(record)
    if not every:
        yield "No pixel of the evaluated images has a class, so nobody knows what it can do."
        return
    worst = min(every, key=lambda f: (f.main, -f.images))
    yield f"Weakest class: {quoted(worst.name)}, with an IoU of {worst.iou:.1f} %."
    yield from sections.never_answered(every, "answered")
    yield from sections.roughness(record, every, NOUNS)
    yield from sections.imbalance(record, "The classes are on unequally many training images")
    yield "It gives each pixel one of its classes, also where none of them is right."


def terminal(record: RunRecord) -> Iterator[str]:
    yield from terminal_lines(record, whole(record))


def losses(evaluation: Any) -> NDArray[np.float64]:
    """Return 1 - the mean IoU of each image over the classes that it shows or was said to, shape (N,)."""
    shares = mean_iou(evaluation.counts)
    return np.where(np.isnan(shares), 0.0, 1 - shares)  # an image of which no pixel has a class


def line(evaluation: Any, i: int) -> str:
    """Return how good the mask of image ``i`` is."""
    counts = evaluation.counts[i]
    if not counts[1].any():
        return "no pixel has a class"
    right, iou = (100 * float(of(counts)) for of in (pixel_accuracy, mean_iou))
    return f"mean IoU {iou:.1f} %, {right:.1f} % of the pixels right"


def marks(evaluation: Any, i: int, look: Look) -> tuple[Marks, Marks | None]:
    """Return the mask of an image and the answer, for which the network is asked."""
    found = look.found
    return MaskMarks(look.target), MaskMarks(found) if found is not None else None


def there(target: NDArray[np.uint8]) -> Marks:
    """Return the mask that is a target, of an image as it is stored or of the network's input."""
    return MaskMarks(target)


def same(first: Any, second: Any) -> bool:
    """Tell whether two evaluations are of masks with the same pixels of each class."""
    return np.array_equal(first.counts[:, 1], second.counts[:, 1])


def confusion(record: RunRecord) -> Confusion | None:
    """Return which classes pixels were taken for; None where that was not kept."""
    matrix: NDArray[np.int64] | None = record.evaluation.confusion
    if matrix is None:
        return None
    says = "Rows are the classes of the masks, columns the answers; cells are per cent of the row."
    return Confusion(matrix, "% of all pixels", says, _share, max(int(matrix.sum()), 1))


def _share(count: int, whole: int) -> str:
    return f"{100 * count / max(whole, 1):.1f}"


def verdict(record: RunRecord) -> str:
    return f"It gives {right_pixels(record):.1f} % of the pixels of {record.split_text} their class"


def hints(record: RunRecord) -> Iterator[tuple[str, float]]:
    """Yield the two classes that take most of the wrong pixels, if these are many, with their share."""
    matrix: NDArray[np.int64] | None = record.evaluation.confusion
    if matrix is None or len(matrix) < 3:
        return
    both = np.triu(matrix + matrix.T, 1)
    i, j = divmod(int(both.argmax()), len(both))
    share = float(both[i, j]) / max(int(both.sum()), 1)
    if share >= TELLING:
        names = f"'{shown(record.class_names[i])}' and '{shown(record.class_names[j])}'"
        of = f"{share:.0%} of the wrong pixels are between these two"
        yield f"More training images in which {names} can be told apart: {of}.", share
