"""The words of each task, for card and terminal: what a new task brings besides its own file in ``botzoo.tasks``."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from huggingface_hub import EvalResult

from botzoo.results import classification, multi_label
from botzoo.results.dense import detection, segmentation
from botzoo.results.per_class import Figures
from botzoo.results.record import RunRecord


class Words(Protocol):
    """What a module says of a finished run of its task; sections are blocks of Markdown."""

    NOUN: str  # what a class is called
    NOUNS: str  # several of them

    def figures(self, record: RunRecord) -> Sequence[Figures]: ...  # of every class with images in the split
    def eval_results(self, record: RunRecord) -> list[EvalResult]: ...  # for the Hub, the headline figure first
    def opening(self, record: RunRecord) -> Iterator[str]: ...  # the section on what the network is
    def results(self, record: RunRecord) -> Iterator[str]: ...  # the section on how good it is
    def note(self, record: RunRecord) -> str: ...  # on the figures of the classes, for the page
    def limits(self, record: RunRecord) -> Iterator[str]: ...  # sentences on what it cannot do
    def terminal(self, record: RunRecord) -> Iterator[str]: ...  # the figures for the terminal, a line each


_WORDS: dict[str, Words] = {
    "classification": classification,
    "multi_label": multi_label,
    "detection": detection,
    "segmentation": segmentation,
}


def words_of(record: RunRecord) -> Words:
    """Return the words of the run's task."""
    return _WORDS[record.task.name]
