"""The command line: what is typed or written in a file arrives as meant, and everything else is one readable line."""

import dataclasses
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from botzoo.errors import ConfigError
from botzoo.options.command import Command, Mode
from botzoo.options.command_line import check_options, from_keywords, load_config, named_first, parse
from botzoo.options.config import TrainConfig
from botzoo.options.facts import options_of, values_of
from botzoo_finetune.config import FinetuneConfig

RECIPE = {"lr": 0.3, "label_smoothing": 0.1, "optim": {"momentum": 0.5}}
COMMAND = Command("prog", "What it does.", TrainConfig, RECIPE)
SWITCHES = [name for name, own in options_of(TrainConfig).items() if own.kind is bool]


def config_of(*argv: str) -> TrainConfig:
    return parse(COMMAND, list(argv)).config


def refusal(*argv: str) -> str:
    """Return what the terminal would show, after making sure that it is one line."""
    with pytest.raises(ConfigError) as caught:
        parse(COMMAND, list(argv))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def file(folder: Path, text: str | bytes) -> str:
    path = folder / "options.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_defaults_come_from_the_recipe_then_from_the_class() -> None:
    config = config_of()
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
    (["--img-size", "64"], "img_size", 64),
    (["--img-size", "128", "512", "--epochs", "2"], "img_size", (128, 512)),
    (["--img-size", "128x512"], "img_size", (128, 512)),
    (["--img-size=[128, 512]"], "img_size", (128, 512)),
    (["--optim.betas", "0.9", "0.95"], "optim.betas", (0.9, 0.95)),
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
    (["--no-scratch"], "scratch", False),
    (["--no-no-bias-decay", "--epochs", "3"], "no_bias_decay", False),
    (["--no_cosine"], "cosine", False),
    (["--no-engine.channels-last"], "engine.channels_last", False),
    (["--seed", "7"], "seed", 7),
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
    (["--predict", "test"], "predict", ("test",)),
    (["--predict", "test, a b/#1: x,2024"], "predict", ("test", "a b/#1: x", "2024")),
    (["--predict", '["a,b", test]'], "predict", ("a,b", "test")),
]


@pytest.mark.parametrize(("argv", "name", "value"), FLAGS, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_a_flag_arrives_as_meant(argv: list[str], name: str, value: Any) -> None:
    found = attrgetter(name)(config_of(*argv))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_has_a_flag_for_on_and_one_for_off(name: str) -> None:
    flag = name.replace("_", "-")
    beside = {"private": ["--push-to", "me/pets"]}.get(name, [])
    on, off = (attrgetter(name)(config_of(f"--{no}{flag}", *beside)) for no in ("", "no-"))
    assert (on, off) == (True, False)


FILES: list[tuple[str, str, Any]] = [
    ("epochs: 7", "epochs", 7),
    ("epochs: null", "epochs", None),
    ("lr: 1e-3", "lr", 0.001),
    ("scratch: true", "scratch", True),
    ("dataset: 2024", "dataset", "2024"),
    ("output: 2024-01-01", "output", "2024-01-01"),
    ("output: 'null'", "output", None),
    ("model: no", "model", "no"),
    ("predict: [test, photos/new]", "predict", ("test", "photos/new")),
    ("cosine: false\noptim: {decay: step, milestones: [30, 60]}", "optim.milestones", (30, 60)),
]


@pytest.mark.parametrize(("text", "name", "value"), FILES)
def test_a_value_in_a_file_means_what_it_means_behind_a_flag(tmp_path: Path, text: str, name: str, value: Any) -> None:
    assert attrgetter(name)(config_of("--config", file(tmp_path, text))) == value


def test_a_file_overrides_the_recipe_only_where_it_speaks(tmp_path: Path) -> None:
    config = config_of("--config", file(tmp_path, "# mine\nepochs: 9\noptim: {weight_decay: 0.5}\n"))
    assert (config.epochs, config.lr) == (9, 0.3)
    assert (config.optim.weight_decay, config.optim.momentum) == (0.5, 0.5)


def test_flags_after_a_file_override_it(tmp_path: Path) -> None:
    path = file(tmp_path, "epochs: 9\nbatch_size: 16\n")
    config = config_of("--config", path, "--epochs", "2")
    assert (config.epochs, config.batch_size) == (2, 16)


@pytest.mark.parametrize("flag", ["--print-config", "--print_config"])
def test_print_config_prints_yaml_and_ends_with_0(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    with pytest.raises(SystemExit) as end:
        parse(COMMAND, ["--epochs", "3", "--output", "123", flag])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert end.value.code == 0
    assert printed == dataclasses.asdict(config_of("--epochs", "3", "--output", "123"))


def test_what_print_config_prints_can_be_given_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--dataset", "2024", "--lr", "1e-5", "--ema", "0.9", "--scratch", "--optim.betas", "[0.9,0.95]"]
    with pytest.raises(SystemExit):
        parse(COMMAND, [*argv, "--print-config"])
    path = file(tmp_path, capsys.readouterr().out)
    assert config_of("--config", path) == config_of(*argv)


REFUSED_FLAGS = {
    "--epoch 3": "There is no option --epoch. Did you mean '--epochs'?",
    "--batch-siz=3": "There is no option --batch-siz. Did you mean '--batch-size'",
    "--label-smothing 0.1": "There is no option --label-smothing. Did you mean '--label-smoothing' or",
    "--optim.momentun 0.1": "There is no option --optim.momentun. Did you mean '--optim.momentum'",
    "--conf x": "There is no option --conf. Did you mean '--config'",
    "-e 3": "There is no option -e.",
    "digits": "'digits' belongs to no flag: write --dataset or another flag before each value.",
    "--epochs x": "--epochs is 'x': it must be a whole number or null.",
    "--epochs 2.5": "--epochs is '2.5': it must be a whole number or null.",
    "--batch-size many": "--batch-size is 'many': it must be a whole number, auto or null.",
    "--lr high": "--lr is 'high': it must be a number.",
    "--lr nan": "--lr is nan: it must be greater than 0 and less than 100.",
    "--lr inf": "--lr is inf: it must be greater than 0 and less than 100.",
    "--lr .nan": "--lr is '.nan': it must be a number.",
    "--no-cosine false": "'false' belongs to no flag",
    "--no-epochs": "There is no option --no-epochs.",
    "--no-zero-gama": "There is no option --no-zero-gama.",
    "--lr 0": "--lr is 0.0: it must be greater than 0 and less than 100.",
    "--data.cache-gib inf": "--data.cache-gib is inf: it must be 0 or more.",
    "--scratch maybe": "--scratch is 'maybe': it must be true or false.",
    "--mixed-precision bf17": "--mixed-precision is 'bf17': it must be auto, bf16, fp16 or fp32. Did you mean 'bf16'?",
    "--optim.momentum x": "--optim.momentum is 'x': it must be a number.",
    "--img-size 4": "--img-size is 4: it must be 8 or more pixels, or a height and a width of so many, such as 128 512.",
    "--img-size 4x512": "--img-size is [4, 512]: it must be 8 or more pixels, or a height and a width",
    "--img-size 64 64 64": "--img-size is '[64,64,64]': "
    "it must be a whole number, 2 whole numbers with a comma between them or null.",
    "--img-size 64xx": "--img-size is '64xx': it must be a whole number, 2 whole numbers with a comma between them or null.",
    "--img-size 32 64 --augment.rotate90": "--augment.rotate90 turns images on their side, and --img-size 32 64 is no",
    "--data.fit sqash": "--data.fit is 'sqash': it must be crop, squash, pad or null. Did you mean 'squash'?",
    "--predict test,": "--predict is ['test', '']: it must be splits or folders of images, with a comma between them.",
    "--optim.milestones 30": "--optim.milestones is '30': it must be a list of whole numbers in brackets or null.",
    "--optim.betas [0.9]": "--optim.betas is '[0.9]': it must be 2 numbers with a comma between them or null.",
    "--optim.decay stp": "--optim.decay is 'stp': it must be constant, step, exponential or plateau. Did you mean 'step'?",
    "--dryrun": "There is no option --dryrun. Did you mean '--dry-run'?",
    "--resume nowhere --dry-run": "--resume goes on with a run as it was configured: leave --dry-run out.",
    "--optim 3": "optim is a group of options: give optim.decay, optim.milestones, ",
    "--epochs": "--epochs needs a value after it: a whole number or null.",
    "--epochs --lr 0.1": "--epochs needs a value after it: a whole number or null.",
    "--config": "--config needs a value after it",
    "--config no-such-file.yaml": "no-such-file.yaml cannot be read (No such file or directory)",
    "--resume nowhere": "--resume nowhere: there is no run in it (no config.yaml)",
    "--resume nowhere --batch-size 8": "--resume goes on with a run as it was configured: leave --batch-size out.",
    "--resume nowhere --scratch": "--resume goes on with a run as it was configured: leave --scratch out.",
}


@pytest.mark.parametrize("line", REFUSED_FLAGS)
def test_a_wrong_flag_is_refused_in_one_readable_line(line: str) -> None:
    assert refusal(*line.split()).startswith(REFUSED_FLAGS[line])


def test_other_options_beside_resume_are_shown_the_way_to_train_on(tmp_path: Path) -> None:
    (model := tmp_path / "my run" / "model").mkdir(parents=True)
    (model / "model.safetensors").touch()
    said = refusal("--resume", str(model.parent), "--lr", "0.1")
    assert said.startswith(
        "--resume goes on with a run as it was configured: leave --lr out; to train on from its result"
    )
    assert f"give --model 'local-dir:{model}' in place of --resume." in said


REFUSED_FILES: dict[str | bytes, str] = {
    "epoch: 3": "There is no option 'epoch'. Did you mean 'epochs'?",
    "batch-size: 3": "There is no option 'batch-size'. Did you mean 'batch_size'?",
    "optim: {momentun: 0.1}": "There is no option 'optim.momentun'. Did you mean 'optim.momentum'",
    "epochs: x": "--epochs is 'x': it must be a whole number or null.",
    "epochs: 0": "--epochs is 0: it must be 1 or more.",
    "lr: inf": "--lr is inf: it must be greater than 0 and less than 100.",
    "optim: {momentum: x}": "--optim.momentum is 'x': it must be a number.",
    "optim: 3": "optim is a group of options: give optim.decay",
    "lr: [1, 2]": "--lr is ['1', '2']: it must be a number.",
    "output: ''": "--output is '': it must be a folder.",
    "resume: runs/x": "resume cannot stand in a file: give --resume runs/x on the command line.",
    "a: [1,\n b: }": "FILE must be YAML",
    "dry_run: true": "dry_run cannot stand in a file: give --dry-run on the command line.",
    "find_lr: true": "find_lr cannot stand in a file: give --find-lr on the command line.",
    "- a\n- b": "FILE must be YAML",
    "just words": "FILE must be YAML",
    "": "FILE must be YAML",
    b"\x80\xff": "FILE must be YAML",
}


@pytest.mark.parametrize("text", REFUSED_FILES)
def test_a_wrong_file_is_refused_in_one_readable_line(tmp_path: Path, text: str | bytes) -> None:
    path = file(tmp_path, text)
    assert refusal("--config", path).replace(path, "FILE").startswith(REFUSED_FILES[text])


def test_a_folder_is_no_config_file(tmp_path: Path) -> None:
    assert refusal("--config", str(tmp_path)).startswith(f"{tmp_path} cannot be read (Is a directory)")


def test_a_refusal_of_the_parser_names_the_help() -> None:
    assert refusal("--epochs", "x").endswith(" See prog --help.")


def run_folder(folder: Path, config: TrainConfig) -> Path:
    (folder / "config.yaml").write_text(yaml.safe_dump(dataclasses.asdict(config)))
    return folder


@pytest.mark.parametrize("more", [[], ["--debug"]])
def test_resume_takes_the_configuration_of_the_run(tmp_path: Path, more: list[str]) -> None:
    config = TrainConfig(dataset="2024", epochs=4, lr=0.07, output="x")
    folder = run_folder(tmp_path, config)
    assert parse(COMMAND, ["--resume", str(folder), *more])[:2] == (config, folder)


@pytest.mark.parametrize("text", ["", "- 1", "epochs: x", "epochs: 0", "speed: 3", "optim: 3", "a: [", "lr: null"])
def test_a_damaged_configuration_of_a_run_is_named(tmp_path: Path, text: str) -> None:
    path = Path(file(tmp_path, text))
    with pytest.raises(ConfigError, match=r"options\.yaml cannot be read as the options of a run\.") as caught:
        load_config(path, TrainConfig)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["", "--lr 1", "--recipe", "--recipe a --recipe b", "--recipe=b"])
def test_an_option_that_is_read_first_is_the_last_one(line: str) -> None:
    assert named_first(line.split(), "recipe", "default") == ("b" if "b" in line else "default")


def test_given_is_what_the_command_line_and_its_file_name(tmp_path: Path) -> None:
    path = file(tmp_path, "optim:\n  weight_decay: 0.1\nepochs: 3\n")
    asked = parse(COMMAND, ["--config", path, "--lr", "0.5", "--optim.momentum", "0.8"])
    assert asked.given == {"epochs", "lr", "optim.weight_decay", "optim.momentum"}


def test_a_mode_is_asked_for_with_its_value() -> None:
    command = Command("prog", "", TrainConfig, modes={"seeds": Mode("", "N"), "check": Mode("")})
    assert parse(command, ["--seeds", "3"])[3:5] == ("seeds", "3")
    assert parse(command, ["--check"])[3:5] == ("check", "")


@pytest.mark.parametrize("length", [["--steps", "9"], ["--budget=10m"]])
def test_the_epochs_of_a_recipe_give_way_to_another_length(length: list[str]) -> None:
    assert parse(Command("prog", "", TrainConfig, {"epochs": 9}), length).config.epochs is None


def test_the_epochs_of_a_recipe_give_way_to_the_steps_of_a_file(tmp_path: Path) -> None:
    command = Command("prog", "", TrainConfig, {"epochs": 9})
    assert parse(command, ["--config", file(tmp_path, "steps: 4")]).config.steps == 4


def test_a_warmup_that_nobody_gave_shrinks_with_the_run() -> None:
    assert parse(Command("prog", "", TrainConfig, {"warmup": 5}), ["--epochs", "3"]).config.warmup == 0.6


def test_a_warmup_that_was_given_is_refused_in_too_short_a_run() -> None:
    assert refusal("--epochs", "3", "--warmup", "5").startswith("--warmup is 5.0: it must be less than --epochs 3.")


KEYWORDS: list[dict[str, Any]] = [
    {"epochs": 5, "lr": "1e-3", "data": {"hflip": 0}, "freeze": 2},
    {"epochs": "5", "lr": 1e-3, "data.hflip": 0.0, "freeze": "2"},
    {"epochs": np.int64(5), "lr": np.float32(1e-3), "data": {"hflip": "0"}, "freeze": "2"},
]


@pytest.mark.parametrize("options", KEYWORDS, ids=str)
def test_keywords_mean_what_flags_mean(options: dict[str, Any]) -> None:
    argv = ["--epochs", "5", "--lr", "1e-3", "--data.hflip", "0", "--freeze", "2"]
    asked = parse(Command("prog", "", FinetuneConfig, RECIPE), argv)
    config, given = from_keywords(FinetuneConfig, RECIPE, options)
    assert values_of(config) == pytest.approx(values_of(asked.config))
    assert given == asked.given


def test_a_path_is_the_name_of_a_data_set() -> None:
    assert from_keywords(TrainConfig, {}, {"dataset": Path("photos")})[0].dataset == "photos"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "There is no option 'epoch'. Did you mean 'epochs'?"),
        ({"data": {"hflp": 1}}, "There is no option 'data.hflp'. Did you mean 'data.hflip'"),
        ({"data": 3}, "data is a group of options: give data.image_column, "),
        ({"epochs": 2.5}, "--epochs is 2.5: it must be a whole number or null."),
        ({"epochs": True}, "--epochs is True: it must be a whole number or null."),
        ({"scratch": 3}, "--scratch is 3: it must be true or false."),
        ({"model": None}, "--model is None: it must be text."),
        ({"lr": -1}, "--lr is -1.0: it must be greater than 0"),
        (
            {"optim": {"betas": [0.9]}},
            "--optim.betas is [0.9]: it must be 2 numbers with a comma between them or null.",
        ),
    ],
    ids=str,
)
def test_wrong_keywords_are_refused_as_flags_are(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        from_keywords(TrainConfig, {}, options)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lrr": 1}, "mine.yaml: There is no option 'lrr'. Did you mean 'lr'"),
        ({"lr": "high"}, "mine.yaml: --lr is 'high': it must be a number"),
        ({"optim": {"mom": 1}}, "mine.yaml: There is no option 'optim.mom'"),
        ({"optim": 3}, "mine.yaml: optim is a group of options"),
    ],
)
def test_options_of_a_recipe_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_options(options, TrainConfig, "mine.yaml")
    assert message in str(refused.value)
