"""What is said before the first step, and the dry run that stops there."""

import logging
from pathlib import Path
from typing import Any

import pytest
import timm

from botzoo.errors import BotzooError
from botzoo.options.command_line import made
from botzoo.options.config import OptimConfig, TrainConfig
from botzoo.training.callbacks import Callback
from botzoo.training.plan import decay_words, optimizer_lines, plan, teacher_lines, tricks_line
from botzoo.training.rehearsal import dry_run
from botzoo.training.setup import set_up
from botzoo.training.state import Run
from conftest import write_photos
from running import run_distributed, write_teacher

SIZES = [(p.ndim, p.numel()) for p in timm.create_model("test_resnet", num_classes=3, device="meta").parameters()]
TOTAL = sum(size for _, size in SIZES)
QUICK = {
    "model": "test_resnet",
    "scratch": True,
    "img_size": 32,
    "epochs": 4,
    "batch_size": 16,
    "lr": 0.2,
    "mixed_precision": "fp32",
}


def said(photos: Path, folder: Path, **options: Any) -> list[str]:
    """Rehearse in ``folder`` and return the lines of the plan."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("botzoo"), "handlers", [handler])
        patch.setattr(logging.getLogger("botzoo"), "level", logging.INFO)
        patch.chdir(folder)
        dry_run(made({**QUICK, "dataset": str(photos), **options}, TrainConfig))
    return lines


def built(photos: Path, **options: Any) -> Run:
    return set_up(made({**QUICK, "dataset": str(photos), **options}, TrainConfig))


def section(lines: list[str], heading: str) -> str:
    """Return the lines of one heading, as one."""
    first = next(i for i, line in enumerate(lines) if line.startswith(heading))
    rest = (i for i in range(first + 1, len(lines)) if lines[i][0] != " ")
    return " | ".join(line[11:] for line in lines[first : next(rest, len(lines))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dry")


@pytest.fixture(scope="module")
def lines(photos: Path, folder: Path) -> list[str]:
    return said(photos, folder, warmup=1.0)


def test_the_scaled_learning_rate_comes_with_its_arithmetic(lines: list[str]) -> None:
    assert "learning rate 0.0125 = 0.2 x 16 / 256" in section(lines, "optimizer")
    assert "3 steps of warmup" in section(lines, "optimizer")


def test_decayed_and_undecayed_parameters_are_counted(lines: list[str]) -> None:
    weights = sum(size for ndim, size in SIZES if ndim > 1)
    assert f"weight decay 0.0001 on {weights:,} parameters, none on {TOTAL - weights:,}" in section(lines, "optimizer")


def test_parameters_and_multiplications_are_counted(lines: list[str]) -> None:
    model = section(lines, "model")
    assert model.startswith(f"test_resnet: {TOTAL:,} parameters, {TOTAL:,} of them trained")
    assert "4 million multiply-adds" in model
    assert "32 x 32 px" in model


def test_the_effective_batch_is_taken_apart(lines: list[str]) -> None:
    steps = section(lines, "steps")
    assert "4 epochs x 3 = 12 steps; batch 16 = 1 process" in steps
    assert steps.endswith("x 16 images")


def test_memory_is_an_estimate_by_parts(lines: list[str]) -> None:
    memory = section(lines, "memory")
    assert memory.startswith("estimate for each process: ")
    assert " = weights 1.4 + gradients 1.4 + optimizer" in memory
    assert memory.endswith(", 16 images at once")


def test_a_dry_run_leaves_one_picture_and_names_it(lines: list[str], folder: Path) -> None:
    assert section(lines, "output").endswith("drawn in lr_curve.png")
    assert [path.name for path in folder.iterdir()] == ["lr_curve.png"]


def test_a_second_dry_run_leaves_the_first_picture_alone(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "lr_curve.png").write_text("precious")
    assert section(said(photos, tmp_path), "output").endswith("drawn in lr_curve-2.png")
    assert (tmp_path / "lr_curve.png").read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "."}, r"--output \. exists already"),
        ({"batch_size": 1000}, "is 1000 for 48 training images"),
        ({"epochs": 30, "warmup": 30.0}, r"less than --epochs 30"),
    ],
)
def test_a_dry_run_is_refused_what_a_run_is(
    options: dict[str, Any], message: str, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(BotzooError, match=message):
        said(photos, tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"optimizer": "adamw", "optim": {"momentum": 0.8}},
            "--optim.momentum 0.8 has no effect",
        ),
        ({"optimizer": "lars"}, "LARS is made for batches above 16 k"),
        ({"optimizer": "adamw", "linear_scaling": False}, "adamw, learning rate 0.2 after "),
        ({"no_bias_decay": False}, f"on {TOTAL:,} parameters, none on 0"),
        ({"cosine": False, "optim": {"decay": "step"}}, "then times 0.1 after epochs 1, 2, 3"),
    ],
)
def test_the_optimizer_is_described(options: dict[str, Any], words: str, photos: Path) -> None:
    run = built(photos, **options)
    assert words in " | ".join(optimizer_lines(run))


def test_the_tricks_are_named(photos: Path) -> None:
    run = built(photos, xavier_init=True, drop_rate=0.25, mixup=0.2, cutmix=1.0, ema=0.9)
    named = tricks_line(run.config, run.network, None).split(", ")
    assert {"linear_scaling", "zero_gamma", "xavier_init", "drop_rate 0.25", "mixup 0.2", "ema 0.9"} <= set(named)
    plain = tricks_line(built(photos).config, run.network, None)
    assert "xavier_init" not in plain
    assert "drop_rate" not in plain


@pytest.mark.parametrize(("scratch", "whose"), [(True, "the paper's"), (False, "the weights' own")])
def test_the_papers_augmentation_says_whose_mean_it_takes(scratch: bool, whose: str, photos: Path) -> None:
    config = TrainConfig(scratch=scratch, paper_augment=True)
    assert f"paper_augment with {whose} mean and std" in tricks_line(config, built(photos).network, None)


def test_the_teacher_is_described(photos: Path, tmp_path: Path) -> None:
    address = f"local-dir:{write_teacher(tmp_path)}"
    run = built(photos, distillation=address)
    (line,) = teacher_lines(run.teacher)
    assert line.startswith(f"teacher: {address}, ")
    assert line.endswith("sees 32 x 32 px")
    assert f"distillation from {address} (T 20, weight 1)" in tricks_line(run.config, run.network, run.teacher)
    assert not [*teacher_lines(None)]


class Says(Callback):
    """Adds lines to the plan."""

    def on_plan(self, run: Run) -> list[tuple[str, str]]:
        return [("tricks", "one more"), ("own", "a heading of its own")]


def test_lines_of_callbacks_stand_under_their_headings(photos: Path) -> None:
    lines = [*plan(built(photos), [Says()])]
    assert lines[0].endswith(" classes (class0, class1, class2)")
    assert section(lines, "tricks").endswith("| one more")
    assert section(lines, "own") == "a heading of its own"


@pytest.mark.parametrize(
    ("optim", "words"),
    [
        ({}, "constant"),
        ({"decay": "step"}, "times 0.1 after epochs 30, 60, 90"),
        ({"decay": "step", "milestones": (7, 9), "decay_factor": 0.2}, "times 0.2 after epochs 7, 9"),
        ({"decay": "exponential"}, "times 0.94 after every 2 epochs"),
        ({"decay": "plateau"}, "times 0.1 after every 5 epochs without"),
    ],
)
def test_every_decay_has_its_words(optim: dict[str, Any], words: str) -> None:
    assert decay_words(TrainConfig(cosine=False, optim=OptimConfig(**optim)), 120, "mAP").startswith(words)


def dry(photos: str, folder: str) -> None:
    said(Path(photos), Path(folder))


@pytest.mark.slow
def test_two_processes_draw_one_picture(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data", classes=2, each=20)
    (tmp_path / "here").mkdir()
    assert run_distributed(2, dry, str(data), str(tmp_path / "here")) == [0, 0]
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["lr_curve.png"]
