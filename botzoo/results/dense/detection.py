"""What card and terminal say of a network that finds objects; see ``botzoo.results.words.Words``."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from huggingface_hub import EvalResult
from numpy.typing import NDArray

from botzoo.pages.overlays import BoxMarks, Marks
from botzoo.results.card import sections
from botzoo.results.card.claim import eval_result
from botzoo.results.dense.faults import OVERLAP, WORDS, ErrorAnalysis, error_analysis
from botzoo.results.dense.figures import BoxFigures, Figure, box_figures, box_summary
from botzoo.results.dense.looking import Look
from botzoo.results.dense.shared import TELLING, Confusion, figures_table, shown_answers, terminal_lines
from botzoo.results.per_class import per_class
from botzoo.results.record import RunRecord
from botzoo.sources.targets.boxes import Placed
from botzoo.tasks.detection import GIVEN
from botzoo.tasks.metrics.dense.resampling import RESAMPLES
from botzoo.util.markdown import quoted, table
from botzoo.util.text import counted

NOUN, NOUNS = "class", "classes"
MARKS = f"missed objects and wrong boxes are dashed, at a score of {GIVEN:g}"


def figures(record: RunRecord) -> list[BoxFigures]:
    return box_figures(record.evaluation, record.class_names)


def whole(record: RunRecord) -> list[Figure]:
    """Return the figures over all classes, the headline figure first."""
    return box_summary(record.evaluation, len(record.class_names))


def eval_results(record: RunRecord) -> list[EvalResult]:
    metrics = (record.task.headline.metric, "box_map_50", "box_map_75")
    named = [
        (m, f) for m, f in zip(metrics, whole(record), strict=False) if not np.isnan(f.value)
    ]  # sizes have no name
    return [eval_result(record, metric, f.name, f.value, f.interval) for metric, f in named]


def at_threshold(record: RunRecord) -> tuple[int, int, int, int]:
    """Return how many objects are there, how many boxes are sure, how many of these are right, and the classes' confusions."""
    there, found, right = error_analysis(record.evaluation).by_class(len(record.class_names))
    return int(there.sum()), int(found.sum()), int(right.sum()), int((found - right).sum())


def threshold_line(record: RunRecord) -> str:
    """Return what boxes with a score of 0.5 or more are worth."""
    there, found, right, _ = at_threshold(record)
    precise = f"{100 * right / found:.1f} % of {found:,} boxes are right" if found else "no box is found"
    recall = f"{100 * right / max(there, 1):.1f} % of {counted(there, 'object')} are found"
    return f"with a score of {GIVEN:g} or more and an overlap of {OVERLAP:g}, {precise} and {recall}"


def opening(record: RunRecord) -> Iterator[str]:
    there, found, right, wrong = at_threshold(record)
    classes = counted(len(record.class_names), "class", "classes")
    return sections.opening_of(
        record,
        "An object detector",
        f"puts boxes around the objects of {classes}, each with a score",
        f"decisions in which one wrong answer does harm: at a score of {GIVEN:g} it missed {there - right:,} of "
        f"{counted(there, 'object')} on {record.split_text}, and {wrong:,} of its {found:,} boxes were wrong",
    )


def results(record: RunRecord) -> Iterator[str]:
    every = figures(record)
    yield "## Results"
    yield figures_table(record, whole(record))
    yield sections.looked_at(record)
    line = threshold_line(record)
    yield (
        f"{sections.conditions(record)}; the figures are COCO's, of at most 100 boxes an image, and the intervals those of "
        f"{RESAMPLES} bootstrap resamples of the images, seed 0. {line[0].upper()}{line[1:]}."
    )
    yield "### Class by class"
    yield from per_class(every, len(record.class_names), NOUN, NOUNS)
    yield f"Average precision needs no threshold; precision and recall are those of a score of {GIVEN:g}."
    yield "### Mistakes"
    yield from mistakes(error_analysis(record.evaluation))
    yield from shown_answers(record, MARKS)
    yield from sections.learning_curve(record)


def mistakes(analysed: ErrorAnalysis) -> Iterator[str]:
    """Yield a table of what became of the boxes that are sure, and of what was missed."""
    counts = counts_of(analysed)
    if not sum(counts.values()):
        yield f"At a score of {GIVEN:g} no box is wrong and no object is missed."
        return
    yield table(("mistake", "number", "what it is"), ((what, f"{n:,}", SAYS[what]) for what, n in counts.items() if n))


SAYS = {
    "missed": "an object with no right box on it",
    "wrong class": "a box on an object of another class",
    "double": "a box on an object that a likelier box has found",
    "misplaced": f"a box that overlaps an object of its class by less than {OVERLAP:g}",
    "nothing there": "a box on no object",
}
"""What each kind of mistake is."""


def counts_of(analysed: ErrorAnalysis) -> dict[str, int]:
    """Return how many mistakes of each kind of ``SAYS`` there are."""
    verdicts = np.concatenate([np.empty(0, int), *(one.verdict for one in analysed.each)])
    numbers = np.bincount(verdicts, minlength=len(WORDS)).tolist()
    by_word = dict(zip(WORDS, numbers, strict=True)) | {"missed": sum(int(one.missed.sum()) for one in analysed.each)}
    return {what: by_word[what] for what in SAYS}


def note(record: RunRecord) -> str:
    return (
        f"95 % intervals in brackets are those of {RESAMPLES} bootstrap resamples of the images. AP is the mean over the "
        f"overlaps from 0.5 to 0.95 and needs no threshold; precision and recall are those of a score of {GIVEN:g} or more "
        f"and an overlap of {OVERLAP:g}."
    )


def limits(record: RunRecord) -> Iterator[str]:
    every = figures(record)
    if not every:
        yield "No evaluated image shows an object, so nobody knows what it can do."
        return
    worst = min(every, key=lambda f: (f.main, -f.objects))
    yield f"Weakest class: {quoted(worst.name)}, with an average precision of {worst.main:.1f} %."
    yield from sections.never_answered(every, "surely found")
    yield from small(whole(record))
    yield from sections.roughness(record, every, NOUNS)
    yield from sections.imbalance(record, "The classes are on unequally many training images")
    yield f"The threshold of {GIVEN:g} was not tuned, and no score was calibrated."


def small(found: Sequence[Figure]) -> Iterator[str]:
    """Yield how much worse small objects are found than all."""
    by_name = {f.name: f.value for f in found}
    if (of_small := by_name.get("mAP small", np.inf)) < by_name["mAP"] - 5:
        yield f"Small objects, of less than 32 x 32 pixels, are found less well: mAP {of_small:.1f} %."


def terminal(record: RunRecord) -> Iterator[str]:
    yield from terminal_lines(record, whole(record), threshold_line(record))


def losses(evaluation: Any) -> NDArray[np.float64]:
    """Return 1 - F1 of each image, shape (N,)."""
    return error_analysis(evaluation).losses


def line(evaluation: Any, i: int) -> str:
    """Return how many objects of image ``i`` were found, and how many boxes are wrong."""
    one = error_analysis(evaluation).each[i]
    wrong = int(one.wrong.sum())
    return f"{one.right:,} of {counted(one.there, 'object')} found, {wrong:,} of {len(one.found):,} boxes wrong"


def marks(evaluation: Any, i: int, look: Look) -> tuple[Marks, Marks | None]:
    """Return the objects of image ``i`` and the boxes that are sure; the picture is not looked at."""
    one, true = error_analysis(evaluation).each[i], evaluation.boxes[i]
    height, width = (int(side) for side in evaluation.size[i])
    there = BoxMarks(true.corners, true.labels, (width, height), faulty=one.missed)
    return there, BoxMarks(one.found.corners, one.found.labels, (width, height), one.found.scores, one.wrong)


def there(target: Placed) -> Marks:
    """Return the boxes that are a target, of an image as it is stored or of the network's input."""
    boxes = target.boxes
    return BoxMarks(boxes.corners, boxes.labels, (target.width, target.height), faulty=boxes.crowd)


def same(first: Any, second: Any) -> bool:
    """Tell whether two evaluations are of the same objects."""
    both = zip(first.boxes, second.boxes, strict=True)
    return all(np.array_equal(a.corners, b.corners) and np.array_equal(a.labels, b.labels) for a, b in both)


def confusion(record: RunRecord) -> Confusion | None:
    """Return as what objects were found, with a row for boxes on nothing and a column for what was missed."""
    matrix = error_analysis(record.evaluation).matrix(len(record.class_names))
    says = (
        f"Rows are the objects that are there, columns the boxes with a score of {GIVEN:g} or more and an overlap of "
        f"{OVERLAP:g}. Boxes on nothing are those that no object accounts for, or none that is left."
    )
    return Confusion(matrix, "number", says, _count, more=("on nothing", "missed"))


def _count(count: int, whole: int) -> str:
    return f"{count:,}"


def verdict(record: RunRecord) -> str:
    there, found, right, _ = at_threshold(record)
    finds = f"It finds {right:,} of {counted(there, 'object')} on {record.split_text}"
    return f"{finds}, and {right:,} of its {found:,} boxes with a score of {GIVEN:g} or more are right"


def hints(record: RunRecord) -> Iterator[tuple[str, float]]:
    """Yield what the commonest kind of mistake is, and whether missed objects are small to the network, with their shares."""
    analysed = error_analysis(record.evaluation)
    counts = counts_of(analysed)
    kind, number = max(counts.items(), key=lambda item: item[1])
    total = max(sum(counts.values()), 1)
    if number >= TELLING * total and number > 1:
        yield f"{CURES[kind]}: {number:,} of {counted(total, 'mistake')} are {kind} ({SAYS[kind]}).", number / total
    if len(sides := missed_sides(record)) and (middle := float(np.median(sides))) < FEW_PIXELS:
        larger = f"A larger --img-size than {record.size}: half of the {counted(len(sides), 'missed object')}"
        yield f"{larger} have sides of {middle:.0f} pixels or less at that size.", counts["missed"] / total


FEW_PIXELS = 16
"""Sides of objects in the network's input below which more pixels promise most: the finest map has a cell for every 4 x 4."""

CURES = {
    "missed": "More training images, or a longer training",
    "wrong class": "More training images of the classes that are taken for each other",
    "double": "A look at whether objects have one box each in the training images",
    "misplaced": "A longer training, or a look at whether the boxes are drawn alike",
    "nothing there": "A look for objects that nobody has drawn a box around, or more images without objects",
}
"""What helps against each kind of mistake."""


def missed_sides(record: RunRecord) -> NDArray[np.float64]:
    """Return the sides of the missed objects, roots of their areas, in pixels of the network's input."""
    found, longer = [], max(record.size.height, record.size.width)
    each = zip(error_analysis(record.evaluation).each, record.evaluation.boxes, record.evaluation.size, strict=True)
    for one, true, size in each:
        found.append(np.sqrt(true.areas[one.missed].astype(np.float64)) * longer / max(int(max(size)), 1))
    return np.concatenate([np.empty(0), *found])
