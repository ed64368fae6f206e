"""The speed of bf16, measured once for a machine: what else runs there does not count."""

import multiprocessing
from pathlib import Path

import pytest
import torch

from botzoo.training.autotune import precision
from botzoo.tricks import mixed_precision


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """An empty cache; each measurement takes the last of these speeds."""
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path))
    speeds = [0.5, 2.0]
    monkeypatch.setattr(mixed_precision, "bf16_speedup", speeds.pop)
    return speeds


def test_the_speed_is_measured_once(measured: list[float]) -> None:
    assert [precision.kept_speedup() for _ in range(3)] == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("changed", ["cpu_name", "avx512_bf16"])
def test_another_cpu_is_measured_anew(measured: list[float], changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    precision.kept_speedup()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {changed: "another"})
    assert precision.kept_speedup() == 0.5


def test_a_damaged_file_is_measured_anew(measured: list[float], caplog: pytest.LogCaptureFixture) -> None:
    precision.kept_speedup()
    next(precision.SPEEDS.folder.iterdir()).write_text("fast")
    assert precision.kept_speedup() == 0.5
    assert "measured again" in caplog.text


def burn() -> None:
    while True:
        pass


@pytest.mark.slow
def test_other_work_on_the_machine_hardly_changes_what_is_measured() -> None:
    alone = mixed_precision.bf16_speedup()
    others = [multiprocessing.get_context("spawn").Process(target=burn, daemon=True) for _ in range(4)]
    try:
        for other in others:
            other.start()
        assert mixed_precision.bf16_speedup() == pytest.approx(alone, rel=0.4)
    finally:
        for other in others:
            other.kill()
