"""From a run's folder: reading it, writing the card anew to the byte, pictures that fail, and what is refused."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from botzoo.commands import card as card_command
from botzoo.errors import CheckpointError
from botzoo.results import pictures
from botzoo.results.card import beside
from botzoo.results.record import RunRecord
from botzoo.results.report import describe
from botzoo.util.files import sealed, write_json, write_text
from botzoo.util.pictures import drawn, new_figure
from conftest import ARRANGED
from recorded import a_record, answers, write_run

LINES = (
    {"step": 10, "split": "train", "loss": 1.5, "lr": 0.1},
    {"step": 10, "split": "validation", "loss": 1.2, "top1": 70.0, "epoch": 1},
    {"step": 20, "split": "validation", "loss": 0.9, "top1": 80.0, "epoch": 2},
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(a_record(tmp_path / "run", history=LINES))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_record_that_is_read_is_the_one_that_was_written(tmp_path: Path) -> None:
    record = a_record(tmp_path / "run", history=LINES, held_out=answers(wrong=8), split="test")
    read = RunRecord.load(write_run(record))
    assert (read.options, read.history) == (yaml.safe_load(yaml.safe_dump(record.options)), record.history)
    assert read.image_names == record.image_names
    assert [len(read.evaluation), read.evaluation.top1, read.held_out.top1] == [120, 80.0, 60.0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["finished_run", "finished_multi_label_run"])
def test_a_card_written_anew_is_equal_to_the_byte(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = request.getfixturevalue(kind)
    before = contents(folder)
    monkeypatch.chdir("/")
    (folder / "model" / "README.md").unlink()
    card_command.run([str(folder)])
    assert contents(folder) == before
    assert capsys.readouterr().out.endswith("README.md\n")


def test_the_model_folder_is_completed(run: Path) -> None:
    describe(run)
    made = {"README.md", "recipe.yaml", "metrics.jsonl", "learning_curve.png", "confusion.png"}
    assert made <= {path.name for path in (run / "model").iterdir()}
    assert "(confusion.png)" in (run / "model" / "README.md").read_text()


def test_a_recipe_names_no_folder_of_this_machine(run: Path) -> None:
    describe(run)
    text = (run / "model" / "recipe.yaml").read_text()
    options = yaml.safe_load(text)
    assert text.startswith("# botzoo-finetune --config recipe.yaml\n# The data set was a folder")
    assert [options["dataset"], options["batch_size"], options["data"]["crop_min"]] == ["pets", 60, 0.35]
    assert not {"output", "tracker"} & options.keys()


def unfinished(run: Path) -> None:
    (run / "model" / "config.json").unlink()


def damaged(run: Path) -> None:
    (run / "run.json").write_text("{")


def half(run: Path) -> None:
    write_json(run / "run.json", {"task": "classification"}, seal=True)


def listed(run: Path) -> None:
    write_text(run / "config.yaml", sealed("- model"))


def without_log(run: Path) -> None:
    (run / "metrics.jsonl").unlink()


def without_answers(run: Path) -> None:
    (run / "evaluation" / "validation.parquet").unlink()


def of_other_weights(run: Path) -> None:
    (run / "model" / "model.safetensors").write_bytes(b"others")


def no_run(run: Path) -> None:
    (run / "config.yaml").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (no_run, "is not the folder of a run"),
        (unfinished, "has not finished: go on with it by --resume"),
        (damaged, r"run\.json cannot be read"),
        (half, r"has no name, no split, no command"),
        (listed, r"config\.yaml cannot be read \(it holds no names"),
        (without_log, r"metrics\.jsonl cannot be read \(there is no such file"),
        (without_answers, "there is no such file"),
        (of_other_weights, "not those that were evaluated"),
    ],
)
def test_what_is_missing_or_damaged_is_said_in_one_line(run: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(run)
    with pytest.raises(CheckpointError, match=said) as caught:
        describe(run)
    assert "\n" not in str(caught.value)
    assert not (run / "model" / "README.md").exists()


# Pictures


def test_a_picture_that_fails_does_not_cost_the_card(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(record: RunRecord) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(beside, "confusion_figure", broken)
    describe(run)
    assert "confusion.png was not drawn (no font)" in caplog.text
    assert "confusion.png" not in (run / "model" / "README.md").read_text()
    assert "(learning_curve.png)" in (run / "model" / "README.md").read_text()


def test_half_a_picture_is_never_left(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert drawn(path, lambda: new_figure(1, 1, dpi=50))
    before = path.read_bytes()
    assert not drawn(path, lambda: new_figure(1, 1, dpi=10**9))
    assert [path.read_bytes(), list(tmp_path.iterdir())] == [before, [path]]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "agg"])
def test_a_notebooks_backend_does_not_matter(backend: str) -> None:
    """In a process of its own: the variable is read when matplotlib is imported."""
    code = (
        "import os; from botzoo.util.pictures import new_figure; new_figure(1, 1).savefig(os.devnull, format='png'); "
        "import matplotlib; print(os.environ['MPLBACKEND'], matplotlib.rcParams['backend'] == 'agg')"
    )
    env = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == backend
    assert backend != "agg" or done.stdout.split()[1] == "True"


@pytest.mark.parametrize("classes", [2, 100])
def test_the_confusion_matrix_has_room_for_its_labels(classes: int) -> None:
    record = a_record(names=tuple(f"class {k}" for k in range(classes)), seen=answers(classes, each=5, wrong=1))
    figure = pictures.confusion_figure(record)
    assert min(figure.get_size_inches() * figure.dpi) > (400 if classes < 100 else 100 * 14)  # 14 pixels a row


def test_nothing_of_a_picture_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botzoo.util.pictures.LAYOUT", ARRANGED)
    record = a_record(names=("a class of a long name", "b"), seen=answers(2, each=5, wrong=1))
    figure = pictures.confusion_figure(record)
    figure.draw_without_rendering()
    (left, lower), (right, upper) = figure.get_tightbbox().get_points()
    assert 0 <= left < right <= figure.get_figwidth()
    assert 0 <= lower < upper <= figure.get_figheight()


def test_the_learning_curve_shows_every_record() -> None:
    left, right = pictures.curve_figure(a_record(history=LINES)).axes
    training, validation = left.get_lines()
    np.testing.assert_allclose(training.get_xydata(), [[1, 1.5]])
    np.testing.assert_allclose(validation.get_xydata(), [[1, 1.2], [2, 0.9]])
    np.testing.assert_allclose(right.get_lines()[0].get_xydata(), [[1, 70], [2, 80]])
    assert right.get_title() == "best 80.00 % after epoch 2"
