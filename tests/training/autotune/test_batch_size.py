"""--batch-size auto: its limits, the memory that is tried or estimated, and what a run keeps of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from botzoo.errors import ConfigError
from botzoo.models.preprocessing import Decoding, Preprocessing, Size
from botzoo.options.command_line import load_config, made
from botzoo.options.config import AblateConfig, TrainConfig
from botzoo.tasks.objective import Objective
from botzoo.training.autotune import batch_size
from botzoo.training.autotune.batch_size import USABLE, LargestBatch, largest_fitting, largest_micro_batch
from botzoo.training.autotune.memory import available_memory
from botzoo.training.callbacks import Callback
from botzoo.training.plan import memory_of
from botzoo.training.run import train
from botzoo.training.setup import set_up
from botzoo.training.sizes import LARGEST_BATCH, STEPS_PER_EPOCH, largest_batch
from botzoo.training.state import Run
from botzoo.training.steps.trainer import Trainer
from conftest import write_photos

AUTO = {"model": "test_resnet", "scratch": True, "img_size": 32, "batch_size": "auto", "mixed_precision": "fp32"}


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_the_network_s_channels_are_tried(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[torch.Size] = []
    monkeypatch.setattr(Trainer, "probe", lambda self, batch: tried.append(batch[0].shape))
    trainer = object.__new__(Trainer)
    trainer.preprocessing = Preprocessing(8, (0.5,), (0.5,), 1.0, "bilinear", decoding=Decoding(channels))
    trainer.objective, trainer.accelerator = Objective(2), Accelerator(cpu=True)
    assert largest_micro_batch(trainer, 4, Size(6, 8), lambda text: None) == 4
    assert tried == [(4, channels, 6, 8)]


@pytest.mark.parametrize("images", [2, 3, 8, 100, 321, 5_000, 20_480, 10**6])
@pytest.mark.parametrize("world", [1, 2, 6])
def test_the_largest_batch_is_a_power_of_two_for_each_process_and_leaves_enough_steps(images: int, world: int) -> None:
    batch = largest_batch(images, world)
    each = batch // world
    assert batch % world == 0
    assert each & (each - 1) == 0
    assert batch <= max(LARGEST_BATCH, world)
    assert each == 1 or batch <= 8 or images // batch >= STEPS_PER_EPOCH
    more = 2 * batch  # is too many for one of the reasons
    assert more > LARGEST_BATCH or (more > min(8, images) and images // more < STEPS_PER_EPOCH)


@pytest.mark.parametrize(("room", "images"), [(10_000, 64), (640, 64), (639, 32), (11, 1), (10, 1)])
def test_it_is_halved_until_it_fits(room: int, images: int) -> None:
    assert largest_fitting(64, lambda n: 10 * n, room) == images


def test_where_no_image_fits_the_error_says_what_one_takes() -> None:
    with pytest.raises(ConfigError, match="takes 50 MiB by estimate and 10 MiB"):
        largest_fitting(64, lambda n: (50 << 20) * n, 10 << 20)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 400 images each, of which 640 are trained on: 32 in a batch leave an epoch 20 steps."""
    return write_photos(tmp_path_factory.mktemp("many") / "photos", classes=2, each=400, size=4)


def built(photos: Path, *callbacks: Callback, **options: Any) -> Run:
    return set_up(made({**AUTO, "dataset": str(photos), **options}, TrainConfig), callbacks)


def test_with_memory_enough_the_number_of_images_decides(many: Path) -> None:
    run = built(many, LargestBatch(), lr=0.8)
    assert (run.order.batch_size, run.config.batch_size) == (32, 32)
    assert run.schedule.peak == pytest.approx(0.8 * 32 / 256)
    (choice,) = run.choices
    assert (choice.option, choice.value, choice.source) == ("batch_size", 32, "--batch-size auto")
    assert "leave an epoch under 20 steps" in choice.reason


def test_a_batch_that_was_given_stays(many: Path) -> None:
    run = built(many, LargestBatch(), batch_size=4, epochs=1)
    assert (run.order.batch_size, run.choices) == (4, ())


def test_on_a_cpu_the_estimate_decides(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = int(memory_of(built(many), 9).total / USABLE)
    monkeypatch.setattr(batch_size, "available_memory", lambda: free)
    run = built(many, LargestBatch())
    assert run.order.batch_size == 8
    assert "16 images for each process would take " in run.choices[0].reason


def test_on_a_gpu_a_step_of_each_size_is_tried(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, tried = built(many), []

    def probe(self: Trainer, batch: Any) -> None:
        tried.append(len(batch[0]))
        if len(batch[0]) > 4:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(Trainer, "probe", probe)
    assert largest_micro_batch(run.trainer, 32, Size.of(64), lambda text: None) == 4
    assert tried == [32, 16, 8, 4]


def test_the_number_is_kept_and_said(photos: Path, tmp_path: Path) -> None:
    options = {**AUTO, "dataset": str(photos), "epochs": 1, "output": str(tmp_path / "run")}
    run = train(made(options, TrainConfig), [LargestBatch()])
    assert load_config(tmp_path / "run" / "config.yaml", TrainConfig).batch_size == run.order.batch_size == 8
    assert "--batch-size 8: the memory suffices" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (
            TrainConfig,
            {"engine": {"micro_batch": 4}},
            "micro-batch 4 and --batch-size auto",
        ),
        (AblateConfig, {"epochs": 3}, "auto needs a run of its own"),
    ],
)
def test_what_auto_cannot_go_with_is_refused(config: type[TrainConfig], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made({"batch_size": "auto", **options}, config)


# Free memory


def container(folder: Path, limit: str) -> Path:
    for name, text in {"max": limit, "current": "700", "stat": "anon 300\ninactive_file 250\n"}.items():
        (folder / f"memory.{name}").write_text(text + "\n")
    return folder


def test_a_containers_own_limit_counts(tmp_path: Path) -> None:
    assert available_memory(container(tmp_path, "1000")) == 1000 - 700 + 250


def test_without_a_limit_it_is_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("", (), {"available": 12345})())
    assert available_memory(container(tmp_path, "max")) == available_memory(tmp_path / "none") == 12345
