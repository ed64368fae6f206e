"""Several processes do what one does: the same images, learning rates, gradients and evaluation."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from botzoo.training.callbacks import Callback
from botzoo.training.state import Run
from running import TINY, final_weights, run_distributed, write_teacher

pytestmark = pytest.mark.slow  # several processes in each


class FreezeNorms(Callback):
    """Trains no BatchNorm, whose statistics would depend on how a batch is shared."""

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        for module in run.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.requires_grad_(False)


def train_and_record(options: dict[str, Any], folder: str) -> None:
    """Train and write down, for this rank, the images and learning rate of each step, and the last evaluation."""
    from botzoo.options.command_line import made
    from botzoo.options.config import TrainConfig
    from botzoo.training.run import train
    from botzoo.training.steps.trainer import Trainer

    take = Trainer.step
    rows: list[Any] = []
    seen: list[Any] = []

    def step(self: Trainer, k: int, batches: Any) -> torch.Tensor:
        images = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for batch in batches for image in batch[0]]
        loss = take(self, k, batches)
        rows.append([images, self.optimizer.param_groups[0]["lr"]])
        return loss

    class Listen(Callback):
        def on_epoch_end(self, run: Run, evaluation: Any) -> None:
            seen[:] = [evaluation]

    Trainer.step = step  # type: ignore[method-assign]
    train(made(options, TrainConfig), [FreezeNorms(), Listen()])
    row = {"steps": rows, "evaluated": seen[0].labels.tolist(), "predicted": seen[0].predicted.tolist()}
    Path(folder, f"rank{os.environ['RANK']}.json").write_text(json.dumps(row))


OPTIONS = {
    **TINY,
    "mixup": 0.0,
    "cutmix": 0.0,
    "ema": None,
    "epochs": 2,
    "batch_size": 12,
    "mixed_precision": "fp32",
    "zero_gamma": False,
}


def record(world_size: int, photos: Path, folder: Path, **options: Any) -> tuple[list[dict[str, Any]], Path]:
    folder.mkdir()
    run = folder / "run"
    options = {**OPTIONS, "dataset": str(photos), "output": str(run), **options}
    assert run_distributed(world_size, train_and_record, options, str(folder)) == [0] * world_size
    return [json.loads((folder / f"rank{r}.json").read_text()) for r in range(world_size)], run


@pytest.fixture(scope="module")
def runs(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[dict[str, Any]], Path]]:
    folder = tmp_path_factory.mktemp("distributed")
    taught = {"distillation": f"local-dir:{write_teacher(folder / 'teacher')}"}
    return {
        "one": record(1, photos, folder / "one", **taught),
        "two": record(2, photos, folder / "two", **taught),
        "accumulated": record(2, photos, folder / "accumulated", engine={"micro_batch": 2}, **taught),
    }


def test_one_process_decodes_for_all(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "by").mkdir()
    assert run_distributed(2, read_and_record, str(photos), str(tmp_path)) == [0, 0]
    (who,) = (tmp_path / "by").iterdir()
    first, second = (json.loads((tmp_path / f"rank{r}.json").read_text()) for r in range(2))
    assert who.name == "0"
    assert first == second
    assert first[0].startswith("decoded in")


def read_and_record(photos: str, folder: str) -> None:
    """Read images in one of several processes; write down who decodes, where the pixels are, and what they are."""
    from botzoo.data import images as data
    from botzoo.options.command_line import made
    from botzoo.options.config import TrainConfig
    from botzoo.training.setup import set_up

    os.environ["BOTZOO_CACHE"] = folder
    at_hand = data.at_hand

    def recorded(*given: Any) -> Any:
        Path(folder, "by", os.environ["RANK"]).touch()
        return at_hand(*given)

    data.at_hand = recorded
    images: Any = set_up(made({**OPTIONS, "dataset": photos}, TrainConfig)).images
    sha = hashlib.sha256(images["train"].pixels(3).tobytes()).hexdigest()
    Path(folder, f"rank{os.environ['RANK']}.json").write_text(json.dumps([images["train"].kept_in, sha]))


@pytest.mark.parametrize("several", ["two", "accumulated"])
def test_the_same_images_at_the_same_step(several: str, runs: dict[str, Any]) -> None:
    (one,), ranks = runs["one"][0], runs[several][0]
    for step, (images, _) in enumerate(one["steps"]):
        assert sorted(images) == sorted(image for rank in ranks for image in rank["steps"][step][0])


def test_the_same_learning_rate_at_the_same_step(runs: dict[str, Any]) -> None:
    (one,), ranks = runs["one"][0], runs["two"][0]
    for rank in ranks:
        assert [lr for _, lr in rank["steps"]] == [lr for _, lr in one["steps"]]


@pytest.mark.parametrize("several", ["two", "accumulated"])
def test_gradients_average_to_those_of_one_process(several: str, runs: dict[str, Any]) -> None:
    one, other = final_weights(runs["one"][1]), final_weights(runs[several][1])
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-5)


def test_the_last_learning_rate_is_the_end_of_the_cosine(runs: dict[str, Any]) -> None:
    steps = runs["two"][0][0]["steps"]
    assert 0 < steps[-1][1] < 0.1 * max(lr for _, lr in steps)


@pytest.mark.parametrize("several", ["one", "two"])
def test_every_image_is_evaluated_exactly_once(several: str, runs: dict[str, Any]) -> None:
    for rank in runs[several][0]:  # 12 images of 3 classes are set aside
        assert sorted(rank["evaluated"]) == [0] * 4 + [1] * 4 + [2] * 4


def test_all_processes_know_the_same_evaluation(runs: dict[str, Any]) -> None:
    first, second = runs["two"][0]
    assert first["predicted"] == second["predicted"]


def check_how_long_processes_wait() -> None:
    from botzoo.options.config import TrainConfig
    from botzoo.training.distributed import WAIT, make_accelerator

    make_accelerator(TrainConfig(mixed_precision="fp32"))
    group = torch.distributed.distributed_c10d._get_default_group()
    assert group._get_backend(torch.device("cpu")).options._timeout == WAIT


def test_processes_wait_while_one_reads_all_images() -> None:
    assert run_distributed(2, check_how_long_processes_wait) == [0, 0]
