"""botzoo report: how good a finished run is and where it errs, on one page."""

from pathlib import Path

from botzoo.commands import CommandParser
from botzoo.errors import ConfigError
from botzoo.util.outgoing import say

DESCRIPTION = (
    "Write one HTML page on a finished run: how good the network is, its worst mistakes with their pictures, confusions, "
    "classes, reliability, the course of training and the data. Of several runs: how far they differ on the same images."
)


def run(argv: list[str]) -> None:
    """Write a page.

    Raises:
        ConfigError: an option cannot be used.
    """
    parser = CommandParser("botzoo report", DESCRIPTION)
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", type=Path, help="Folder of a finished run, or of its model.")
    add("--data", metavar="NAME", help="Where the images are now, as for --dataset (default: where they were).")
    add("--output", metavar="FILE", type=Path, help="What to write (default: report.html in the run's folder).")
    add("--overwrite", action="store_true", help="Replace the file of --output though it is no report.")
    options = parser.parse(argv, intermixed=True)
    if options.data == "":
        raise ConfigError("--data is '': give a folder or the name of a data set.", value="")

    from botzoo.report.view import FinishedRun
    from botzoo.results.report import run_of

    folders = [folder.expanduser() for folder in options.runs]
    folders = [run_of(folder) or folder for folder in folders]
    say(FinishedRun.load(folders[0]).report(options.output, data=options.data, overwrite=options.overwrite))
