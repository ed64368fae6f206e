"""botzoo explain: where in images a trained network found its answers."""

import argparse
import sys
from pathlib import Path

from botzoo.commands import CommandParser, check_folder
from botzoo.errors import ConfigError
from botzoo.inference.options import DEVICES, check_options
from botzoo.util.environment import user_path
from botzoo.util.outgoing import say

DESCRIPTION = (
    "Show where in images a trained network found its answers: a picture of each with a map over it, and a page."
)

METHODS = ("layercam", "gradcam", "occlusion")


def run(argv: list[str]) -> None:
    """Explain; exit with status 1 where some images cannot be read.

    Raises:
        DataError: no image can be read.
    """
    parser = CommandParser("botzoo explain", DESCRIPTION)
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="Image files, folders or archives of them, or http(s) addresses.")
    add("--model", required=True, help="Name or name.tag, hf-hub:owner/name, local-dir:PATH or the folder of a run.")
    add(
        "--class",
        dest="of",
        metavar="C",
        help="Show what speaks for this class (a name or a number) in place of the answer.",
    )
    methods = "How: layercam and gradcam look at a layer, occlusion hides parts of the image (default: %(default)s)."
    add("--method", choices=METHODS, default="layercam", help=methods)
    add("--output", metavar="FOLDER", required=True, help="New folder for the pictures and their page, index.html.")
    add("--overwrite", action="store_true", help="Write into a folder that is there, over files of the same names.")
    add("--batch-size", type=int, help="Images at once; by default as many as suit their size.")
    add("--device", choices=DEVICES, default="auto", help="Where to compute (default: auto).")
    options = parser.parse(argv, intermixed=True)
    folder = user_path(options.output)
    _check(options, folder)

    from botzoo.explain.maps import Explainer
    from botzoo.explain.overlays import PAGE, class_number, write_overlays
    from botzoo.inference.images import find_images
    from botzoo.inference.load import load, to_fetch
    from botzoo.util.hub import hub_page
    from botzoo.util.text import counted

    images = find_images(options.images, _say)
    if beside := [image for image in images if Path(image).resolve().parent == folder.resolve()]:
        raise ConfigError(f"--output {folder} is the folder of the image {beside[0]}: give another one.")
    if (hub_id := to_fetch(options.model)) is not None:
        _say(f"fetching the weights of {options.model} from {hub_page(hub_id)}")
    model = load(options.model)
    of = class_number(model, options.of) if options.of is not None else None
    explainer = Explainer(model, options.method, device=options.device, batch_size=options.batch_size)
    say(f"{options.method}: {explainer.words}")
    unread = write_overlays(explainer, images, folder, of=of, say=_say)
    say(f"{counted(len(images) - len(unread), 'image')} explained: {folder / PAGE}")
    if unread:
        raise SystemExit(1)


def _say(what: str) -> None:
    say(f"botzoo explain: {what}", file=sys.stderr)


def _check(options: argparse.Namespace, folder: Path) -> None:
    """Raise ConfigError for an option that cannot be used; nothing is loaded yet."""
    check_options(None, options.batch_size, None, device=options.device)
    if "" in (*options.images, options.model, options.output, options.of):
        raise ConfigError("An image, --model, --class or --output is '': give a path, an address or a name.")
    check_folder(folder, overwrite=options.overwrite)
