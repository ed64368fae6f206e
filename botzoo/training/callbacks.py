"""Stands in for the callbacks of a run until they are there."""

from __future__ import annotations

from typing import Any


class Callback:
    """Does nothing at any of the moments of a run."""

    def on_finish(self, run: Any) -> None:
        """Use what a finished run has written: model folder, evaluation, metrics.jsonl and run.json."""
