"""The words of each task, for card and terminal: what a new task brings besides its own file in ``botzoo.tasks``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from huggingface_hub import EvalResult

from botzoo.results import classification, multi_label
from botzoo.results.per_class import ClassFigures
from botzoo.results.record import RunRecord


class Words(Protocol):
    """What a task says of a finished run; sections are blocks of Markdown, terminal lines are plain text.

    Attributes:
        NOUN, NOUNS: what a class is called.
    """

    @property
    def NOUN(self) -> str: ...  # noqa: N802 (modules are what has these words)
    @property
    def NOUNS(self) -> str: ...  # noqa: N802
    @property
    def figures(self) -> Callable[[RunRecord], Sequence[ClassFigures]]:
        """Returns those of every class that has images in the evaluated split."""

    @property
    def eval_results(self) -> Callable[[RunRecord], list[EvalResult]]:
        """Returns what the Hub is told."""

    @property
    def opening(self) -> Callable[[RunRecord], Iterator[str]]:
        """Yields what the network is."""

    @property
    def results(self) -> Callable[[RunRecord], Iterator[str]]:
        """Yields the figures."""

    @property
    def limits(self) -> Callable[[RunRecord], Iterator[str]]:
        """Yields sentences on what it cannot do."""

    @property
    def terminal(self) -> Callable[[RunRecord], Iterator[str]]:
        """Yields the figures for the terminal."""


_WORDS: dict[str, Words] = {"classification": classification, "multi_label": multi_label}


def words_of(record: RunRecord) -> Words:
    """Return the words of the run's task."""
    return _WORDS[record.task.name]
