"""The pages: their links lead somewhere, and the commands and options that they name exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from botzoo import cli as zoo
from botzoo.commands import ablate, train
from botzoo.options.command import WORDS, Command
from botzoo.options.command_line import parse
from botzoo.options.facts import flag, options_of
from botzoo_finetune import cli
from botzoo_finetune.weights import command as transfer

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "finetune/README.md",
    ROOT / "cards/README.md",
]
STAND_INS = {"N": "3", "W": "1", "E": "1", "SIZE": "64", "LR": "0.1"}
"""Values that a page leaves open."""

REFUSED = ("--modle x", "--cutout 0.5 --dry-run", "--budget 1s")
"""Command lines that are shown for their refusal, or for an option that a walk-through adds."""

COMMANDS: dict[str, Command[Any]] = {
    "botzoo-finetune": cli.command(),
    "-m botzoo_finetune": cli.command(),
    "botzoo train": train.command(),
    "botzoo ablate": ablate.COMMAND,
    "botzoo transfer": transfer.command(),
}


def anchors(page: Path) -> set[str]:
    """Return what a heading of the page is called in an address, as GitHub makes it."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def lines() -> Iterator[str]:
    """Yield the lines of all pages, those that end in a backslash with the next, without prompts and remarks."""
    for page in PAGES:
        for line in re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8")).splitlines():
            yield re.sub(r"\s# .*", "", line.strip().removeprefix("$ "))


def command_lines() -> list[tuple[str, str]]:
    """Return every command of many options that a page shows, as its name and the words after it."""
    found = []
    for line in lines():
        for name in COMMANDS:
            whole = re.match(rf"(?:.*&& )?{name}( .*)?$" if name[0] != "-" else rf".* {name}( .*)$", line)
            spans = [whole[1] or ""] if whole else re.findall(rf"`{name}( [^`]*)`", line)
            found += [(name, words.strip()) for words in spans if "..." not in words and "--resume" not in words]
    return sorted({(name, words) for name, words in found if words not in REFUSED})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize(("name", "words"), command_lines())
def test_a_command_that_a_page_shows_is_understood(name: str, words: str) -> None:
    asked = [STAND_INS.get(word, word) for word in shlex.split(words)]
    if {"--config", "--ladder", "--recipe", "--help", "--help-all"} & set(asked):  # these read files, or end at once
        assert {word.split("=")[0] for word in asked if word.startswith("--")} <= flags()
    else:
        parse(COMMANDS[name], asked)


def flags() -> set[str]:
    """Return every flag of the commands of many options."""
    known = {f"--{name.replace('_', '-')}" for name in (*WORDS, "recipe")}
    for command in COMMANDS.values():
        known |= {f"--{name.replace('_', '-')}" for name in (*command.modes, *command.own)}
        for name, own in options_of(command.config_class).items():
            known |= {flag(name), flag(name, False)} if own.kind is bool else {flag(name)}
    return known


def test_every_option_that_a_sentence_names_exists() -> None:
    small = {
        f for path in (ROOT / "botzoo/commands").rglob("*.py") for f in re.findall(r'"(--[\w-]+)"', path.read_text())
    }
    small |= {"--no-fold-temperature"}  # which argparse makes of the other
    named = {
        f
        for line in lines()
        for span in re.findall(r"`([^`]+)`", line)
        for f in re.findall(r"(?<!\S)--\w[\w.-]*[\w-]", span)
    }
    measuring = {"--data", "--rounds", "--steps", "--images", "--only", "--seeds", "--full", "--target", "--seed"}
    measuring |= {
        "--repeats",
        "--cifar10",
        "--tinyimagenet100",
        "--flowers",
        "--weather",
        "--photos",
        "--accuracy",
        "--others",
        "--runs",
        "--kept",
        "--test",
    }  # of tests/benchmarks
    shown_as_wrong_or_new = {"--no-", "--cutout"}
    assert named - flags() - small - measuring - shown_as_wrong_or_new == set()


def test_every_command_of_botzoo_that_a_page_shows_exists() -> None:
    named = {name for line in lines() for name in re.findall(r"(?:^|`)botzoo ([a-z]+)", line)}
    assert named <= set(zoo.COMMANDS)


def test_the_readme_is_short_and_has_the_commands_that_everything_starts_with() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 170
    assert len((ROOT / "finetune/README.md").read_text(encoding="utf-8").splitlines()) <= 60
    assert "\n    pip install -e . && botzoo-finetune\n" in text
    assert "\n    pip install -e '.[test]' && pytest\n" in text
    assert "Apache-2.0" in "".join(text.splitlines()[:5])
