"""Several networks probed on the same images."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from botzoo.util.guard import guarded
from botzoo_finetune import cli
from running import write_teacher


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    AcceleratorState._reset_state()


def command(*argv: str) -> int:
    return guarded(cli.PROG, cli._main, [*argv, "--batch-size", "16", "--mixed-precision", "fp32"])


def test_models_are_ranked_by_their_probes(photos: Path, tmp_path: Path) -> None:
    models = [f"local-dir:{write_teacher(tmp_path / name, size=size)}" for name, size in (("a", 32), ("b", 64))]
    assert command("--dataset", str(photos), "--compare", ",".join(models), "--output", str(tmp_path / "look")) == 0
    rows = json.loads((tmp_path / "look" / "compare.json").read_text())["ranking"]
    assert {row["model"] for row in rows} == set(models)
    assert rows[0]["top1"] >= rows[1]["top1"]
    assert {row["size"] for row in rows} == {32, 64}


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("resnet10d_bot", "two or more different models"),
        ("resnet10d_bot,resnet10d_bot", "two or more different models"),
        ("resnet10d_bott,resnet10d_bot", "--compare resnet10d_bott: "),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    models: str, said: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--dataset", str(photos), "--compare", models) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
