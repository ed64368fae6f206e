"""Model soups: the average against torch's, the choice against all orders, and whole runs around them."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_swa_avg_fn, update_bn

from botzoo.errors import ConfigError
from botzoo.models.layers import measure_norms, measuring_steps, trained_norms
from botzoo.options.command_line import load_config, made
from botzoo.options.config import TrainConfig
from botzoo.tasks.answers import read_answers
from botzoo.tasks.classification import CLASSIFICATION
from botzoo.tasks.metrics.metric import criterion
from botzoo.training.callbacks import Callback
from botzoo.training.recording.checkpoint import save_weights
from botzoo.training.run import train
from botzoo.training.soup import (
    TOP1,
    Ingredient,
    MakeSoup,
    Score,
    Soup,
    Trial,
    average,
    best_of,
    file_of,
    greedy_soup,
    told,
)
from botzoo.training.state import Run
from botzoo.util.private import reset_precision
from running import TINY, final_weights, run_distributed

QUICK = {**TINY, "epochs": 4, "mixed_precision": "fp32", "ema": None, "checkpoint_every": None}


# The choice


def ingredients(*top1: float) -> tuple[Ingredient, ...]:
    return tuple(Ingredient(epoch, value, 1.0) for epoch, value in enumerate(top1, 1))


def test_what_is_kept_as_it_goes_is_the_best_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        top1, loss = torch.randint(0, 4, (2, 12), generator=generator).tolist()
        every = [Ingredient(epoch, float(a), float(b)) for epoch, (a, b) in enumerate(zip(top1, loss, strict=True), 1)]
        kept: tuple[Ingredient, ...] = ()
        for n, ingredient in enumerate(every, 1):
            best = 1 + max(range(n), key=lambda k: (every[k].points, -k))
            kept = best_of((*kept, ingredient), best, 4)
        assert kept == best_of(every, best, 4)
        assert kept[0].epoch == best


def test_equal_accuracies_go_by_their_loss() -> None:
    epochs = [Ingredient(1, 50, 0.9), Ingredient(2, 50, 0.7), Ingredient(3, 50, 0.8), Ingredient(4, 40, 0.1)]
    assert [i.epoch for i in best_of(epochs, 1, 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("score", "beats"),
    [((61, 2), True), ((60, 0.9), True), ((60, 1), False), ((60, 1.1), False), ((59, 0.1), False)],
)
def test_an_average_beats_by_accuracy_then_by_loss(score: tuple[float, float], beats: bool) -> None:
    assert Score(*score).beats(Score(60, 1)) == beats


def test_a_soup_by_another_metric_is_told_and_kept_in_its_own_unit() -> None:
    """Of log-loss the points are the loss below 0, so that the lowest is the best."""
    by = criterion(CLASSIFICATION, "log-loss")
    trials = (Trial((1, 2), Score(-0.25, 0.25), kept=True),)
    soup = Soup((Ingredient(1, -0.5, 0.5), Ingredient(2, -0.75, 0.75)), trials, by)
    assert soup.facts()["trials"] == [{"epochs": [1, 2], "kept": True, "log_loss": 0.25, "loss": 0.25}]
    assert Soup.of_facts(json.loads(json.dumps(soup.facts())), by) == soup
    assert "validation log-loss 0.5000 -> 0.2500 nats, loss 0.5000 -> 0.2500" in told(soup)[-1]


def tasting(**scores: tuple[float, float]) -> Callable[[tuple[int, ...]], Score | None]:
    return lambda epochs: Score(*found) if (found := scores.get("e" + "".join(map(str, epochs)))) else None


def test_each_epoch_is_kept_only_where_it_helps() -> None:
    """Recipe 1 of the paper by hand: 1 + 2 is better, 1 + 2 + 3 is not, 1 + 2 + 4 as accurate at a lower loss."""
    soup = greedy_soup(ingredients(60, 59, 58, 57), tasting(e12=(61, 0.9), e123=(60.9, 0.1), e124=(61, 0.8)))
    assert (soup.epochs, soup.score, soup.taken) == ((1, 2, 4), Score(61, 0.8), True)
    assert [trial.kept for trial in soup.trials] == [True, False, True]


def test_what_helps_nowhere_leaves_the_best_epoch_alone() -> None:
    soup = greedy_soup(ingredients(60, 59, 58), tasting(e12=(59.9, 0.1), e13=(60, 1.0)))
    assert (soup.epochs, soup.taken) == ((1,), False)
    assert told(soup)[-1].startswith("no average is better")


def test_weights_that_cannot_be_read_are_passed_over() -> None:
    assert greedy_soup(ingredients(60, 59, 58), tasting(e13=(61, 1))).epochs == (1, 3)


def test_what_was_tried_is_told() -> None:
    soup = Soup(ingredients(60, 59, 58), (Trial((1, 2), Score(61, 0.9), True), Trial((1, 2, 3), Score(60, 1), False)))
    best, kept, left, outcome = told(soup)
    assert "epoch 1, the best" in best
    assert "epochs 1 and 2 averaged: 61.00 %" in kept
    assert left.endswith("loss 1.0000: 3 left out")
    assert "60.00 -> 61.00 %, loss 1.0000 -> 0.9000" in outcome


# The average


def networks(count: int) -> list[nn.Module]:
    torch.manual_seed(1)
    made = [timm.create_model("test_resnet", num_classes=3) for _ in range(count)]
    for network in made:
        network.train()(torch.randn(4, 3, 32, 32))
    return made


def test_the_average_is_torchs(tmp_path: Path) -> None:
    every = networks(3)
    averaged = AveragedModel(every[0], avg_fn=get_swa_avg_fn(), use_buffers=True)
    for k, network in enumerate(every):
        averaged.update_parameters(network)
        save_weights(tmp_path / f"{k}", network.state_dict())
    mean = average({tmp_path / f"{k}": None for k in range(3)})
    torch.testing.assert_close(mean, averaged.module.state_dict())


def test_one_epoch_is_its_own_average(tmp_path: Path) -> None:
    state = networks(1)[0].state_dict()
    save_weights(tmp_path / "one", state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in average({tmp_path / "one": None}).items())


@pytest.fixture
def accelerator() -> Iterator[Accelerator]:
    yield Accelerator(cpu=True, mixed_precision="no")
    reset_precision()


def images(count: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(4, 3, 32, 32, generator=generator) for _ in range(count)]


def test_statistics_are_measured_as_torch_does(accelerator: Accelerator) -> None:
    ours, theirs = networks(2)[1].eval(), networks(2)[1].eval()
    update_bn(images(), theirs)
    measure_norms([ours.get_submodule(name) for name in trained_norms(ours)], ours, images(), accelerator)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    assert not any(module.training for module in ours.modules())


def test_frozen_layers_keep_their_statistics(accelerator: Accelerator) -> None:
    network = networks(1)[0].eval()
    network.bn1.requires_grad_(False)  # type: ignore[operator, union-attr]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    measure_norms([network.get_submodule(name) for name in trained_norms(network)], network, images(), accelerator)
    kept = {name for name, tensor in network.state_dict().items() if torch.equal(tensor, before[name])}
    assert {"bn1.running_mean", "bn1.running_var"} == {name for name in kept if "running" in name}


class Two:
    """Stands for two processes of which the other one found nothing but zeros."""

    def reduce(self, tensor: Tensor, how: str) -> Tensor:
        assert how == "mean"
        return tensor / 2


def test_statistics_are_those_of_all_processes(accelerator: Accelerator) -> None:
    alone, together = networks(2)[1].eval(), networks(2)[1].eval()
    measure_norms([alone.get_submodule("bn1")], alone, images(), accelerator)
    measure_norms([together.get_submodule("bn1")], together, images(), Two())  # type: ignore[arg-type]
    torch.testing.assert_close(2 * together.bn1.running_var, alone.bn1.running_var)  # type: ignore[operator, union-attr]


def test_an_epoch_or_2048_images_are_measured_on() -> None:
    assert (measuring_steps(64, 1000), measuring_steps(100, 1000), measuring_steps(64, 5)) == (32, 21, 5)


# Whole runs


def cooked(photos: Path, output: Path, soup: int | None, *callbacks: Callback, **options: Any) -> Run:
    options = {**QUICK, "dataset": str(photos), "output": str(output), **options}
    return train(made(options, TrainConfig), [*([MakeSoup(soup)] if soup else []), *callbacks])


def records(folder: Path, split: str) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for line in lines if (record := json.loads(line))["split"] == split]


def soup_of(run: Run) -> Soup:
    """Return what run.json says of the soup."""
    facts = json.loads((run.folder / "run.json").read_text())["soup"]
    return Soup.of_facts(facts, TOP1)


@pytest.fixture(scope="module")
def result(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return cooked(photos, tmp_path_factory.mktemp("soup") / "run", 3, epochs=6, lr=0.1)


@pytest.mark.slow
def test_the_best_epochs_are_kept_and_no_others(result: Run) -> None:
    every = [Ingredient(r["epoch"], r["top1"], r["loss"]) for r in records(result.folder, "validation")]
    kept = soup_of(result).ingredients
    assert [i[:3] for i in kept] == [i[:3] for i in best_of(every, result.progress.best_epoch, 3)]
    files = {file_of(result.folder / "checkpoints", ingredient.epoch) for ingredient in kept}
    assert set((result.folder / "checkpoints").glob("epoch-*")) == files


def test_the_soup_is_what_is_evaluated_and_written(result: Run) -> None:
    soup = soup_of(result)
    assert soup.taken
    _, answers = read_answers(result.folder / "evaluation" / "validation.parquet")
    found = CLASSIFICATION.evaluation(answers)
    assert (found.top1, found.loss) == (soup.score.points, soup.score.loss)
    digests = {ingredient.epoch: ingredient.digest for ingredient in soup.ingredients}
    mean = average({file_of(result.folder / "checkpoints", epoch): digests[epoch] for epoch in soup.epochs})
    weights = final_weights(result.folder)
    assert all(torch.equal(weights[name], tensor) for name, tensor in mean.items() if name.endswith(("weight", "bias")))
    assert not torch.equal(weights["bn1.running_mean"], mean["bn1.running_mean"])


def test_log_and_metrics_tell_what_was_tried(result: Run) -> None:
    log = (result.folder / "log.txt").read_text()
    assert all(line in log for line in told(soup_of(result)))
    tried = [Trial(tuple(r["epochs"]), Score(r["top1"], r["loss"]), r["kept"]) for r in records(result.folder, "soup")]
    assert tuple(tried) == soup_of(result).trials


def same_weights(a: Path, b: Path) -> bool:
    ours, theirs = final_weights(a), final_weights(b)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_where_no_average_is_better_the_best_epoch_is_kept_to_the_bit(photos: Path, tmp_path: Path) -> None:
    result = cooked(photos, tmp_path / "run", 2, lr=1e-9, warmup=0, epochs=2)
    assert not soup_of(result).taken
    best = load_file(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert all(torch.equal(final_weights(tmp_path / "run")[name], best[name]) for name in best)


def test_one_epoch_makes_no_soup(photos: Path, tmp_path: Path) -> None:
    assert "soup" not in cooked(photos, tmp_path / "run", 3, epochs=1).facts


def test_weights_that_are_gone_are_left_out(tmp_path: Path, result: Run) -> None:
    folder = shutil.copytree(result.folder, tmp_path / "run")
    first = soup_of(result)
    file_of(folder / "checkpoints", first.ingredients[1].epoch).write_bytes(b"half")
    again = train(load_config(folder / "config.yaml", TrainConfig), [MakeSoup(3)], resume=folder)
    assert [trial.epochs[-1] for trial in soup_of(again).trials] == [first.ingredients[2].epoch]
    assert "the last of them is left out" in (folder / "log.txt").read_text()


class ThawAfterTheEnd(Callback):
    """Trains classifier and last stage in the four epochs of the run; what comes later is never trained."""

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        for name, parameter in run.model.named_parameters():
            parameter.requires_grad_(epoch >= 4 or name.startswith(("fc", "layer4")))


@pytest.mark.slow
def test_an_end_that_is_done_again_is_the_same_to_the_bit(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Score, "beats", lambda self, other: True)  # so that there is an average to be kept
    first = cooked(photos, tmp_path / "run", 3, ThawAfterTheEnd(), lr=0.1)
    assert soup_of(first).taken
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    again = train(first.config, [MakeSoup(3), ThawAfterTheEnd()], resume=tmp_path / "again")
    assert (soup_of(again), len(records(again.folder, "soup"))) == (soup_of(first), len(soup_of(first).trials))
    assert same_weights(tmp_path / "run", tmp_path / "again")


class FreezeNorms(Callback):
    """Trains no BatchNorm, whose statistics would depend on how a batch is shared."""

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        for module in run.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.requires_grad_(False)


def cook(photos: str, output: str) -> None:
    plain = {"mixup": 0.0, "cutmix": 0.0, "batch_size": 12, "zero_gamma": False, "lr": 0.1, "epochs": 2}
    cooked(Path(photos), Path(output), 2, FreezeNorms(), **plain)


@pytest.mark.slow
def test_two_processes_make_the_soup_of_one(photos: Path, tmp_path: Path) -> None:
    cook(str(photos), str(tmp_path / "1"))
    assert run_distributed(2, cook, str(photos), str(tmp_path / "2")) == [0, 0]
    one, two = (records(tmp_path / str(count), "soup") for count in (1, 2))
    assert [(r["epochs"], r["kept"]) for r in one] == [(r["epochs"], r["kept"]) for r in two]
    torch.testing.assert_close(final_weights(tmp_path / "2"), final_weights(tmp_path / "1"), rtol=1e-4, atol=1e-5)


def test_fewer_than_two_epochs_are_refused() -> None:
    with pytest.raises(ConfigError, match="--soup is 1: it must be 2"):
        TrainConfig(soup=1)
