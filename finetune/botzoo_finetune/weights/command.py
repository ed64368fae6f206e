"""botzoo transfer: every rung of a ladder of weights, fine-tuned with every seed."""

import os

from botzoo.errors import ConfigError
from botzoo.options.command import Command
from botzoo.options.command_line import named_first, parse
from botzoo.options.facts import values_of
from botzoo.recipes.ladders import load_ladder
from botzoo.util.nested import nested
from botzoo.util.outgoing import as_typed, say
from botzoo.util.yaml_files import read_yaml
from botzoo_finetune.cli import RECIPE
from botzoo_finetune.weights.options import TransferConfig


def command() -> Command[TransferConfig]:
    """Return the command with the defaults of fine-tuning."""
    return Command(
        "botzoo transfer",
        "Fine-tune each of several weights with every seed and compare them, as Tables 7, 8 and 9 of the paper do. Options "
        "given hold for all of them; the same command given again goes on where it was.",
        TransferConfig,
        read_yaml(RECIPE),
        modes={},
        examples={
            "botzoo transfer --weights A --dataset photos --epochs 3": "weights of botzoo ablate",
            "botzoo transfer --ladder table8 --weights A --dataset cells --epochs 20": "detection",
            "botzoo transfer --weights A,standard=runs/b --dataset photos --epochs 3": "one of another run",
            "botzoo transfer --pretrain weights.yaml --dataset photos --epochs 3": "trained on the way",
            "botzoo transfer --ladder mine.yaml --dataset photos --epochs 3": "a ladder of your own",
        },
    )


def run(argv: list[str]) -> None:
    """Fine-tune every rung of a ladder of weights with every seed and compare them."""
    # What is compared is what one wants to know of first: a wrong ladder is refused before missing epochs.
    load_ladder(named_first(argv, "ladder", TransferConfig.ladder), of_weights=True)
    asked = parse(command(), argv)
    if asked.resume is not None:
        raise ConfigError("A ladder goes on by itself: give the same command again, without --resume.")
    options = nested({name: value for name, value in values_of(asked.config).items() if name in asked.given})

    from botzoo.experiments.report import as_table
    from botzoo.results.summary import print_to_terminal
    from botzoo.training.distributed import leave_group
    from botzoo_finetune.weights.transfer import transfer

    print_to_terminal()
    found = transfer(asked.config, options, asked.given, as_typed(["botzoo", "transfer", *argv]))
    leave_group()
    if os.environ.get("RANK", "0") == "0":
        files = f"{found.folder / 'transfer.md'}, transfer.png and transfer.json hold all of it."
        say(*as_table(found).split("\n"), "", files)
