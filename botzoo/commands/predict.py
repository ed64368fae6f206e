"""botzoo predict: what a trained network sees in images."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from botzoo.commands import CommandParser, check_output
from botzoo.errors import ConfigError, DataError
from botzoo.inference.options import DEVICES, PRECISIONS, TTA, check_options
from botzoo.util.files import written_whole
from botzoo.util.outgoing import plain, say
from botzoo.util.text import counted

DESCRIPTION = "Say what a trained network sees in images: the likeliest classes and their probabilities."

EMBEDDED_MODEL = "resnet10d_bot"
"""Its weights come with the package."""

FORMATS_BY_SUFFIX = {".json": "json", ".jsonl": "json", ".csv": "csv"}


def run(argv: list[str]) -> None:
    """Predict; exit with status 1 where some images cannot be read.

    Raises:
        DataError: no image can be read.
    """
    parser = CommandParser("botzoo predict", DESCRIPTION)
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="Image files, folders or archives of them, or http(s) addresses.")
    names = "Name or name.tag, hf-hub:owner/name, local-dir:PATH or the folder of a run (default: %(default)s)."
    add("--model", default=EMBEDDED_MODEL, help=names)
    add(
        "--top-k",
        type=int,
        help="How many classes to name (default: 5; of images with several labels, all over 50 %%).",
    )
    formats = "json: one object a line. By default what --output ends in, else table."
    add("--format", choices=("table", "json", "csv"), help=formats)
    add("--csv", dest="format", action="store_const", const="csv", help="The same as --format csv.")
    own = (
        "CSV with one row an image and these columns, as competitions want it: file, id (without folder and suffix), label, "
        "probability, a class, or classes for all of them. Id=id is id under the heading Id."
    )
    add("--columns", metavar="NAME,...", help=own)
    add("--output", help="Write to this file instead of the terminal.")
    add("--overwrite", action="store_true", help="Replace the file of --output if it is there.")
    add("--tta", choices=TTA, default="none", help="Average over several views.")
    temperature = (
        "Divide the logits by it, which leaves the order of the classes as it is; 1 for none. By default what was fitted "
        "after the training so that probabilities are as sure as they are right, if config.json has it."
    )
    add("--temperature", type=float, metavar="T", help=temperature)
    reject = (
        "0 answers every image, also where config.json has a threshold, fitted by --reject in training, below which the "
        "answer is none of these."
    )
    add("--reject", type=float, metavar="0", help=reject)
    add("--batch-size", type=int, help="Images at once; by default as many as suit their size.")
    add("--mixed-precision", choices=PRECISIONS, default="auto", help="Arithmetic; auto: fp32 unless less will do.")
    add("--device", choices=DEVICES, default="auto", help="Where to compute (default: auto).")
    options = parser.parse(argv, intermixed=True)
    output = Path(options.output).expanduser() if options.output else None
    form = _check(options, output)

    from botzoo.inference.columns import read_columns
    from botzoo.inference.images import find_named
    from botzoo.inference.load import load, to_fetch
    from botzoo.inference.output import FORMATS
    from botzoo.inference.predict import Prediction
    from botzoo.training.autotune.memory import keep_freed_memory
    from botzoo.training.distributed import choose_device
    from botzoo.util.hub import hub_page

    named = find_named(options.images, _say)
    images = [image.place for image in named]
    if output is not None and output.resolve() in {Path(image).resolve() for image in images}:
        raise ConfigError(f"--output {output} is one of the images, which would be lost: give another name.")
    if choose_device(options.device, "--device").type == "cpu":  # before the weights are fetched
        keep_freed_memory()
    if (hub_id := to_fetch(options.model)) is not None:
        _say(f"fetching the weights of {options.model} from {hub_page(hub_id)}")
    asked = (options.device, options.mixed_precision, options.tta, options.batch_size, options.temperature)
    model = load(options.model)
    columns, top_k = None, options.top_k
    if options.columns is not None:
        columns = read_columns(options.columns, model.label_names, one_label=model.task.one_label)
        columns.check(image.name for image in named)
        top_k = len(model.label_names) if columns.every_class else None
    predictor = model.predictor(len(images), *asked, reject=options.reject is None)
    if web := [image for image in images if image.startswith(("http://", "https://"))]:
        _say(f"fetching {web[0]}" + (f" and {len(web) - 1} more" if len(web) > 1 else ""))
    unreadable = 0

    def readable() -> Iterator[tuple[str, Prediction]]:
        """Yield name and prediction of the images that can be read; say of the others at once what is wrong with them."""
        nonlocal unreadable
        for image, prediction in zip(named, predictor(images, top_k), strict=True):
            if prediction.problem is None:
                yield image.name, prediction
            else:
                unreadable += 1
                _say(f"{prediction.image}: {prediction.problem}")

    # what was there stays until all of the answers are written, and where no image can be read
    with written_whole(output) if output is not None else nullcontext() as path:
        with path.open("w", encoding="utf-8") if path is not None else nullcontext(sys.stdout) as file:
            answers = readable()
            for line in columns.lines(answers) if columns else FORMATS[form](found for _, found in answers):
                file.write(f"{plain(line)}\n")  # names of classes stay as they are
        if unreadable == len(images):
            raise DataError(f"Of {counted(len(images), 'image')} none can be read: give others.")
    for line in predictor.depths.remarks(options.model):
        _say(line)
    if unreadable:
        raise SystemExit(1)


def _say(what: str) -> None:
    say(f"botzoo predict: {what}", file=sys.stderr)


def _check(options: argparse.Namespace, output: Path | None) -> str:
    """Return the format of the answers; nothing is loaded yet.

    Raises:
        ConfigError: an option cannot be used.
    """
    asked = (options.tta, options.device, options.mixed_precision)
    check_options(options.top_k, options.batch_size, options.temperature, *asked)
    if options.reject not in (None, 0):
        raise ConfigError(
            f"--reject is {options.reject:g}: it must be 0, which answers every image. The threshold itself is fitted in "
            "training, by --reject there."
        )
    if "" in (*options.images, options.model):
        raise ConfigError("An image or --model is '': give a path, an address or a name.")
    form = options.format
    if output is not None:
        check_output(output, overwrite=options.overwrite)
        named = FORMATS_BY_SUFFIX.get(output.suffix.lower())
        if None not in (named, form) and named != form:
            raise ConfigError(
                f"--output {output} ends in {output.suffix} and --format is {form}: leave --format out, or give another name."
            )
        form = form or named
    if options.columns is not None and form not in (None, "csv"):
        raise ConfigError(f"--columns are of CSV, and the format is {form}: leave one of the two out.")
    if options.columns is not None and options.top_k is not None:
        raise ConfigError("--columns and --top-k each say what a row has: leave one of the two out.")
    return form or "table"
