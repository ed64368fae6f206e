"""The weights of a ladder's rungs: where they are found, which seed's are taken, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from botzoo.errors import BotzooError, ConfigError
from botzoo.experiments.weights import find_weights, of_ablation, with_structure
from botzoo.recipes.ladders import Ladder, Rung, Target

LADDER = Ladder("mine", "", (Rung("low", {}), Rung("high", {}, "low")), target=Target())

Ablation = Callable[..., Path]


@pytest.fixture
def ablation(finished_run: Path, tmp_path: Path) -> Ablation:
    """Makes the folder of an ablation that has finished these seeds of each rung."""

    def make(name: str = "ablation", **seeds: tuple[int, ...]) -> Path:
        folder = tmp_path / name
        for rung, each in seeds.items():
            for seed in each:
                shutil.copytree(finished_run, folder / "cells" / rung / f"seed-{seed}")
                (folder / "cells" / rung / f"seed-{seed}" / "cell.json").write_text("{}")
        (folder / "ladder.json").write_text("{}")
        return folder

    return make


def test_the_lowest_seed_that_all_rungs_have_is_taken(ablation: Ablation) -> None:
    folder = ablation(low=(0, 2, 10), high=(2, 10))
    assert {Path(path).name for path in of_ablation(folder, {"low", "high"}).values()} == {"seed-2"}


def test_rungs_without_a_common_seed_have_their_own_lowest(ablation: Ablation) -> None:
    found = of_ablation(ablation(low=(3, 4), high=(1,)), {"low", "high"})
    assert {rung: Path(path).name for rung, path in found.items()} == {"low": "seed-3", "high": "seed-1"}


def test_a_run_that_diverged_or_goes_on_has_no_weights(ablation: Ablation) -> None:
    folder = ablation(low=(0, 1), high=(0,))
    shutil.rmtree(folder / "cells" / "low" / "seed-0" / "model")
    (folder / "cells" / "high" / "seed-0" / "cell.json").unlink()
    assert {rung: Path(path).name for rung, path in of_ablation(folder, {"low", "high"}).items()} == {"low": "seed-1"}


def test_what_the_weights_are_is_read_from_their_run(ablation: Ablation, finished_run: Path) -> None:
    facts = json.loads((finished_run / "run.json").read_text())
    found = find_weights(LADDER, f"{ablation(low=(0,))},high={finished_run}")
    assert {name: weights.identity for name, weights in found.items()} == dict.fromkeys(
        ("low", "high"), facts["weights_sha256"]
    )
    assert found["high"].model == f"local-dir:{finished_run / 'model'}"
    assert (found["high"].network, found["high"].epochs) == ("test_resnet", facts["schedule"]["epochs"])


def test_one_for_a_rung_counts_before_a_folder_and_a_folder_before_the_ladder(ablation: Ablation) -> None:
    ladder = Ladder("mine", "", (Rung("low", {}, weights="resnet18d"), Rung("high", {}, weights="resnet34d")))
    found = find_weights(ladder, f"{ablation(low=(0,), high=(0,))},low=resnet50d.gluon_in1k")
    assert found["low"].source == "resnet50d.gluon_in1k"
    assert found["high"].source == "resnet34d"


WRONG = {
    "{tmp}/gone": "there is no such folder",
    "{run}": "It is a run: say of which rung, NAME=",
    "middle={run}": "mine has no rung 'middle'",
    "{low},{twice}": "two folders have the rung low; say which with low=FOLDER",
    "{other}": "has no finished run of this ladder: the ladder's rungs are high, low",
    "low={tmp}": "is not the folder of a run",
    "{low},": "give folders, or NAME=FOLDER",
    "low={changed}": "are not those that were evaluated",
}


@pytest.mark.parametrize("given", WRONG)
def test_what_has_no_weights_is_named(given: str, ablation: Ablation, finished_run: Path, tmp_path: Path) -> None:
    folders = {name: ablation(name, low=(0,)) for name in ("low", "twice")} | {"other": ablation("other", wide=(0,))}
    changed = shutil.copytree(finished_run, tmp_path / "changed")
    (changed / "model" / "model.safetensors").write_bytes(b"")
    with pytest.raises(BotzooError) as refusal:
        find_weights(LADDER, given.format(**folders, tmp=tmp_path, run=finished_run, changed=changed))
    assert WRONG[given] in str(refusal.value)


@pytest.mark.parametrize(
    ("model", "letter", "found"), [("resnet10d_bot", "b", "resnet10b_bot"), ("resnet50a_bot", "d", "resnet50d_bot")]
)
def test_the_letter_of_a_network_is_its_structure(model: str, letter: str, found: str) -> None:
    assert with_structure(model, letter) == found


def test_a_network_without_structures_is_named() -> None:
    with pytest.raises(ConfigError, match="resnet18d has no structures A to D"):
        with_structure("resnet18d", "b")
