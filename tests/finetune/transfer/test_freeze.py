"""Freezing: whole stages from the input on, the same for ResNets, transformers and EfficientNets."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import timm
from torch import nn

from botzoo.errors import ConfigError
from botzoo.models.layers import head_names, trained_norms
from botzoo.training.recording.checkpoint import Progress
from botzoo_finetune.transfer.layers import FEW, Freeze, KeepStatistics, frozen_stages, stages

NETWORKS = {
    "resnet18d": ("fc.", 5),
    "test_vit": ("head.", 7),
    "test_efficientnet": ("classifier.", 6),
    "mobilenet_v1_bot": ("classifier.", 6),
    "inception_v3_bot": ("fc.", 13),
}
"""Prefix of the classifier, and how many parts the body has, the stem included."""


@cache
def network(name: str) -> Any:
    return timm.create_model(name, num_classes=3, device="meta")


@cache
def trained(name: str, freeze: str, unfreeze_every: int | None = None, epoch: int = 0) -> frozenset[str]:
    """Names of the parameters that are trained."""
    model = network(name).requires_grad_(True)
    Freeze(freeze, unfreeze_every).on_epoch_start(SimpleNamespace(model=model), epoch)  # type: ignore[arg-type]
    return frozenset(n for n, p in model.named_parameters() if p.requires_grad)


def refuse(name: str, freeze: str) -> None:
    """Raise where a network has not so many stages."""
    Freeze(freeze).on_network(SimpleNamespace(model=network(name), architecture=name))  # type: ignore[arg-type]


def every(name: str) -> set[str]:
    return {n for n, _ in network(name).named_parameters()}


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_hold_each_parameter_once(name: str) -> None:
    model = network(name)
    assert sorted([n for part in (*stages(model), head_names(model)) for n in part]) == sorted(every(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_are_counted_with_the_stem(name: str) -> None:
    assert len(stages(network(name))) == NETWORKS[name][1]


def test_the_stages_of_a_resnet_are_its_layers() -> None:
    body = stages(network("resnet18d"))
    prefixes = [{n.split(".")[0] for n in part} for part in body]
    assert prefixes == [{"conv1", "bn1"}, {"layer1"}, {"layer2"}, {"layer3"}, {"layer4"}]


@pytest.mark.parametrize("name", NETWORKS)
def test_none_trains_everything(name: str) -> None:
    assert trained(name, "none") == every(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_backbone_trains_the_classifier_alone(name: str) -> None:
    assert trained(name, "backbone") == {n for n in every(name) if n.startswith(NETWORKS[name][0])}


@pytest.mark.parametrize(
    ("name", "freeze", "frozen"),
    [
        ("resnet18d", "0", ("conv1.", "bn1.")),
        ("resnet18d", "2", ("conv1.", "bn1.", "layer1.", "layer2.")),
        ("test_vit", "0", ("cls_token", "pos_embed", "patch_embed.")),
        ("test_vit", "1", ("cls_token", "pos_embed", "patch_embed.", "blocks.0.")),
        ("test_efficientnet", "0", ("conv_stem.", "bn1.")),
        ("test_efficientnet", "2", ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")),
    ],
)
def test_n_freezes_the_stem_and_n_stages(name: str, freeze: str, frozen: tuple[str, ...]) -> None:
    assert trained(name, freeze) == {n for n in every(name) if not n.startswith(frozen)}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_stages_leave_the_classifier(name: str) -> None:
    assert trained(name, str(NETWORKS[name][1] - 1)) == trained(name, "backbone")


@pytest.mark.parametrize("name", NETWORKS)
def test_more_stages_than_there_are_is_an_error_with_the_range(name: str) -> None:
    n = NETWORKS[name][1]
    refuse(name, str(n - 1))
    with pytest.raises(ConfigError, match=rf"--freeze is {n} and {name} has a stem and {n - 1} stages"):
        refuse(name, str(n))


@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_none_and_backbone_fit_every_network(freeze: str) -> None:
    refuse("test_vit", freeze)


def test_a_network_that_names_no_stages_is_an_error_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="Linear does not name its stages"):
        stages(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("freeze", "every", "counts"),
    [
        ("none", None, [0, 0, 0, 0, 0, 0, 0]),
        ("backbone", None, [5, 5, 5, 5, 5, 5, 5]),
        ("1", None, [2, 2, 2, 2, 2, 2, 2]),
        ("none", 1, [5, 4, 3, 2, 1, 0, 0]),
        ("none", 2, [5, 5, 4, 4, 3, 3, 2]),
        ("0", 1, [5, 4, 3, 2, 1, 1, 1]),
        ("2", 1, [5, 4, 3, 3, 3, 3, 3]),
        ("4", 1, [5, 5, 5, 5, 5, 5, 5]),
    ],
)
def test_stages_thaw_from_the_top_down_to_the_floor(freeze: str, every: int | None, counts: list[int]) -> None:
    assert [frozen_stages(freeze, every, epoch, total=5) for epoch in range(7)] == counts


def test_gradual_unfreezing_begins_with_the_classifier() -> None:
    assert trained("resnet18d", "none", 1, epoch=0) == trained("resnet18d", "backbone")
    assert trained("resnet18d", "none", 1, epoch=1) == trained("resnet18d", "3")
    assert trained("resnet18d", "none", 1, epoch=5) == every("resnet18d")


def test_a_resumed_run_freezes_as_the_first_one_did() -> None:
    assert trained("resnet18d", "none", 2, epoch=3) == trained("resnet18d", "3")


@pytest.mark.parametrize("seen", [1, 2, FEW - 1, FEW, FEW + 1, 4 * FEW])
@pytest.mark.parametrize(("processes", "together"), [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize("own", [[], ["data"], ["model"]], ids=str)
def test_batchnorm_keeps_its_statistics_where_few_images_are_seen_at_once(
    seen: int, processes: int, together: bool, own: list[str]
) -> None:
    model = timm.create_model("test_resnet", device="meta")
    order = SimpleNamespace(micro_batch=seen, world_size=processes)
    config = SimpleNamespace(engine=SimpleNamespace(sync_bn=together))
    at_start: dict[str, Any] = {"progress": Progress(), "trainer": SimpleNamespace(start_epoch=lambda: None)}
    run: Any = SimpleNamespace(model=model, order=order, config=config, facts={"own": own}, **at_start)
    callback = KeepStatistics()
    callback.on_train_start(run)
    few = seen * (processes if together else 1) <= FEW and "model" not in own
    assert bool(trained_norms(model)) == (not few)
    assert len(list(callback.on_plan(run))) == few


def test_what_a_network_leaves_as_it_is_stays_so_while_others_thaw() -> None:
    model = timm.create_model("resnet18d", num_classes=3, device="meta")
    norms = {n for n, p in model.named_parameters() if ".bn" in n and not p.requires_grad_(False).requires_grad}
    freeze, run = Freeze("none", 1), SimpleNamespace(model=model)
    freeze.on_setup(run)  # type: ignore[arg-type]
    for epoch in range(9):
        freeze.on_epoch_start(run, epoch)  # type: ignore[arg-type]
    assert {n for n, p in model.named_parameters() if not p.requires_grad} == norms
