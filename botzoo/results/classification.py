"""What card and terminal say of a network that names the one class of an image; see ``botzoo.results.words.Words``."""

from collections.abc import Iterator

import numpy as np
from huggingface_hub import EvalResult

from botzoo.results.calibration import BINS, Calibration
from botzoo.results.card import sections
from botzoo.results.card.claim import eval_result
from botzoo.results.card.usage import APART
from botzoo.results.metrics import eval_results as other_results
from botzoo.results.metrics import interval_note, metrics_lines, metrics_section, units
from botzoo.results.per_class import ClassFigures, class_figures, confusions, per_class
from botzoo.results.record import RunRecord
from botzoo.tasks.classification import wilson
from botzoo.tasks.metrics.resampling import RESAMPLES
from botzoo.tasks.rejection import Rejection, needed
from botzoo.util.markdown import escaped, quoted, table
from botzoo.util.text import counted, interval_words, under

NOUN, NOUNS = "class", "classes"


def figures(record: RunRecord) -> list[ClassFigures]:
    return class_figures(record.evaluation, record.class_names)


def accuracies(record: RunRecord) -> Iterator[tuple[str, int, int, float, float]]:
    """Yield name, images right, images and the 95 % interval in per cent of top-1, and of top-5 if classes > 5."""
    n = len(record.evaluation)
    seen = record.evaluation
    yield "top-1", seen.correct, n, *seen.interval()
    if len(record.class_names) > 5:  # else it is 100 %
        yield "top-5", int(seen.in_top5.sum()), n, *seen.share_interval(seen.in_top5)


def eval_results(record: RunRecord) -> list[EvalResult]:
    metrics = {"top-1": "accuracy", "top-5": "top_5_accuracy"}
    return [
        eval_result(record, metrics[name], f"{name} accuracy", 100 * correct / images, (low, high))
        for name, correct, images, low, high in accuracies(record)
    ] + other_results(record)


def interval_of(record: RunRecord) -> str:
    """Return how the intervals of the accuracies were made."""
    if record.evaluation.groups is None:
        return "the interval is Wilson's"
    return f"the interval is that of {RESAMPLES:,} bootstrap resamples of the {units(record)}, seed 0"


def opening(record: RunRecord) -> Iterator[str]:
    wrong = len(record.evaluation) - record.evaluation.correct
    return sections.opening_of(
        record,
        "An image classifier",
        f"answers with one of {counted(len(record.class_names), 'class', 'classes')}",
        "images that may show none of its classes, nor for decisions in which one wrong answer does harm: it classified "
        f"{wrong:,} of {record.split_text} wrongly",
    )


def results(record: RunRecord) -> Iterator[str]:
    every, names = figures(record), record.class_names
    yield "## Results"
    rows = (
        (name, f"{100 * correct / n:.2f} %", f"{interval_words((low, high))} %", f"{correct:,} of {n:,}")
        for name, correct, n, low, high in accuracies(record)
    )
    yield table((f"on {record.split_text}", "accuracy", "95 % interval", "images right"), rows)
    yield sections.looked_at(record)
    sizes = [f.images for f in every]
    commonest = 100 * max(sizes) / len(record.evaluation)  # what accuracy is to be compared with
    yield (
        f"{sections.conditions(record)}; {interval_of(record)}. Always answering with the commonest class would reach "
        f"{commonest:.1f} %."
    )
    yield from metrics_section(record)
    if record.evaluation.skewed:
        yield (
            f"The largest class has {max(sizes):,} of these images and the smallest {min(sizes):,}: in balanced accuracy and "
            "macro F1 each counts alike."
        )
    if record.calibration is not None:
        yield from calibration(record, record.calibration)
    if record.rejection is not None:
        yield from rejecting(record, record.rejection)
    yield "### Class by class"
    yield from per_class(every, len(names), NOUN, NOUNS)
    yield "### Confusions"
    matrix = confusions(record.evaluation, len(names))
    pairs, images = matrix.tocoo(), matrix.sum(1)
    wrong = np.where(pairs.row == pairs.col, 0, pairs.data)
    mistakes = []
    for k in np.argsort(-wrong, kind="stable")[:10].tolist():  # the commonest first
        i, j, count = int(pairs.row[k]), int(pairs.col[k]), int(wrong[k])
        if count:
            mistakes.append((escaped(names[i]), escaped(names[j]), str(count), f"{100 * count / images[i]:.1f} %"))
    head = ("class", "answer", "images", "of the class")
    yield table(head, mistakes) if mistakes else "No image was classified wrongly."
    yield from sections.picture(record, "Confusion matrix", "confusion.png")
    yield from sections.learning_curve(record)


def calibration(record: RunRecord, found: Calibration) -> Iterator[str]:
    """Yield how sure the network is, against how often it is right, and what a temperature does to that."""
    rows = [("as it is", f"{100 * found.before:.2f} %")]
    if record.temperature is not None and found.after is not None:
        rows.append((f"logits divided by the temperature {found.temperature:.3g}", f"{100 * found.after:.2f} %"))
    yield "### Calibration"
    yield table(("how sure it is, against how often it is right", "expected calibration error"), rows)
    bins = f"In {BINS} bins of confidence, of equal width{found.doubt}."
    if found.after is None:
        few = "the images were too few, or the answers too many to be kept"
        endless = "none from 1/20 to 20 fits best, as where every answer is right"
        yield f"{bins} No temperature was fitted: {endless if found.endless else few}."
        return
    if record.temperature is None:
        yield f"{bins} No temperature is kept: on {counted(found.images, 'image')} the best one helps no more than chance may."
        return
    how = "The temperature is the one that fits the validation images best, none of which is counted here"
    if found.cross_fitted:
        how = (
            "Each fifth of these images was evaluated with the temperature that fits the other four best, as there is no "
            "test split; the one given here fits all of them best"
        )
    yield f"{bins} {how} (least negative log-likelihood). {APART}."


def rejecting(record: RunRecord, found: Rejection) -> Iterator[str]:
    """Yield what the threshold of --reject promises, and what it does to the evaluated images."""
    yield "### None of these"
    promise = f"{100 * found.target:g} %"
    if found.threshold is None:
        yield (
            f"It was to answer only where it is right with a probability of {promise}. No threshold is kept, so it answers "
            f"every image: {beyond(found)}."
        )
        return
    share, low, high = _share(found.answered, found.images)
    yield (
        f"Where its likeliest class has a probability below {found.threshold:.4g} the answer is none of these. The threshold "
        f"is fitted on {counted(found.fitted_on, 'validation image')} so that the answers given are right with a probability "
        f"of {promise} or more: of the shares 5 %, 10 %, ... of the images the largest is answered for which a one-sided "
        "binomial bound says so. It is chosen so that 19 of 20 such sets of images keep the promise."
    )
    answers = f"On {record.split_text} it answers {share} ({low:.2f} to {high:.2f} %)"
    if found.answered:
        right, low, high = _share(found.right, found.answered)
        answers += (
            f"; of these answers {right} are right ({low:.2f} to {high:.2f} %), {found.right:,} of {found.answered:,}"
        )
    own = " The threshold was fitted on these very images, so expect a little less." if record.chosen_on_split else ""
    groups = "" if record.evaluation.groups is None else " The bound takes images of one group for independent."
    yield (
        f"{answers}.{own}{groups} It holds for images like these: how many that show none of the classes are rejected is not "
        "known. `botzoo predict` and `botzoo.load` keep to the threshold in config.json, timm and transformers do not."
    )


def _share(part: int, whole: int) -> tuple[str, float, float]:
    return f"{100 * part / whole:.2f} %", *wilson(part, whole)


def beyond(found: Rejection) -> str:
    """Return why no threshold is kept."""
    least = needed(found.target)
    if found.fitted_on < least:
        few = f"{counted(found.fitted_on, 'validation image')} are too few"
        return f"{few}, at least {least:,} right answers without a wrong one are needed"
    return f"of {counted(found.fitted_on, 'validation image')} no share is surely right as often"


def note(record: RunRecord) -> str:
    """Return how the figures of the classes are to be read; those of several labels are read alike."""
    groups = "" if record.evaluation.groups is None else ", which takes images of one group for independent"
    return f"95 % intervals in brackets are Wilson's{groups}."


def limits(record: RunRecord) -> Iterator[str]:
    every = figures(record)
    worst = min(every, key=lambda f: (f.recall, -f.images))  # of equals the one with the most images
    if worst.recall < 100:
        yield (
            f"Weakest class: of {counted(worst.images, 'image')} of {quoted(worst.name)} it recognised "
            f"{round(worst.recall * worst.images / 100):,}."
        )
    yield from sections.never_answered(every, "answered")
    yield from sections.roughness(record, every, NOUNS)
    yield from sections.imbalance(record, "The training images are unbalanced")
    if record.threshold is None:
        yield "It answers every image with one of its classes, also where none of them is right."
    else:
        yield "An image of none of its classes may get a sure answer all the same."


def terminal(record: RunRecord) -> Iterator[str]:
    for name, correct, n, low, high in accuracies(record):
        head = "result" if name == "top-1" else ""
        share, interval = (
            f"{100 * correct / n:.2f} %",
            f"95 % interval {interval_words((low, high))}{interval_note(record)}",
        )
        yield f"{head:10} {name} {share} on {record.split_text} ({interval})"
    yield f"{'':10} {sections.chosen_remark(record)}"
    yield from metrics_lines(record)
    if (found := record.calibration) is not None:
        yield from under("ECE", sureness(found))
    if (rejected := record.rejection) is not None:
        yield from under("reject", rejection_lines(record, rejected))


def rejection_lines(record: RunRecord, found: Rejection) -> Iterator[str]:
    """Yield what the terminal says of the threshold of --reject."""
    if found.threshold is None:
        yield f"no threshold is kept for {100 * found.target:g} %"
        yield beyond(found)
        return
    yield f"none of these below a probability of {found.threshold:.4g}, kept in config.json"
    share = f"{100 * found.answered / found.images:.2f} % of {record.split_text} are answered"
    right = f", {100 * found.right / found.answered:.2f} % of them rightly" if found.answered else ""
    yield f"{share}{right}; {100 * found.target:g} % are promised"


def sureness(found: Calibration, *, in_config: bool = True) -> Iterator[str]:
    """Yield how sure the network is, for terminal and page; ``in_config`` says that config.json has the temperature kept."""
    error = f"{100 * found.before:.2f} %, the expected calibration error"
    if found.kept is not None and found.after is not None:
        where = ", kept in config.json" if in_config else ""
        yield f"{error}; {100 * found.after:.2f} % at temperature {found.temperature:.3g}{where}"
        return
    yield f"{error}{found.doubt}"
    images = counted(found.images, "image")
    why = "was fitted" if found.after is None else f"is kept: on {images} the best helps no more than chance may"
    yield f"no temperature {why}"
