"""The verdict in a sentence, and what would help most, each with the evidence that it is drawn from."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from botzoo.results.per_class import confusions
from botzoo.results.record import RunRecord
from botzoo.results.words import dense_words, words_of
from botzoo.util.outgoing import shown
from botzoo.util.text import counted

TELLING = 0.2  # share of the mistakes from which on a pair of classes is worth a word
FEW = 0.5  # a class is small with fewer training images than this share of the median
RISEN = 1.15  # factor from which on the validation loss has risen since its best
STILL = 0.5  # points that the last epoch has to gain for a longer run to promise something
ROUGH = 1.0  # points to either side of the figure from which on it is rough
SURE = 0.05  # calibration error from which on probabilities mislead
MENDED = 0.7  # share of it that a temperature has to leave at most to be worth a word


class Advice(NamedTuple):
    """A sentence on what would help, and how promising that is, in [0, 1].

    ``share`` is that of the mistakes that the sentence is about; where it is about no single ones, a fixed number that puts it
    into its place among the others.
    """

    sentence: str
    share: float


def verdict(record: RunRecord) -> str:
    """Return how good the network is, with the 95 % interval."""
    seen, headline = record.evaluation, record.task.headline
    low, high = seen.interval()
    if not record.task.whole_image:
        first = dense_words(record).verdict(record)
    elif record.task.one_label:
        first = f"It answers {seen.correct:,} of {record.split_text} correctly"
    else:
        first = f"It gives {counted(len(record.class_names), 'label')} to {record.split_text}"
    return f"{first}: {headline.figure} {seen.score:.2f} %, with a 95 % interval from {low:.2f} to {high:.2f} %."


def advice(record: RunRecord, suspects: int = 0) -> list[Advice]:
    """Return what would help, the most promising first; ``suspects`` images seem to have a wrong label."""
    found = [*_length(record)]
    if record.task.one_label and (wrong := len(record.evaluation) - record.evaluation.correct):
        found += [*_pairs(record, wrong), *_small_classes(record, wrong), *_labels(suspects, wrong)]
    if not record.task.one_label:
        found += _weakest(record)
    if not record.task.whole_image:
        found += (Advice(*hint) for hint in dense_words(record).hints(record))
    return sorted([*found, *_sureness(record), *_images(record)], key=lambda each: -each.share)


def _pairs(record: RunRecord, wrong: int) -> Iterator[Advice]:
    """The two classes that are taken for each other most often."""
    names = record.class_names
    matrix = confusions(record.evaluation, len(names)).tocoo()
    both: dict[tuple[int, int], int] = {}
    for i, j, count in zip(matrix.row.tolist(), matrix.col.tolist(), matrix.data.tolist(), strict=True):
        if i != j:
            pair = min(i, j), max(i, j)
            both[pair] = both.get(pair, 0) + count
    (a, b), count = max(both.items(), key=lambda item: item[1])
    if len(names) > 2 and count > 1 and count >= TELLING * wrong:
        pair_names = f"'{shown(names[a])}' and '{shown(names[b])}'"
        between = f"{count:,} of {counted(wrong, 'mistake')} are between these two"
        yield Advice(f"More training images in which {pair_names} can be told apart: {between}.", count / wrong)


def _small_classes(record: RunRecord, wrong: int) -> Iterator[Advice]:
    """Classes with few training images, where they are recognised less often than the others."""
    counts = record.facts["data"]["class_counts"]
    if counts is None:
        return
    small = np.array(counts) < FEW * np.median(counts)
    seen = record.evaluation
    of_small, missed = small[seen.labels], seen.labels != seen.predicted
    if not of_small.any() or of_small.all():
        return
    recall, other = (100 * float((~missed[rows]).mean()) for rows in (of_small, ~of_small))
    if recall < other and (lost := int((missed & of_small).sum())):
        first = int(np.argmin(np.where(small, counts, np.inf)))
        which = (
            f"{counted(int(small.sum()), 'class', 'classes')} with few, such as '{shown(record.class_names[first])}'"
        )
        have = f"{counts[first]:,} beside {np.median(counts):,.0f} in the median class"
        how = f"{recall:.1f} % of such images are recognised, and {other:.1f} % of the others"
        yield Advice(f"More training images of the {which} ({have}): {how}.", lost / wrong)


def _labels(suspects: int, wrong: int) -> Iterator[Advice]:
    if suspects:
        doubt = (
            f"{counted(suspects, 'mistake')} may be the label's, as the images most like them have the answer as theirs"
        )
        share = suspects / wrong / 2  # not all of the doubtful labels are wrong
        yield Advice(f"A look at the labels that are ringed in the map: {doubt}.", share)


def _length(record: RunRecord) -> Iterator[Advice]:
    """Whether the run was too short, or went on to learn its images by heart."""
    headline, lines, trained = record.task.headline, record.of("validation"), record.of("train")
    known = all(line.get("loss") is not None for line in lines)  # a detector has none in evaluation
    losses = np.array([line["loss"] if known else -line[headline.key] for line in lines], float)
    if len(lines) < 3 or not trained or not np.isfinite(losses).all():
        return
    best, last = int(losses.argmin()), len(lines) - 1
    gained = lines[last][headline.key] - max(line[headline.key] for line in lines[:last])
    if known and losses[last] > RISEN * losses[best]:
        rose = f"the validation loss rose from {losses[best]:.3f} in epoch {lines[best]['epoch']} to {losses[last]:.3f}"
        fell = f"that of training fell to {trained[-1]['loss']:.3f}"
        yield Advice(f"More images or stronger augmentation, or fewer epochs: {rose} while {fell}.", 0.6)
    elif best == last and gained > STILL:
        figure = f"validation {headline.figure} still gained {gained:.2f} points in the last of them"
        yield Advice(f"More epochs than {len(lines):,}: {figure}.", 0.7)


def _weakest(record: RunRecord) -> Iterator[Advice]:
    """The label with the lowest figure, where one falls behind."""
    worst = min(words_of(record).figures(record), key=lambda f: f.main)
    mean = record.evaluation.score
    if worst.main < mean - 5:
        name, reached = shown(worst.name), f"{worst.main:.1f} %, and the mean is {mean:.1f} %"
        figure = worst.main_share.replace("_", " ")
        yield Advice(f"More training images with '{name}': its {figure} is {reached}.", 0.5)


def _images(record: RunRecord) -> Iterator[Advice]:
    """Whether the images are too few to know how good it is."""
    low, high = record.evaluation.interval()
    if (half := (high - low) / 2) > ROUGH:
        known = f"by {record.split_text} the {record.task.headline.measure} is known to about ± {half:.1f} points"
        yield Advice(f"More labelled images to judge by: {known}.", 0.01)


def _sureness(record: RunRecord) -> Iterator[Advice]:
    found = record.calibration
    if found is None or found.before < max(SURE, 2 * found.by_chance):
        return
    off = f"it is off by {100 * found.before:.1f} points on average"
    kept = (
        found.kept is not None and found.kept == record.temperature
    )  # else config.json has none, or that of other images
    if kept and found.after is not None and found.after < MENDED * found.before:
        use = (
            f"divide the logits by {record.temperature:g}, as botzoo predict does, which leaves {100 * found.after:.1f}"
        )
        yield Advice(f"Where probabilities count, {use}: as it is, {off}.", 0.1)
    else:
        yield Advice(
            f"Do not take the probabilities at their word: the confidence says too much or too little, {off}.", 0.1
        )
