"""The command ``botzoo-finetune``."""

from __future__ import annotations

import sys

try:
    import time
    from pathlib import Path
    from typing import TYPE_CHECKING

    from botzoo.util.guard import guarded
    from botzoo.util.outgoing import as_typed
except KeyboardInterrupt:  # Ctrl-C before the guard stands
    print("\nbotzoo-finetune: Interrupted.", file=sys.stderr)
    raise SystemExit(130) from None

if TYPE_CHECKING:
    from botzoo.options.command import Command
    from botzoo_finetune.config import FinetuneConfig

PROG = "botzoo-finetune"
RECIPE = Path(__file__).parent / "recipes" / "default.yaml"
MODES = {
    "probe": "Say in seconds how far a linear classifier on its features comes. It says if more data would help, too.",
    "compare M1,M2,...": "Probe several models and rank them by accuracy on these images. Any that --model takes "
    "will do, and MODEL=WEIGHTS with weights that --pretrained takes.",
    "check": "Look for broken files, duplicates and likely wrong labels. Counts and sizes are shown too; a report goes into "
    "the folder check, or --output; the exit status is 1 where something is to be looked at.",
    "folds K": "Cross-validate: train K times, each on all folds but one. All images are cut into K stratified folds, and "
    "each is evaluated once by a network that has not seen it.",
    "seeds N": "Train with each of N seeds on the same split. A list such as 0,1,5 will do; says mean, interval and spread.",
    "suggest FOLDER": "Rank the unlabelled images of a folder by what their labels may teach, for --count of them. The table "
    "suggested.csv and a page go into the folder suggest, or --output.",
    "search N": "Try out N learning rates, weight decays and layer decays. It closes with the best as a command.",
}
"""What fine-tuning can do instead besides: flag, name of its value, and what."""
RARE = ("suggest",)  # of these, what the short help has no room for
COUNT = 50  # images that --suggest names where nobody says how many
EXAMPLES = {
    "botzoo-finetune --dataset photos": "a folder with a folder for each class",
    "botzoo-finetune --dataset photos --budget 10m": "as good as ten minutes allow",
    "botzoo-finetune --dataset beans --model resnet50d_bot": "a data set of the Hub, another model",
    "botzoo-finetune --dataset photos --check": "look for wrong labels first",
    "botzoo-finetune --resume runs/photos-resnet10d_bot": "go on with a run that was ended",
}
INTERRUPTED = (
    "Interrupted. A run that had begun goes on from its last checkpoint with --resume; those of --folds, --seeds and "
    "--search with the same command."
)


def main() -> None:
    """Entry point: parse, then import what is heavy, then run."""
    sys.exit(guarded(PROG, _main, sys.argv[1:], interrupted=INTERRUPTED))


def command() -> Command[FinetuneConfig]:
    """Return the command with the defaults of its recipe."""
    from botzoo.options.command import RUN_MODES, Command, Mode
    from botzoo.options.facts import Option, When, at_least
    from botzoo.util.yaml_files import read_yaml
    from botzoo_finetune.config import CHOSEN, FinetuneConfig

    modes = {flag.partition(" ")[0]: (what, flag.partition(" ")[2]) for flag, what in MODES.items()}
    many, needs = "How many images --suggest names.", When("suggest")
    count = Option(COUNT, many, "Data", metavar="N", accepts=at_least(1), needs=needs, name="count", kind=int)
    return Command(
        PROG,
        "Fine-tune a pretrained image model on your own images and get a folder that timm and the Hub load.",
        FinetuneConfig,
        read_yaml(RECIPE),
        RUN_MODES | {name: Mode(*how, name not in RARE) for name, how in modes.items()},
        EXAMPLES,
        CHOSEN,
        own={"count": count},
    )


def _main(argv: list[str]) -> None:
    began = time.perf_counter()

    from botzoo.options.command_line import parse

    asked = parse(command(), argv)

    from botzoo.results.summary import print_to_terminal
    from botzoo.training.distributed import leave_group
    from botzoo_finetune.doctor.findings import Report
    from botzoo_finetune.run import execute

    print_to_terminal()
    done = execute(
        asked.config,
        command=as_typed([PROG, *argv]),
        resume=asked.resume,
        mode=asked.mode,
        value=asked.value,
        began=began,
        given=asked.given,
        count=asked.own.get("count", COUNT),
    )
    leave_group()
    if isinstance(done, Report) and not done.well:
        raise SystemExit(1)
