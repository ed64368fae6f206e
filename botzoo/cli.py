"""The command ``botzoo``: finds the command named and calls it; what is heavy is imported there."""

import sys

try:
    from importlib import import_module

    from botzoo import __version__
    from botzoo.errors import ConfigError
    from botzoo.util.guard import guarded
    from botzoo.util.outgoing import say
except KeyboardInterrupt:  # Ctrl-C before the guard stands
    print("\nbotzoo: Interrupted.", file=sys.stderr)
    raise SystemExit(130) from None

COMMANDS = {
    "train": "Train a network from scratch by a recipe.",
    "predict": "Say what a trained network sees in images, folders or addresses.",
    "explain": "Show where in images a trained network found its answers.",
    "export": "Write a trained network as ONNX, compared with itself.",
    "list": "List the networks: accuracy, parameters, multiply-adds, size, licence, cached or not.",
    "info": "Show a network: its structure, layers, cost, recipe and card.",
    "cache": "Show or clear what is kept on this machine: weights and decoded images.",
    "recipes": "List the recipes as a ladder, or print one: botzoo recipes [NAME].",
    "ablate": "Train every rung of a ladder with every seed and compare them.",
    "transfer": "Fine-tune each of several weights with every seed and compare them.",
    "report": "Show how good a finished run is and where it errs, on one page, or compare several runs.",
    "card": "Write the card of a finished run anew, from its folder.",
    "verify": "Evaluate a published model anew and compare with what its card claims.",
    "reproduce": "Print, or run, the training of a published model from its own recipe.",
    "publish": "Put a finished run or a model folder on the Hugging Face Hub.",
}
"""What each command does; its module in ``botzoo.commands`` has its name."""

MODULES = {name: f"botzoo.commands.publishing.{name}" for name in ("publish", "verify", "reproduce")}
MODULES["transfer"] = "botzoo_finetune.weights.command"
"""Those that are elsewhere. What fine-tunes is in the package for it, which is imported by its name and here only."""


INTERRUPTED = {
    "train": "Interrupted. A run that had begun goes on from its last checkpoint with --resume.",
    "ablate": "Interrupted. The same command goes on from the last checkpoint.",
    "transfer": "Interrupted. The same command goes on from the last checkpoint.",
}
"""What commands that leave something to go on with say after Ctrl-C, unless they could stop between two steps."""


USAGE = """usage: botzoo COMMAND ...   (botzoo COMMAND --help for its options)

{commands}

botzoo-finetune fine-tunes a pretrained network on your own images."""


def main() -> None:
    """Entry point."""
    argv = sys.argv[1:]
    name = argv[0] if argv and argv[0] in COMMANDS else ""
    sys.exit(guarded(f"botzoo {name}".rstrip(), _main, argv, interrupted=INTERRUPTED.get(name, "Interrupted.")))


def _main(argv: list[str]) -> None:
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help"):
        say(*USAGE.format(commands="\n".join(f"  {name:10} {about}" for name, about in COMMANDS.items())).splitlines())
    elif name == "--version":
        say(f"botzoo {__version__}")
    elif name in COMMANDS:
        import_module(MODULES.get(name, f"botzoo.commands.{name}")).run(argv[1:])
    else:
        cure = f"There are {', '.join(COMMANDS)}."
        raise ConfigError(f"There is no command {name!r}.", value=name, accepted=COMMANDS, cure=cure)
