"""The Hub for tests of what is published and read: a double of it, which all clients go to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_double import HubDouble, hub_of_clients


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    """An empty Hub, which is read with a token that may write."""
    with hub_of_clients(monkeypatch, tmp_path / "cache") as running:
        yield running
