"""botzoo transfer: what the rungs have in common, what they start from, and training what is missing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from botzoo.errors import BotzooError, ConfigError
from botzoo.experiments.weights import Weights, find_weights
from botzoo.options.command_line import from_keywords
from botzoo.options.config import AblateConfig
from botzoo.options.facts import values_of
from botzoo.recipes.ladders import load_ladder, select
from botzoo.util.nested import nested
from botzoo_finetune.weights import transfer as experiment
from botzoo_finetune.weights.options import TransferConfig
from running import write_teacher

LADDER = """
target: {task: classify, paper_on: on paper, remark: A remark.}
rungs:
- {name: given, paper: 70}
- {name: own, weights: "local-dir:WEIGHTS", paper: 71.5}
"""


TABLE_9 = {"task": "segment", "head": "fcn16"}


def go(options: dict[str, Any]) -> Any:
    """Do what the command does."""
    config, given = from_keywords(TransferConfig, {}, options)
    common = nested({name: value for name, value in values_of(config).items() if name in given})
    return experiment.transfer(config, common, given, "botzoo transfer")


@pytest.fixture(scope="module")
def options(photos: Path, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options of a ladder of two rungs that was climbed with one seed in the folder ``output``."""
    folder = tmp_path_factory.mktemp("transfer")
    run = shutil.copytree(finished_run, folder / "run")
    (folder / "mine.yaml").write_text(LADDER.replace("WEIGHTS", str(write_teacher(folder / "own"))))
    quick = {"img_size": 32, "epochs": 1, "batch_size": 16, "mixed_precision": "fp32", "report": False, "unlike": False}
    paths = {"ladder": str(folder / "mine.yaml"), "dataset": str(photos), "output": str(folder / "out")}
    asked = {**quick, **paths, "seeds": "1", "weights": f"given={run}", "auto": False, "lp_ft": False}
    go(asked)
    return asked


def configured(options: dict[str, Any], rung: str) -> dict[str, str]:
    lines = (Path(options["output"]) / "cells" / rung / "seed-0" / "config.yaml").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != "#")


@pytest.mark.slow
def test_the_rungs_differ_in_their_weights_alone(options: dict[str, Any]) -> None:
    first, second = (configured(options, rung) for rung in ("given", "own"))
    own_to_weights = {"model", "output", "  side"}  # the side that their own evaluation needs
    assert {name for name in first if first[name] != second.get(name)} == own_to_weights
    assert first["model"].endswith("run/model")


@pytest.mark.slow
def test_the_report_says_what_the_weights_are_and_what_the_paper_has(options: dict[str, Any]) -> None:
    text = (Path(options["output"]) / "transfer.md").read_text()
    assert "| given | test_resnet | " in text
    assert "| 71.50, +1.50 |" in text
    assert "A remark." in text
    assert "figures are on paper." in text
    rungs = json.loads((Path(options["output"]) / "transfer.json").read_text())["rungs"]
    assert [rung["difference"]["mean"] for rung in rungs[1:]] == pytest.approx(
        [rungs[1]["top1"]["mean"] - rungs[0]["top1"]["mean"]]
    )
    assert not any("model" in facts for rung in rungs for facts in (rung["options"], rung["weights"]))


@pytest.mark.slow
def test_what_is_finished_is_not_trained_again(options: dict[str, Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(options["output"]).rglob("*.safetensors")}
    assert set(go(options).cells) == {("given", 0), ("own", 0)}
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_other_weights_in_the_same_place_are_refused(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def others(*asked: Any) -> dict[str, Weights]:
        return {name: replace(weights, identity="0" * 64) for name, weights in find_weights(*asked).items()}

    monkeypatch.setattr(experiment, "find_weights", others)
    with pytest.raises(ConfigError, match=r"its rung (given|own) has weights = .*, not 0000"):
        go(options)


def test_a_budget_becomes_the_same_steps_for_all_and_later_commands_keep_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def train(climb: Any, *_: Any) -> None:
        every = climb.options_of(climb.asked)
        seen.extend(own["steps"] for own in every.values())
        tmp_path.joinpath("ladder.json").write_text(json.dumps({"rungs": every}))

    (tmp_path / "mine.yaml").write_text(LADDER.replace("local-dir:WEIGHTS", "resnet34d"))
    asked = {"ladder": str(tmp_path / "mine.yaml"), "weights": "given=resnet18d", "budget": "9m"}
    monkeypatch.setattr(experiment.Climb, "train", train)
    monkeypatch.setattr(experiment, "read_sealed", Path.read_text)
    for measured in (12, 15):
        monkeypatch.setattr(experiment, "steps_in_budget", lambda *_, steps=measured: steps)
        go(asked | {"output": str(tmp_path)})
    assert seen == [12, 12, 12, 12]


@pytest.mark.parametrize(
    ("ladder", "own"), [("table7", {"task": "classify"}), ("table8", {"task": "detect"}), ("table9", TABLE_9)]
)
def test_all_rungs_of_a_table_have_its_task_and_their_own_weights(
    ladder: str, own: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    climbs: list[Any] = []
    monkeypatch.setattr(experiment.Climb, "train", lambda climb, *_: climbs.append(climb))
    names = [rung.name for rung in load_ladder(ladder, of_weights=True).rungs]
    given = ",".join(f"{name}=resnet18d.{k}" for k, name in enumerate(names))
    go({"ladder": ladder, "weights": given, "epochs": 1, "output": str(tmp_path / "out")})
    options = climbs[0].options_of(climbs[0].asked)
    assert {name: each["model"] for name, each in options.items()} == {n: f"resnet18d.{k}" for k, n in enumerate(names)}
    assert all(own.items() <= each.items() for each in options.values())


def test_what_is_missing_is_trained_by_its_ladder_with_its_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[AblateConfig] = []
    monkeypatch.setattr(experiment, "ablate", lambda config, *_: asked.append(config))
    (tmp_path / "weights.yaml").write_text("dataset: photos\nmodel: resnet18d_bot\nepochs: 2\nteacher: t\nlr: 1e-1\n")
    ladder = select(load_ladder("table7", of_weights=True), ["standard", "cosine", "mixup"])
    trained = experiment.pretrain(ladder, str(tmp_path / "weights.yaml"), tmp_path, "botzoo transfer")
    assert [(c.ladder, c.model, c.rungs, c.teacher) for c in asked] == [
        ("standard", "resnet18b_bot", "standard", None),
        ("table6", "resnet18d_bot", "cosine,mixup", None),
    ]
    assert trained == f"{tmp_path / 'standard'},{tmp_path / 'table6'}"


REFUSED = {
    "epochs: 2\nlr: high\n": "weights.yaml: --lr is 'high'",
    "dataset: photos\n": "weights.yaml: --epochs is None: it must be given",
    "epochs: 2\nmodel: resnet18\n": "resnet18 has no structures A to D",
}


@pytest.mark.parametrize("text", REFUSED)
def test_wrong_options_of_the_weights_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "weights.yaml").write_text(text)
    with pytest.raises(BotzooError) as refusal:
        experiment.pretrain(
            load_ladder("table7", of_weights=True), str(tmp_path / "weights.yaml"), tmp_path, "botzoo transfer"
        )
    assert REFUSED[text] in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pretrained": "x"}, "--pretrained is what the ladder table7 says"),
        ({"push_to": "me/x"}, "--push-to is 'me/x': it must be left out"),
        ({"batch_size": "auto"}, "--batch-size is 'auto': it must be a number"),
        ({"weights": "gone"}, "--weights gone: there is no such folder"),
    ],
)
def test_what_makes_no_sense_here_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        go({"epochs": 1, **given})
    assert said in str(refusal.value)
