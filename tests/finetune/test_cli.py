"""The command botzoo-finetune, up to the moment where the work begins."""

import dataclasses
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from botzoo import __version__
from botzoo.options.command_line import parse
from botzoo.util.nested import flat
from botzoo_finetune import cli
from botzoo_finetune.config import FinetuneConfig
from running import command

RECIPES = sorted(cli.RECIPE.parent.glob("*.yaml"))
HEAVY = ("torch", "torchvision", "timm", "datasets", "accelerate", "transformers", "sklearn", "matplotlib", "numpy")


def config_of(*argv: str) -> FinetuneConfig:
    return parse(cli.command(), list(argv)).config


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=False)


def test_the_version_is_one_line_with_the_name_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(cli.command(), ["--version"])
    assert capsys.readouterr().out == f"botzoo-finetune {__version__}\n"


def test_the_default_recipe_is_what_is_run() -> None:
    recipe = yaml.safe_load(cli.RECIPE.read_text())
    config = config_of()
    assert flat(asdict(config)) == flat(asdict(config)) | flat(recipe)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_can_be_given_with_config(recipe: Path) -> None:
    assert config_of("--config", str(recipe)).lr > 0


@pytest.mark.parametrize("freeze", ["none", "backbone", "0", "2"])
def test_freeze_arrives_as_text(freeze: str) -> None:
    assert config_of("--freeze", freeze).freeze == freeze


def test_freeze_2_in_a_file_is_the_text_2(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("freeze: 2\n")
    assert config_of("--config", str(tmp_path / "mine.yaml")).freeze == "2"


def test_a_run_with_frozen_stages_can_be_resumed(tmp_path: Path) -> None:
    config = FinetuneConfig(freeze="2", layer_decay=0.7, unfreeze_every=2)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(dataclasses.asdict(config)))
    assert config_of("--resume", str(tmp_path)) == config


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--layer-decai 0.5", "mean '--layer-decay'"),
        ("--layer 0.5", "no option --layer."),
        ("--layer-decay 2", "greater than 0 and at most 1"),
        ("--freeze all", "a number of stages such as 2"),
        ("--unfreeze-every soon", "a whole number or null"),
        ("--freeze 2 --scratch", "random weights would be kept"),
        ("--views 2", "with --freeze backbone only"),
        ("--probe --check", "--probe and --check"),
    ],
)
def test_a_wrong_option_ends_with_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    assert command(*line.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("botzoo-finetune: ")
    assert said in captured.err
    assert (captured.err.count("\n"), captured.out) == (1, "")


@pytest.mark.parametrize(
    ("flags", "mode"),
    [
        ([], None),
        (["--dry-run"], "dry_run"),
        (["--dry_run"], "dry_run"),
        (["--find-lr"], "find_lr"),
        (["--probe"], "probe"),
        (["--check"], "check"),
        (["--compare", "a,b"], "compare"),
        (["--folds", "3"], "folds"),
    ],
)
def test_a_flag_chooses_what_is_done_instead(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], mode: str | None
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr("botzoo_finetune.run.execute", lambda config, **others: asked.append(others["mode"]))
    monkeypatch.setattr("botzoo.results.summary.print_to_terminal", lambda: None)
    assert command("--epochs", 2, *flags) == 0
    assert asked == [mode]


def test_steps_alone_are_no_reason_to_refuse_the_usual_warmup() -> None:
    config = config_of("--steps", "10")
    assert (config.steps, config.epochs) == (10, None)


def test_help_loads_nothing_heavy() -> None:
    code = f"""
import sys
from botzoo_finetune import cli
sys.argv = ["botzoo-finetune", "--help"]
try:
    cli.main()
except SystemExit as end:
    print("status", end.code, [name for name in {HEAVY} if name in sys.modules])
"""
    done = python("-W", "error", "-c", code)
    assert done.stdout.endswith("status 0 []\n"), done.stderr
    assert "--freeze" in done.stdout


def test_a_refusal_loads_nothing_heavy_and_shows_no_traceback() -> None:
    code = f"""
import atexit, sys
from botzoo_finetune import cli
atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules]))
sys.argv = ["botzoo-finetune", "--epochs", "x"]
cli.main()
"""
    done = python("-W", "error", "-c", code)
    assert (done.returncode, done.stdout) == (2, "[]\n")
    assert "--epochs is 'x'" in done.stderr
    assert done.stderr.count("\n") == 1
