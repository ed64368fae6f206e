"""Few resamples: how many there are changes nothing but the time."""

import pytest

from botzoo.tasks.metrics.dense import resampling


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw 40 resamples of the images in the place of 500."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)
