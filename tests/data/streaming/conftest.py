"""Fixtures of the tests of streaming."""

from pathlib import Path

import pytest

from data.streaming.made import write_tables, write_tars


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images in five uneven tar files, and 10 for validation."""
    return write_tars(tmp_path_factory.mktemp("tars"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images in five uneven parquet files, and 10 for validation."""
    return write_tables(tmp_path_factory.mktemp("tables") / "data")


@pytest.fixture(params=["tars", "tables"])
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path
