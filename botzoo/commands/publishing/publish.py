"""botzoo publish: a finished run, or any model folder, to the Hub."""

from argparse import BooleanOptionalAction, RawDescriptionHelpFormatter

from botzoo.commands import CommandParser
from botzoo.options.accepted import COMMIT, LICENSE, REPO, TAG
from botzoo.util.environment import user_path
from botzoo.util.outgoing import say

DESCRIPTION = """Publish a model on the Hugging Face Hub in one commit: weights, config.json, card, recipe, metrics, pictures.
The card's code then loads it from there. Log in before with `hf auth login`."""


def run(argv: list[str]) -> None:
    """Publish a run or a model folder on the Hub."""
    parser = CommandParser("botzoo publish", DESCRIPTION, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="RUN|MODEL_FOLDER", help="Folder of a finished run, or a model folder.")
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="Where to; made where it does not exist.")
    parser.add_argument("--private", action="store_true", help="For its owner only.")
    parser.add_argument("--tag", help="Name for this state of the repository, such as v1.")
    parser.add_argument("--license", help="Such as apache-2.0; asked for only where the card has none.")
    parser.add_argument(
        "--fold-temperature",
        action=BooleanOptionalAction,
        default=True,
        help="Divide the classifier's weights by the temperature (the default), or keep it in config.json alone, where timm "
        "and transformers pass over it.",
    )
    parser.add_argument("--parent", metavar="COMMIT", help="Go on top of this commit, which somebody else has made.")
    replaces = "Take the place of what was not published from this folder, or whose card was edited since."
    parser.add_argument("--replace", action="store_true", help=replaces)
    parser.add_argument("--dry-run", action="store_true", help="Show the files and the card; touch no network.")
    options = parser.parse(argv)
    REPO.check("repo", options.repo)  # what is wrong with words is said before the folder is read
    for name, accepted in (("license", LICENSE), ("tag", TAG), ("parent", COMMIT)):
        if (value := getattr(options, name)) is not None:
            accepted.check(name, value)

    from botzoo.hub.package import pack
    from botzoo.results.summary import print_to_terminal

    path = user_path(options.path)
    package = pack(path, options.repo, options.license, fold_temperature=options.fold_temperature)
    for name, size in package.sizes.items():
        readable = f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
        say(f"{'file':10} {name:20} {readable:>9}")
    for name in package.left_behind:
        say(f"{'left out':10} {name}: not on the list of what goes up")
    say(f"{'licence':10} {package.license}")
    if package.temperature is not None:
        say(f"{'calibrated':10} temperature {package.temperature}")
    tag, parent = f", tag {options.tag}" if options.tag else "", options.parent
    on_top = f", on top of commit {parent}" if parent else ""
    say(f"{'goes to':10} {options.repo}, {'for its owner only' if options.private else 'public'}{tag}{on_top}")
    if options.dry_run:
        say(f"{'dry run':10} nothing is sent, and the Hub is not asked; this is its README.md:", "")
        say(*package.card.splitlines())
        return

    from botzoo.hub.publish import publish

    print_to_terminal()
    done = publish(package, private=options.private, tag=options.tag, parent=parent, replace=options.replace)
    say(f"{'commit':10} {done.commit}{'' if done.changed else ': all of it was there already'}")
    say(f"{'published':10} {done.url}")
