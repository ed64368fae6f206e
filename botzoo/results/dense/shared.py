"""What the words on boxes and those on masks have in common."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from botzoo.results.card import sections
from botzoo.results.dense.figures import Figure
from botzoo.results.record import RunRecord
from botzoo.util.markdown import table
from botzoo.util.text import interval_words, under

PICTURE = "answers.png"
"""The picture of some answers, beside the weights."""
DRAWN = Path("evaluation") / PICTURE
"""The same in the run's folder, which draws it at its end: nobody may have its images later."""


def figures_table(record: RunRecord, found: Sequence[Figure]) -> str:
    """Return the table of the figures over all classes."""
    rows = ((f.name, f"{f.value:.2f} %", f"{interval_words(f.interval)} %", f.says) for f in found)
    return table((f"on {record.split_text}", "value", "95 % interval", "what it is"), rows)


def shown_answers(record: RunRecord, marks: str) -> Iterator[str]:
    """Yield the picture of some answers where it is there; ``marks`` says how it is to be read."""
    picture = [*sections.picture(record, "What is there, and what was found", PICTURE)]
    if picture:
        yield "### Answers"
        yield (
            f"Some of the {record.split} images, from one with a good answer to one with a bad one: on the left what is "
            f"there, on the right what was found; {marks}."
        )
        yield from picture


def terminal_lines(record: RunRecord, found: Sequence[Figure], *more: str) -> Iterator[str]:
    """Yield the lines for the terminal: the headline figure, the others, and what ``more`` there is to say."""
    first, *others = found
    interval = f"95 % interval {interval_words(first.interval)}"
    yield f"{'result':10} {first.name} {first.value:.2f} % on {record.split_text} ({interval})"
    yield f"{'':10} {sections.chosen_remark(record)}"
    yield from under("metrics", [", ".join(f"{f.name} {f.value:.2f} %" for f in others), *more])
