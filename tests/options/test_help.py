"""The help of the training commands: short, complete where all is asked for, and the reference made from the same facts."""

from pathlib import Path
from typing import Any

import pytest

from botzoo.commands import ablate, train
from botzoo.options.command import Command, help_text
from botzoo.options.command_line import parse
from botzoo.options.facts import flag, options_of
from botzoo_finetune import cli
from botzoo_finetune.reference import reference
from botzoo_finetune.weights import command as transfer

COMMANDS = {
    **{"train": train.command(), "ablate": ablate.COMMAND},
    **{"finetune": cli.command(), "transfer": transfer.command()},
}
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> Command[Any]:
    return COMMANDS[request.param]


def test_the_short_help_fits_a_screen_and_a_half(command: Command[Any]) -> None:
    lines = help_text(command, whole=False).splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert len([line for line in lines if line.startswith(f"  {command.prog} ")]) == 5


@pytest.mark.parametrize("word", ["Union", "Literal", "null", "None", "_bool"])
def test_the_help_is_in_plain_words(command: Command[Any], word: str) -> None:
    assert word not in help_text(command, whole=True)


def test_all_options_are_in_the_whole_help(command: Command[Any]) -> None:
    text = help_text(command, whole=True)
    assert not [name for name in options_of(command.config_class) if f"\n  {flag(name)}" not in text]
    assert max(map(len, text.splitlines())) <= 100


def test_the_help_has_switches_defaults_and_what_is_chosen() -> None:
    text = help_text(COMMANDS["finetune"], whole=True)
    assert "--zero-gamma/--no-zero-gamma" in text
    assert "--epochs N                Passes over the training images (default: chosen for the data)" in text
    assert "(default: adamw)" in text


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--help-all"], ["--lr", "3", "--help"]])
def test_help_is_printed_and_ends_with_0(
    command: Command[Any], argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(command, argv)
    assert (ended.value.code, capsys.readouterr().out) == (0, help_text(command, whole="--help-all" in argv) + "\n")


def test_the_reference_in_the_documents_is_that_of_the_options() -> None:
    written = (ROOT / "docs" / "cli-reference.md").read_text(encoding="utf-8")
    assert written == reference(), "write it anew: python -m botzoo_finetune.reference"
