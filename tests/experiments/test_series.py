"""A folder of many runs: what it claims to be, and on which images its runs may be compared."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from botzoo.errors import ConfigError, DataError
from botzoo.experiments.register import Register
from botzoo.experiments.series import SameImages, finished, half_done
from botzoo.options.config import TrainConfig
from botzoo.training.recording.folder import check_output

REGISTER = Register("ladder.json", "ladder", "rungs", "its rung {} has")


def claim(folder: Path, name: str = "mine", precision: str = "fp32", begun: bool = True, **options: Any) -> Any:
    return REGISTER.claim(folder, name, {"plain": options}, precision, lambda part: begun)["plain"]


def test_the_same_options_are_claimed_again(tmp_path: Path) -> None:
    assert claim(tmp_path, lr=0.1) == claim(tmp_path, lr=0.1)


def test_other_options_of_a_part_with_runs_are_refused(tmp_path: Path) -> None:
    claim(tmp_path, optim={"momentum": 0.9})
    with pytest.raises(ConfigError, match=r"its rung plain has optim\.momentum = 0\.9, not 0\.8"):
        claim(tmp_path, optim={"momentum": 0.8})


def test_options_of_a_part_without_a_run_may_still_change(tmp_path: Path) -> None:
    claim(tmp_path, lr=0.1)
    assert claim(tmp_path, lr=0.2, begun=False)["lr"] == 0.2


def test_results_of_another_name_are_refused(tmp_path: Path) -> None:
    claim(tmp_path, "theirs")
    with pytest.raises(ConfigError, match="results of another ladder, theirs"):
        claim(tmp_path)


def test_the_precision_of_the_first_command_holds(tmp_path: Path) -> None:
    claim(tmp_path, precision="bf16", mixed_precision="auto")
    assert claim(tmp_path, precision="fp32", mixed_precision="auto")["mixed_precision"] == "bf16"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"ladder": "x", "rungs": 3}', '{"ladder": "x", "rungs": {"a": 1}}'])
def test_a_damaged_register_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "ladder.json").write_text(text)
    with pytest.raises(ConfigError, match=r"ladder\.json is damaged"):
        claim(tmp_path)


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        REGISTER.make_folder(tmp_path)


def test_a_run_on_other_images_is_refused_unless_another_seed_split_them() -> None:
    run: Any = SimpleNamespace(config=TrainConfig(seed=1))
    one, other, changed = (SimpleNamespace(split_seed=s, identity=i) for s, i in ((1, "A"), (0, "B"), (1, "C")))
    SameImages(lambda run: "A", [one, other]).on_setup(run)  # type: ignore[list-item]
    with pytest.raises(DataError, match="have changed since the runs"):
        SameImages(lambda run: "A", [one, changed]).on_setup(run)  # type: ignore[list-item]


def test_copies_of_finished_runs_do_not_count(tmp_path: Path) -> None:
    for name in ("fold-10", "fold-2", "fold-2-before", "fold-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cell.json").write_text(json.dumps({}))
    (tmp_path / "fold-3").mkdir()
    assert finished(tmp_path, "fold-*") == ["fold-2", "fold-10"]


def test_a_folder_in_which_a_run_has_not_begun_is_left_to_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / ".config.yaml.part").write_text("lr: 0.")
    assert not half_done(tmp_path / "run")
    check_output(TrainConfig(output=str(tmp_path / "run")))
