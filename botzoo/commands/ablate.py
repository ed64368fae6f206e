"""botzoo ablate: every rung of a ladder with every seed."""

from __future__ import annotations

import os
import shlex

from botzoo.errors import ConfigError
from botzoo.options.command_line import RUN_MODES, chosen_mode, given, make_parser, named_first, parse
from botzoo.options.config import AblateConfig
from botzoo.recipes.ladders import load_ladder

DESCRIPTION = (
    "Train every rung of a ladder with every seed; options given hold for all. Killed, it goes on where it was."
)


def run(argv: list[str]) -> None:
    """Train every rung of a ladder with every seed and compare them."""
    parser = make_parser("botzoo ablate", DESCRIPTION, AblateConfig, {}, RUN_MODES)
    load_ladder(
        named_first(argv, "--ladder", AblateConfig.ladder)
    )  # what is compared is what one wants to know of first
    config, resume = parse(parser, AblateConfig, argv)
    if resume is not None:
        raise ConfigError("An ablation goes on by itself: give the same command again, without --resume.")
    if chosen_mode(argv, RUN_MODES):
        raise ConfigError("--dry-run and --find-lr are for one run: give them to botzoo train.")
    options = given(parser, AblateConfig, argv)

    from functools import partial

    from botzoo.api import all_callbacks
    from botzoo.experiments.ablation import ablate
    from botzoo.experiments.report import as_table
    from botzoo.results.summary import print_to_terminal
    from botzoo.training.distributed import leave_group

    print_to_terminal()
    ablation = ablate(config, options, shlex.join(["botzoo", "ablate", *argv]), partial(all_callbacks, summary=False))
    leave_group()
    if os.environ.get("RANK", "0") == "0":
        print(
            f"\n{as_table(ablation)}\n\n{ablation.folder / 'ablation.md'}, ablation.png and ablation.json hold all of it."
        )
