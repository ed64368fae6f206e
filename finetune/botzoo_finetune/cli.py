"""The command ``botzoo-finetune``."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

from botzoo.guard import guarded

PROG = "botzoo-finetune"
RECIPE = Path(__file__).parent / "recipes" / "default.yaml"
DESCRIPTION = "Fine-tune a pretrained image model on your own images and get a folder that timm and the Hub load."
INTERRUPTED = "Interrupted. A run that had begun goes on from its last checkpoint with --resume."


def main() -> None:
    """Entry point: parse, then import what is heavy, then run."""
    sys.exit(guarded(PROG, _main, sys.argv[1:], interrupted=INTERRUPTED))


def _main(argv: list[str]) -> None:
    began = time.perf_counter()

    import yaml

    from botzoo.training.command_line import make_parser, parse, wants_dry_run, wants_find_lr
    from botzoo_finetune.config import FinetuneConfig

    parser = make_parser(PROG, DESCRIPTION, FinetuneConfig, yaml.safe_load(RECIPE.read_text(encoding="utf-8")))
    config, resume = parse(parser, FinetuneConfig, argv)

    from botzoo.publishing.summary import print_to_terminal
    from botzoo.training.engine import leave_group
    from botzoo_finetune.run import finetune

    print_to_terminal()
    modes = {"dry_run": wants_dry_run(argv), "find_lr": wants_find_lr(argv)}
    finetune(config, command=shlex.join([PROG, *argv]), resume=resume, **modes, began=began)
    leave_group()
