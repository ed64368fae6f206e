"""botzoo info: one network in full."""

import argparse
import sys
from pathlib import Path

from botzoo.commands import CommandParser, check_output
from botzoo.errors import ConfigError
from botzoo.util.environment import user_path
from botzoo.util.outgoing import say

DESCRIPTION = "Show a network: where each of the paper's tweaks sits, its layers, cost, weights, recipe and card."

PAGE = "network.html"


def run(argv: list[str]) -> None:
    """Show a network."""
    parser = CommandParser("botzoo info", DESCRIPTION)
    add = parser.add_argument
    add("name", metavar="NAME", help="Name or name.tag, hf-hub:owner/name, local-dir:PATH or the folder of a run.")
    add("--layers", action="store_true", help="Every layer instead of the blocks that they make up.")
    weights = (
        "Write a page of its trained weights: first filters, norms and histograms by layer, dead channels, BatchNorm."
    )
    add("--weights", action="store_true", help=weights)
    add(
        "--activations",
        metavar="IMAGE",
        help="Write a page of what each stage makes of this image; goes with --weights.",
    )
    add("--output", metavar="FILE", help=f"What the page is called (default: {PAGE}).")
    add("--overwrite", action="store_true", help="Replace that file if it is there.")
    options = parser.parse(argv)
    if options.weights or options.activations is not None:
        _look_inside(options, _checked(options))
        return
    if options.output is not None or options.overwrite:
        raise ConfigError("--output and --overwrite are for a page: give --weights or --activations IMAGE too.")

    from botzoo.inference.sheet import sheet

    say(*sheet(options.name, every_layer=options.layers))


def _checked(options: argparse.Namespace) -> Path:
    """Return the file of the page.

    Raises:
        ConfigError: an option cannot be used; nothing is loaded yet.
    """
    if options.layers:
        raise ConfigError("--layers is for the terminal, and the page of --weights has every layer: leave it out.")
    if "" in (options.name, options.activations, options.output):
        raise ConfigError("The name, --activations or --output is '': give a path or a name.")
    output = user_path(options.output or PAGE)
    check_output(output, overwrite=options.overwrite)
    if options.activations is not None and Path(options.activations).is_dir():
        raise ConfigError(f"--activations {options.activations} is a folder: give one image of it.")
    if options.activations is not None and output.resolve() == Path(options.activations).resolve():
        raise ConfigError(f"--output {output} is the image itself, which would be lost: give another name.")
    return output


def _look_inside(options: argparse.Namespace, output: Path) -> None:
    """Write the page, and say what is worth knowing of it."""
    from botzoo.explain.activations import passage
    from botzoo.explain.network import Network
    from botzoo.inference.load import load, to_fetch
    from botzoo.util.files import write_text
    from botzoo.util.hub import hub_page

    if (hub_id := to_fetch(options.name)) is not None:
        say(f"botzoo info: fetching the weights of {options.name} from {hub_page(hub_id)}", file=sys.stderr)
    model = load(options.name)
    way = passage(model, options.activations) if options.activations is not None else None
    network = Network(model, weights=options.weights, passage=way)
    write_text(output, network.page())
    say(*network.lines(), f"page       {output}")
