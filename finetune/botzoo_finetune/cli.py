"""The command ``botzoo-finetune``."""

from __future__ import annotations

import sys

try:
    import shlex
    import time
    from pathlib import Path

    from botzoo.util.guard import guarded
except KeyboardInterrupt:  # Ctrl-C before the guard stands
    print("\nbotzoo-finetune: Interrupted.", file=sys.stderr)
    raise SystemExit(130) from None

PROG = "botzoo-finetune"
RECIPE = Path(__file__).parent / "recipes" / "default.yaml"
DESCRIPTION = "Fine-tune a pretrained image model on your own images and get a folder that timm and the Hub load."
MODES = {
    "probe": (
        "Say in seconds how good a linear classifier on the frozen network is, and if more data would help, and stop.",
        None,
    ),
    "compare": (
        "Probe several models, any that --model takes, rank them by accuracy on these images, and stop.",
        "M1,M2,...",
    ),
    "check": (
        "Look at the data set: counts, sizes, duplicates, broken files, likely wrong labels; write a report into the "
        "folder check, or --output, and stop, with status 1 where something is to be looked at.",
        None,
    ),
    "folds": (
        "Cross-validate: cut all images into K stratified folds, train K times, judge each image once by a network that has "
        "not seen it.",
        "K",
    ),
    "seeds": (
        "Train with each of N seeds, or of a list such as 0,1,5, on the same split; say mean, interval and spread.",
        "N",
    ),
    "search": (
        "Try out N combinations of --lr, --optim.weight-decay and --layer-decay; close with the best as a command.",
        "N",
    ),
}
"""What fine-tuning can do instead besides, as ``Mode`` has it."""
INTERRUPTED = (
    "Interrupted. A run that had begun goes on from its last checkpoint with --resume; those of --folds, --seeds and --search "
    "with the same command."
)


def main() -> None:
    """Entry point: parse, then import what is heavy, then run."""
    sys.exit(guarded(PROG, _main, sys.argv[1:], interrupted=INTERRUPTED))


def _main(argv: list[str]) -> None:
    began = time.perf_counter()

    import yaml

    from botzoo.options.command_line import RUN_MODES, Mode, chosen_mode, given, make_parser, named_first, parse
    from botzoo_finetune.config import FinetuneConfig

    modes = RUN_MODES | {name: Mode(*mode) for name, mode in MODES.items()}
    defaults = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    parser = make_parser(PROG, DESCRIPTION, FinetuneConfig, defaults, modes)
    config, resume = parse(parser, FinetuneConfig, argv)

    from botzoo.results.summary import print_to_terminal
    from botzoo.training.distributed import leave_group
    from botzoo_finetune.auto import named
    from botzoo_finetune.doctor.examine import Report
    from botzoo_finetune.run import execute

    print_to_terminal()
    mode = chosen_mode(argv, modes)
    done = execute(
        config,
        command=shlex.join([PROG, *argv]),
        resume=resume,
        mode=mode,
        value=named_first(argv, f"--{mode}", ""),
        began=began,
        given=named(given(parser, FinetuneConfig, argv)),
    )
    leave_group()
    if isinstance(done, Report) and not done.well:
        raise SystemExit(1)
