"""The command ``botzoo-finetune``."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import yaml

from botzoo.training.command_line import guarded, make_parser, parse, wants_dry_run, wants_find_lr
from botzoo_finetune.config import FinetuneConfig

PROG = "botzoo-finetune"
RECIPE = Path(__file__).parent / "recipes" / "default.yaml"
DESCRIPTION = "Fine-tune a pretrained image model on your own images and get a folder that timm and the Hub load."


def main() -> None:
    """Entry point: parse, then import what is heavy, then run."""
    sys.exit(guarded(PROG, _main, sys.argv[1:]))


def _main(argv: list[str]) -> None:
    began = time.perf_counter()
    parser = make_parser(PROG, DESCRIPTION, FinetuneConfig, yaml.safe_load(RECIPE.read_text(encoding="utf-8")))
    config, resume = parse(parser, FinetuneConfig, argv)

    from botzoo.publishing.summary import print_to_terminal
    from botzoo.training.engine import leave_group
    from botzoo_finetune.run import finetune

    print_to_terminal()
    command, dry, finds = shlex.join([PROG, *argv]), wants_dry_run(argv), wants_find_lr(argv)
    finetune(config, command=command, resume=resume, dry_run=dry, find_lr=finds, began=began)
    leave_group()
