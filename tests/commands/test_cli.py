"""The command ``botzoo``: its commands, their help, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from botzoo import __version__, cli

RECIPE = """
base: label-smoothing
options: {epochs: 1, warmup: 0, batch_size: 16, lr: 0.5, model: test_resnet, img_size: 32}
"""


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *argv: str) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error of ``botzoo argv``."""
    monkeypatch.setattr(sys, "argv", ["botzoo", *argv])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code, *capsys.readouterr()


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    status, out, _ = call(capsys, monkeypatch, *argv)
    assert status == 0
    assert all(f"  {name} " in out for name in cli.COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(capsys, monkeypatch, "--version") == (0, f"botzoo {__version__}\n", "")


WRONG = {
    ("trian",): "botzoo: There is no command 'trian'. Did you mean 'train' or",
    ("recipes", "cosin"): "botzoo recipes: There is no recipe 'cosin'. Did you mean 'cosine'?",
    ("recipes", "cosine", "mixup"): "botzoo recipes: Give one recipe, not 2",
    ("train", "--recipe", "cosin"): "botzoo train: There is no recipe 'cosin'.",
    ("train", "--recipe=cosin"): "botzoo train: There is no recipe 'cosin'.",
    ("train", "--epochs", "3", "--warmup", "5"): "botzoo train: --warmup is 5.0: it must be less than --epochs 3.",
    ("train", "--epochs", "0"): "botzoo train: --epochs is 0: it must be 1 or more.",
    ("ablate",): "botzoo ablate: --epochs is None: it must be given",
    ("ablate", "--ladder", "table3"): "botzoo ablate: There is no ladder 'table3'.",
    ("ablate", "--epochs", "2", "--ladder", "table3"): "botzoo ablate: There is no ladder 'table3'.",
    ("ablate", "--ladder", "table7"): "botzoo ablate: table7 is a ladder of weights. For it: botzoo transfer",
    ("transfer", "--ladder", "table6"): "botzoo transfer: table6 is a ladder of trainings",
    ("transfer",): "botzoo transfer: --epochs is None: it must be given, or --steps, or --budget",
    ("transfer", "--epochs", "1"): "botzoo transfer: There are no weights for standard, efficient, cosine, label",
    ("transfer", "--epochs", "1", "--model", "x"): "botzoo transfer: --model is what the ladder table7 says, or its",
    ("transfer", "--epochs", "1", "--rungs", "x"): "botzoo transfer: table7 has no rung 'x'.",
    ("transfer", "--epochs", "1", "--pretrain", "gone.yaml"): "botzoo transfer: gone.yaml cannot be read",
    ("transfer", "--resume", "runs/x"): "botzoo transfer: ",
    ("ablate", "--epochs", "2", "--seeds", "1,1"): "botzoo ablate: --seeds is '1,1'",
    ("ablate", "--resume", "runs/x"): "botzoo ablate: ",
    ("ablate", "--epochs", "2", "--push-to", "me/x"): "botzoo ablate: --push-to me/x needs a run of its own",
    ("publish",): "botzoo publish: The following arguments are required: RUN|MODEL_FOLDER, --repo.",
    ("publish", "runs/x", "--repo", "pets"): "botzoo publish: --repo is 'pets': it must be owner/name",
    ("publish", "runs/x", "--repo", "me/p", "--license", "MIT!"): "botzoo publish: --license is 'MIT!': it must be",
    (
        "publish",
        "runs/x",
        "--repo",
        "me/p",
        "--tag",
        "v 1",
    ): "botzoo publish: --tag is 'v 1': it must be a name that git",
    (
        "publish",
        "runs/x",
        "--repo",
        "me/p",
        "--parent",
        "abc",
    ): "botzoo publish: --parent is 'abc': it must be a commit's",
    ("publish", "runs/none", "--repo", "me/pets"): "botzoo publish: There is no model in runs/none:",
    ("train", "--push-to", "me/../x"): "botzoo train: --push-to is 'me/../x': it must be owner/name",
}


@pytest.mark.parametrize("argv", WRONG)
def test_wrong_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    status, _, err = call(capsys, monkeypatch, *argv)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(WRONG[argv])


def test_a_recipe_in_a_file_of_options_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "options.yaml").write_text("recipe: cosine")
    status, _, err = call(capsys, monkeypatch, "train", "--config", str(tmp_path / "options.yaml"))
    assert (status, "recipe cannot stand in a file: give --recipe cosine" in err) == (2, True)


def test_the_recipes_are_a_ladder(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, out, _ = call(capsys, monkeypatch, "recipes")
    lines = [line.split() for line in out.splitlines()]
    assert ["+", "zero-gamma", "76.37", "+0.44"] in [words[:4] for words in lines]
    assert ["+", "distill-mixup", "79.29", "+0.14"] in [words[:4] for words in lines]


def test_a_printed_recipe_is_a_recipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from botzoo import recipes

    _, out, _ = call(capsys, monkeypatch, "recipes", "mixup")
    (tmp_path / "mine.yaml").write_text(out)
    assert recipes.load(str(tmp_path / "mine.yaml")).resolved() == recipes.load("mixup").resolved()


@pytest.mark.slow
def test_train_trains_by_a_recipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(RECIPE)
    argv = ["--recipe", str(tmp_path / "mine.yaml"), "--dataset", str(photos), "--output", str(tmp_path / "run")]
    status, out, _ = call(capsys, monkeypatch, "train", *argv)
    assert status == 0
    assert "label_smoothing 0.1" in out
    assert "botzoo train --recipe" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_help_needs_no_torch() -> None:
    code = "import sys; from botzoo.cli import _main; _main(['train', '--help'])\n"
    finished = subprocess.run(
        [sys.executable, "-c", f"try:\n  {code}except SystemExit: pass\nassert 'torch' not in sys.modules"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "--recipe" in finished.stdout
