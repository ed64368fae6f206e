"""botzoo publish: a finished run, or any model folder, to the Hub."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from botzoo.commands.parsing import CommandParser
from botzoo.training.config import check_license, check_repo

DESCRIPTION = """Publish a model on the Hugging Face Hub in one commit: weights, config.json, card, recipe, metrics, pictures.
The card's code then loads it from there. Log in before with `hf auth login`."""


def run(argv: list[str]) -> None:
    """Publish a run or a model folder on the Hub."""
    options = _parsed(argv)

    from botzoo.publishing.package import pack
    from botzoo.publishing.summary import print_to_terminal

    package = pack(Path(options.path).expanduser(), options.repo, options.license)
    for name, size in package.sizes.items():
        print(f"{'file':10} {name:20} {_readable(size):>9}")
    for name in package.left_behind:
        print(f"{'left out':10} {name}: not on the list of what goes up")
    print(f"{'licence':10} {package.license}")
    if options.dry_run:
        print(f"{'repository':10} {options.repo}: a dry run, nothing is sent; this is its README.md:\n\n{package.card}")
        return

    from botzoo.publishing.hub import publish

    print_to_terminal()
    done = publish(package, private=options.private, tag=options.tag, parent=options.parent)
    print(f"{'commit':10} {done.commit}{'' if done.changed else ': all of it was there already'}")
    print(f"{'published':10} {done.url}")


def _parsed(argv: list[str]) -> Any:
    parser = CommandParser("botzoo publish", DESCRIPTION, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="RUN|MODEL_FOLDER", help="Folder of a finished run, or a model folder.")
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="Where to; made where it does not exist.")
    parser.add_argument("--private", action="store_true", help="For its owner only.")
    parser.add_argument("--tag", help="Name for this state of the repository, such as v1.")
    parser.add_argument("--license", help="Such as apache-2.0; asked for only where the card has none.")
    parser.add_argument("--parent", metavar="COMMIT", help="Go on top of this commit, which somebody else has made.")
    parser.add_argument("--dry-run", action="store_true", help="Show the files and the card; touch no network.")
    options = parser.parse(argv)
    check_repo(options.repo, "repo")
    if options.license is not None:
        check_license(options.license)
    return options


def _readable(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
