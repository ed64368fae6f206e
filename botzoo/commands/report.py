"""botzoo report: how good a finished run is and where it errs, on one page."""

from collections import Counter
from pathlib import Path

from botzoo.commands import CommandParser
from botzoo.errors import ConfigError
from botzoo.util.environment import user_path
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
    written = (
        "What to write (default: report.html in the run's folder; comparison.html here for several "
        "runs, report.html here for a model without its run)."
    )
    add("--output", metavar="FILE", type=Path, help=written)
    add("--overwrite", action="store_true", help="Replace the file of --output though it is no report.")
    options = parser.parse(argv, intermixed=True)
    if options.data == "":
        raise ConfigError("--data is '': give a folder or the name of a data set.", value="")

    from botzoo.report.compare import NAME, answers_of, write_comparison
    from botzoo.report.view import FinishedRun
    from botzoo.results.report import run_of

    folders = [run_of(folder) or folder for folder in (user_path(path) for path in options.runs)]
    folder, times = Counter(folder.resolve() for folder in folders).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"{folder} is given {times} times: leave all but one out.", value=str(folder))
    output = user_path(options.output) if options.output is not None else None
    if len(folders) > 1:
        output = output or Path(NAME)
        records = [answers_of(folder) for folder in folders]
        write_comparison(records, output, options.data, overwrite=options.overwrite)
    elif (folders[0] / "config.json").is_file():
        output = _of_model(folders[0], options.data, output, overwrite=options.overwrite)
    else:
        output = FinishedRun.load(folders[0]).report(output, data=options.data, overwrite=options.overwrite)
    say(output)


def _of_model(folder: Path, data: str | None, output: Path | None, *, overwrite: bool) -> Path:
    """Write the page of a model that no run is beside, by default here: the folder may be published as it is."""
    if data is None:
        raise ConfigError(
            f"{folder} is a model without its run, which has the answers: give labelled images with --data."
        )

    from botzoo.report.models import evaluated_model
    from botzoo.report.page import NAME, check_replaceable, write_report

    output = output or Path(NAME)
    check_replaceable(output, overwrite=overwrite)
    record, material = evaluated_model(folder, data)
    write_report(record, output, material, overwrite=overwrite)
    return output
