"""The command line: what is typed or written in a file arrives as meant, and everything else is one readable line."""

import dataclasses
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml

from botzoo.errors import ConfigError
from botzoo.options.command_line import (
    RUN_MODES,
    Parser,
    check_options,
    given,
    load_config,
    make_parser,
    named_first,
    parse,
)
from botzoo.options.config import TrainConfig

RECIPE = {"lr": 0.3, "label_smoothing": 0.1, "optim": {"momentum": 0.5}}


@pytest.fixture(scope="module")
def parser() -> Parser:
    """A parser with a recipe of its own."""
    return make_parser("prog", "What it does.", TrainConfig, RECIPE, RUN_MODES)


def config_of(parser: Parser, *argv: str) -> TrainConfig:
    return parse(parser, TrainConfig, list(argv))[0]


def refusal(parser: Parser, *argv: str) -> str:
    """Return what the terminal would show, after making sure that it is one line."""
    with pytest.raises(ConfigError) as caught:
        parse(parser, TrainConfig, list(argv))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def file(folder: Path, text: str | bytes) -> str:
    path = folder / "options.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_defaults_come_from_the_recipe_then_from_the_class(parser: Parser) -> None:
    config = config_of(parser)
    assert (config.lr, config.label_smoothing, config.optim.momentum) == (0.3, 0.1, 0.5)
    assert (config.batch_size, config.optim.weight_decay) == (None, 1e-4)


FLAGS: list[tuple[list[str], str, Any]] = [
    (["--epochs", "7"], "epochs", 7),
    (["--epochs=7"], "epochs", 7),
    (["--batch-size", "32"], "batch_size", 32),
    (["--batch_size", "32"], "batch_size", 32),
    (["--batch-size", "auto"], "batch_size", "auto"),
    (["--budget", "2h30m"], "budget", "2h30m"),
    (["--batch-size=32"], "batch_size", 32),
    (["--lr", "1e-3"], "lr", 0.001),
    (["--img-size", "null"], "img_size", None),
    (["--optim.weight-decay", "0.05"], "optim.weight_decay", 0.05),
    (["--optim.weight_decay=0.05"], "optim.weight_decay", 0.05),
    (["--scratch"], "scratch", True),
    (["--scratch", "false"], "scratch", False),
    (["--scratch", "--epochs", "3"], "scratch", True),
    (["--skip-corrupt"], "skip_corrupt", True),
    (["--skip_corrupt", "--debug"], "skip_corrupt", True),
    (["--engine.sync-bn", "--epochs", "3"], "engine.sync_bn", True),
    (["--no-bias-decay", "false"], "no_bias_decay", False),
    (["--no-bias-decay=False"], "no_bias_decay", False),
    (["--no_bias_decay", "no"], "no_bias_decay", False),
    (["--output", "123"], "output", "123"),
    (["--output", "1e3"], "output", "1e3"),
    (["--output", "2024-01-01"], "output", "2024-01-01"),
    (["--output", "my-run_2"], "output", "my-run_2"),
    (["--output=a-b=c"], "output", "a-b=c"),
    (["--dataset", "2024"], "dataset", "2024"),
    (["--dataset", "true"], "dataset", "true"),
    (["--model", "hf-hub:timm/resnet18d.ra2_in1k"], "model", "hf-hub:timm/resnet18d.ra2_in1k"),
    (["--tracker", "null"], "tracker", None),
    (["--mixed-precision", "bf16"], "mixed_precision", "bf16"),
    (["--optim.decay", "step", "--cosine", "false"], "optim.decay", "step"),
    (["--optim.betas", "[0.9,0.95]"], "optim.betas", (0.9, 0.95)),
    (["--optim.betas=[0.9, 0.95]"], "optim.betas", (0.9, 0.95)),
    (["--optim.milestones", "null", "--dry-run"], "optim.milestones", None),
]


@pytest.mark.parametrize(("argv", "name", "value"), FLAGS, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_a_flag_arrives_as_meant(parser: Parser, argv: list[str], name: str, value: Any) -> None:
    found = attrgetter(name)(config_of(parser, *argv))
    assert (found, type(found)) == (value, type(value))


FILES: list[tuple[str, str, Any]] = [
    ("epochs: 7", "epochs", 7),
    ("epochs: null", "epochs", None),
    ("lr: 1e-3", "lr", 0.001),
    ("scratch: true", "scratch", True),
    ("dataset: 2024", "dataset", "2024"),
    ("output: 2024-01-01", "output", "2024-01-01"),
    ("output: 'null'", "output", None),
    ("model: no", "model", "no"),
    ("cosine: false\noptim: {decay: step, milestones: [30, 60]}", "optim.milestones", (30, 60)),
]


@pytest.mark.parametrize(("text", "name", "value"), FILES)
def test_a_value_in_a_file_means_what_it_means_behind_a_flag(
    parser: Parser, tmp_path: Path, text: str, name: str, value: Any
) -> None:
    assert attrgetter(name)(config_of(parser, "--config", file(tmp_path, text))) == value


def test_a_file_overrides_the_recipe_only_where_it_speaks(parser: Parser, tmp_path: Path) -> None:
    config = config_of(parser, "--config", file(tmp_path, "# mine\nepochs: 9\noptim: {weight_decay: 0.5}\n"))
    assert (config.epochs, config.lr) == (9, 0.3)
    assert (config.optim.weight_decay, config.optim.momentum) == (0.5, 0.5)


def test_flags_after_a_file_override_it(parser: Parser, tmp_path: Path) -> None:
    path = file(tmp_path, "epochs: 9\nbatch_size: 16\n")
    config = config_of(parser, "--config", path, "--epochs", "2")
    assert (config.epochs, config.batch_size) == (2, 16)


@pytest.mark.parametrize("flag", ["--print-config", "--print_config"])
def test_print_config_prints_yaml_and_ends_with_0(
    parser: Parser, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(parser, TrainConfig, ["--epochs", "3", "--output", "123", flag])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert end.value.code == 0
    assert printed == dataclasses.asdict(config_of(parser, "--epochs", "3", "--output", "123"))


def test_what_print_config_prints_can_be_given_back(
    parser: Parser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--dataset", "2024", "--lr", "1e-5", "--ema", "0.9", "--scratch", "--optim.betas", "[0.9,0.95]"]
    with pytest.raises(SystemExit):
        parse(parser, TrainConfig, [*argv, "--print-config"])
    path = file(tmp_path, capsys.readouterr().out)
    assert config_of(parser, "--config", path) == config_of(parser, *argv)


REFUSED_FLAGS = {
    "--epoch 3": "There is no option --epoch. Did you mean '--epochs'?",
    "--batch-siz=3": "There is no option --batch-siz. Did you mean '--batch-size'",
    "--label-smothing 0.1": "There is no option --label-smothing. Did you mean '--label-smoothing' or",
    "--optim.momentun 0.1": "There is no option --optim.momentun. Did you mean '--optim.momentum'",
    "--conf x": "There is no option --conf. Did you mean '--config'",
    "-e 3": "There is no option -e.",
    "digits": "'digits' belongs to no flag: write --dataset, --model or another flag before each value.",
    "--epochs x": "--epochs is 'x': it must be a whole number or null.",
    "--epochs 2.5": "--epochs is '2.5': it must be a whole number or null.",
    "--batch-size many": "--batch-size is 'many': it must be a whole number, auto or null.",
    "--lr high": "--lr is 'high': it must be a number.",
    "--lr nan": "--lr is 'nan': it must be a number.",
    "--lr inf": "--lr is 'inf': it must be a number.",
    "--lr .nan": "--lr is nan: it must be greater than 0 and less than 100.",
    "--lr 0": "--lr is 0.0: it must be greater than 0 and less than 100.",
    "--data.cache-gib .inf": "--data.cache-gib is inf: it must be 0 or more.",
    "--scratch maybe": "--scratch is 'maybe': it must be true or false.",
    "--mixed-precision bf17": "--mixed-precision is 'bf17': it must be auto, bf16, fp16 or fp32. Did you mean 'bf16'?",
    "--optim.momentum x": "--optim.momentum is 'x': it must be a number.",
    "--optim.milestones 30": "--optim.milestones is '30': it must be a list of whole numbers in brackets or null.",
    "--optim.betas [0.9]": "--optim.betas is '[0.9]': it must be 2 numbers in brackets or null.",
    "--optim.decay stp": "--optim.decay is 'stp': it must be constant, step, exponential or plateau. Did you mean 'step'?",
    "--dryrun": "There is no option --dryrun. Did you mean '--dry-run'?",
    "--resume nowhere --dry-run": "--resume goes on with a run as it was configured: leave --dry-run out.",
    "--optim 3": "optim is a group of options: give optim.decay, optim.milestones, ",
    "--epochs": "--epochs needs a value after it: a whole number or null.",
    "--epochs --lr 0.1": "--epochs needs a value after it: a whole number or null.",
    "--config": "--config needs a value after it",
    "--config no-such-file.yaml": "--config: File does not exist",
    "--resume nowhere": "--resume nowhere: there is no run in it (no config.yaml)",
    "--resume nowhere --batch-size 8": "--resume goes on with a run as it was configured: leave --batch-size out.",
    "--resume nowhere --scratch": "--resume goes on with a run as it was configured: leave --scratch out.",
}


@pytest.mark.parametrize("line", REFUSED_FLAGS)
def test_a_wrong_flag_is_refused_in_one_readable_line(parser: Parser, line: str) -> None:
    assert refusal(parser, *line.split()).startswith(REFUSED_FLAGS[line])


REFUSED_FILES: dict[str | bytes, str] = {
    "epoch: 3": "There is no option 'epoch' for a file. Did you mean 'epochs'?",
    "batch-size: 3": "There is no option 'batch-size' for a file. Did you mean 'batch_size'?",
    "optim: {momentun: 0.1}": "There is no option 'optim.momentun' for a file. Did you mean 'optim.momentum'",
    "epochs: x": "--epochs is 'x': it must be a whole number or null.",
    "epochs: 0": "--epochs is 0: it must be 1 or more.",
    "lr: .inf": "--lr is inf: it must be greater than 0 and less than 100.",
    "optim: {momentum: x}": "--optim.momentum is 'x': it must be a number.",
    "optim: 3": "optim is a group of options: give optim.decay",
    "lr: [1, 2]": "--lr is \"['1', '2']\": it must be a number.",
    "output: ''": "--output is '': it must be a folder.",
    "resume: runs/x": "--resume goes on with a run as it was configured: leave --config out.",
    "a: [1,\n b: }": "The file of --config must be YAML",
    "dry_run: true": "dry_run cannot stand in a file: give --dry-run on the command line.",
    "find_lr: true": "find_lr cannot stand in a file: give --find-lr on the command line.",
    "- a\n- b": "The file of --config must be YAML",
    "just words": "The file of --config must be YAML",
    "": "The file of --config must be YAML",
    b"\x80\xff": "The file of --config must be YAML",
}


@pytest.mark.parametrize("text", REFUSED_FILES)
def test_a_wrong_file_is_refused_in_one_readable_line(parser: Parser, tmp_path: Path, text: str | bytes) -> None:
    assert refusal(parser, "--config", file(tmp_path, text)).startswith(REFUSED_FILES[text])


def test_a_folder_is_no_config_file(parser: Parser, tmp_path: Path) -> None:
    assert refusal(parser, "--config", str(tmp_path)).startswith("--config: Path is not a file")


def test_a_refusal_of_the_parser_names_the_help(parser: Parser) -> None:
    assert refusal(parser, "--epochs", "x").endswith(" See prog --help.")


def run_folder(folder: Path, config: TrainConfig) -> Path:
    (folder / "config.yaml").write_text(yaml.safe_dump(dataclasses.asdict(config)))
    return folder


@pytest.mark.parametrize("more", [[], ["--debug"]])
def test_resume_takes_the_configuration_of_the_run(parser: Parser, tmp_path: Path, more: list[str]) -> None:
    config = TrainConfig(dataset="2024", epochs=4, lr=0.07, output="x")
    folder = run_folder(tmp_path, config)
    assert parse(parser, TrainConfig, ["--resume", str(folder), *more]) == (config, folder)


@pytest.mark.parametrize("text", ["", "- 1", "epochs: x", "epochs: 0", "speed: 3", "optim: 3", "a: [", "lr: null"])
def test_a_damaged_configuration_of_a_run_is_named(tmp_path: Path, text: str) -> None:
    path = Path(file(tmp_path, text))
    with pytest.raises(ConfigError, match=r"options\.yaml cannot be read as the options of a run\.") as caught:
        load_config(path, TrainConfig)
    assert "\n" not in str(caught.value)


def test_help_shows_every_field_with_its_words_and_dashes(parser: Parser) -> None:
    text = " ".join(parser.format_help().split())
    for field in dataclasses.fields(TrainConfig):
        if field.default_factory is dataclasses.MISSING:  # else it is a group
            assert f" --{field.name.replace('_', '-')} " in text
    assert "Also average the weights with this decay, warmed up, and judge and keep the average." in text
    assert "--optim.weight-decay" in text
    assert "default: 0.3" in text
    assert not [word for word in text.split() if word.startswith("--") and "_" in word]


@pytest.mark.parametrize("line", ["", "--lr 1", "--recipe", "--recipe a --recipe b", "--recipe=b"])
def test_an_option_that_is_read_first_is_the_last_one(line: str) -> None:
    assert named_first(line.split(), "--recipe", "default") == ("b" if "b" in line else "default")


def test_given_names_only_what_was_given(parser: Parser, tmp_path: Path) -> None:
    path = file(tmp_path, "optim:\n  weight_decay: 0.1\nepochs: 3\n")
    found = given(parser, TrainConfig, ["--config", path, "--lr", "0.5", "--optim.momentum", "0.8"])
    assert found == {"epochs": 3, "lr": 0.5, "optim": {"weight_decay": 0.1, "momentum": 0.8}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lrr": 1}, "mine.yaml: There is no option 'lrr' for a file. Did you mean 'lr'"),
        ({"lr": "high"}, "mine.yaml: --lr is 'high': it must be a number"),
        ({"optim": {"mom": 1}}, "mine.yaml: There is no option 'optim.mom'"),
        ({"optim": 3}, "mine.yaml: optim is a group of options"),
    ],
)
def test_options_of_a_recipe_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_options(options, TrainConfig, "mine.yaml")
    assert message in str(refused.value)
