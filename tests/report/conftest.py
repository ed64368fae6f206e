"""A finished run whose answers are known, its page, and a browser to look at it."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botzoo.report.page import write_report
from botzoo.results.record import RunRecord
from recorded import evaluation

WRONG = {0: 1, 1: 1, 4: 2, 8: 0}
"""Of 12 images, four of each class, those that are answered wrongly, and how."""


@pytest.fixture(scope="session")
def record(finished_run: Path) -> RunRecord:
    """The record of a run on photos, with answers of which four are wrong: 0 for 1 twice, 1 for 2, and 2 for 0."""
    found = RunRecord.load(finished_run)
    labels = np.repeat(np.arange(3), 4)
    predicted = np.array([WRONG.get(i, label) for i, label in enumerate(labels.tolist())])
    return replace(found, evaluation=evaluation(labels, predicted))


@pytest.fixture(scope="session")
def page_file(record: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(record, path)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, the system's own; the test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="it is of the extra test")
    if (program := shutil.which("chromium")) is None:
        pytest.skip("there is no chromium on this machine")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=quiet)
        yield found
        found.close()
