"""botzoo ablate: every rung of a ladder with every seed."""

import os

from botzoo.errors import ConfigError
from botzoo.options.command import Command
from botzoo.options.command_line import named_first, parse
from botzoo.options.config import AblateConfig
from botzoo.options.facts import values_of
from botzoo.recipes.ladders import load_ladder
from botzoo.util.nested import nested
from botzoo.util.outgoing import as_typed, say

COMMAND = Command(
    "botzoo ablate",
    "Train every rung of a ladder with every seed and compare them. Options given hold for all rungs; the same command "
    "given again goes on where it was.",
    AblateConfig,
    modes={},
    examples={
        "botzoo ablate --epochs 5": "the paper's Table 6 on digits",
        "botzoo ablate --ladder table4 --dataset cifar10 --epochs 30": "another table",
        "botzoo ablate --epochs 30 --rungs efficient,cosine --seeds 5": "two rungs with five seeds each",
        "botzoo ablate --epochs 30 --leave-one-out": "all tricks but one, in turn",
        "botzoo ablate --ladder mine.yaml --epochs 10": "a ladder of your own",
    },
)


def run(argv: list[str]) -> None:
    """Train every rung of a ladder with every seed and compare them."""
    # What is compared is what one wants to know of first: a wrong ladder is refused before missing epochs.
    load_ladder(named_first(argv, "ladder", AblateConfig.ladder))
    asked = parse(COMMAND, argv)
    if asked.resume is not None:
        raise ConfigError("An ablation goes on by itself: give the same command again, without --resume.")
    options = nested({name: value for name, value in values_of(asked.config).items() if name in asked.given})

    from functools import partial

    from botzoo.api import all_callbacks
    from botzoo.experiments.ablation import ablate
    from botzoo.experiments.report import as_table
    from botzoo.results.summary import print_to_terminal
    from botzoo.training.distributed import leave_group

    print_to_terminal()
    command, make_callbacks = as_typed(["botzoo", "ablate", *argv]), partial(all_callbacks, summary=False)
    ablation = ablate(asked.config, options, command, make_callbacks)
    leave_group()
    if os.environ.get("RANK", "0") == "0":
        say(
            *as_table(ablation).split("\n"),
            "",
            f"{ablation.folder / 'ablation.md'}, ablation.png and ablation.json hold all of it.",
        )
