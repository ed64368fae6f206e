"""botzoo export: a trained network in the form of another program."""

from __future__ import annotations

from botzoo.commands import CommandParser, check_output
from botzoo.errors import ConfigError
from botzoo.inference.export.formats import FORMATS, exporter
from botzoo.util.environment import user_path
from botzoo.util.outgoing import say

DESCRIPTION = (
    "Write a trained network as ONNX, whatever it gives. The file answers as the network does, or is not written."
)


def run(argv: list[str]) -> None:
    """Export a network."""
    parser = CommandParser("botzoo export", DESCRIPTION)
    add = parser.add_argument
    add("model", metavar="NAME", help="Name or name.tag, hf-hub:owner/name, local-dir:PATH or the folder of a run.")
    add("--output", metavar="FILE", required=True, help=f"What to write; it ends in {' or '.join(FORMATS)}.")
    add("--overwrite", action="store_true", help="Replace that file if it is there.")
    options = parser.parse(argv)
    output = user_path(options.output)
    if output.suffix.lower() not in FORMATS:
        ends = f"ends in {output.suffix}" if output.suffix else "has no ending"
        raise ConfigError(f"--output {output} {ends}: give a name that ends in {' or '.join(FORMATS)}.")
    check_output(output, overwrite=options.overwrite)

    from botzoo.inference.load import load

    for line in exporter(output.suffix.lower())(load(options.model), output):
        say(line)
    say(f"{'written':10} {output}, {output.stat().st_size / 1e6:,.1f} MB")
