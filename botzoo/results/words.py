"""The words of each task, for card and terminal: what a new task brings besides its own file in ``botzoo.tasks``."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from huggingface_hub import EvalResult
from numpy.typing import NDArray

from botzoo.pages.overlays import Marks
from botzoo.results import classification, multi_label
from botzoo.results.dense import detection, segmentation
from botzoo.results.dense.figures import Figure
from botzoo.results.dense.looking import Look
from botzoo.results.dense.shared import Confusion
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


class DenseWords(Words, Protocol):
    """What a module says besides of answers that are boxes or masks."""

    def whole(self, record: RunRecord) -> list[Figure]:
        """Return the figures over all classes, the headline figure first."""

    def verdict(self, record: RunRecord) -> str:
        """Return how good the network is, in words that begin a sentence."""

    def hints(self, record: RunRecord) -> Iterator[tuple[str, float]]:
        """Yield what would help, and how promising that is, in [0, 1]."""

    def confusion(self, record: RunRecord) -> Confusion | None:
        """Return which classes were taken for which, None where that is not known."""

    def losses(self, evaluation: Any) -> NDArray[np.float64]:
        """Return how bad each answer is, shape (N,), in [0, 1]."""

    def line(self, evaluation: Any, i: int) -> str:
        """Return how good the answer to image ``i`` is, in words."""

    def marks(self, evaluation: Any, i: int, look: Look) -> tuple[Marks, Marks | None]:
        """Return what is there on image ``i`` and what was found, None where there is no network to ask."""

    def there(self, target: Any, size: tuple[int, int]) -> Marks:
        """Return what a target says: of an image as it is stored, or of the network's input, of the sides ``size``."""

    def same(self, first: Any, second: Any) -> bool:
        """Tell whether two evaluations are of the same objects or masks."""


_DENSE: dict[str, DenseWords] = {"detection": detection, "segmentation": segmentation}

_WORDS: dict[str, Words] = {"classification": classification, "multi_label": multi_label, **_DENSE}


def words_of(record: RunRecord) -> Words:
    """Return the words of the run's task."""
    return _WORDS[record.task.name]


def dense_words(record: RunRecord) -> DenseWords:
    """Return the words of a task whose answers are boxes or masks."""
    return _DENSE[record.task.name]
