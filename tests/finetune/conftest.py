"""Weights to start from, and a cache of its own for the tests of what is kept."""

from pathlib import Path

import pytest

from running import write_teacher


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of the weights of a network of other classes than those of the test images."""
    return f"local-dir:{write_teacher(tmp_path_factory.mktemp('weights') / 'model', classes=5)}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of what is kept for later runs."""
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
