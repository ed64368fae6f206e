"""botzoo predict: what a trained network sees in images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from botzoo.commands import CommandParser, check_folder, check_output
from botzoo.errors import ConfigError, DataError
from botzoo.inference.options import DEVICES, PRECISIONS, TTA, check_options
from botzoo.util.environment import user_path
from botzoo.util.files import written_whole
from botzoo.util.outgoing import plain, say
from botzoo.util.text import counted

if TYPE_CHECKING:  # what is heavy is imported when the options are read
    from botzoo.inference.dense.files import Marks
    from botzoo.inference.images import Named
    from botzoo.inference.predict import Model

DESCRIPTION = (
    "Say what a trained network sees in images: the likeliest classes and their probabilities, boxes around objects, or the "
    "class of each pixel."
)

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
        help="How many classes to name (default: 5; of images with several labels, all over 50 %%), or boxes to give.",
    )
    formats = "json: one object a line. By default what --output ends in, else table."
    add("--format", choices=("table", "json", "csv"), help=formats)
    add("--csv", dest="format", action="store_const", const="csv", help="The same as --format csv.")
    own = (
        "CSV with one row an image and these columns, as competitions want it: file, id (without folder and suffix), label, "
        "probability, a class, or classes for all of them. Id=id is id under the heading Id."
    )
    add("--columns", metavar="NAME,...", help=own)
    written = (
        "Write to this file instead of the terminal. Of boxes and masks, where it does not end in .csv or .json: a folder "
        "for pictures with them on, NAME.jpg, and masks, NAME.png, whose values are the numbers of the classes."
    )
    add("--output", help=written)
    add("--coco", metavar="FILE", help="Write all boxes, whatever their score, as JSON in COCO's form.")
    add("--least-score", type=float, metavar="S", help="Leave boxes with a lower score out (default: 0.5).")
    add("--overwrite", action="store_true", help="Replace the files of --output and --coco if they are there.")
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
    output = user_path(options.output) if options.output else None
    form = _check(options, output)

    from botzoo.inference.columns import read_columns
    from botzoo.inference.images import find_named
    from botzoo.inference.load import load, to_fetch
    from botzoo.inference.output import FORMATS
    from botzoo.inference.prediction import Prediction
    from botzoo.training.autotune.memory import keep_freed_memory
    from botzoo.training.distributed import choose_device
    from botzoo.util.hub import hub_page

    named = find_named(options.images, _say)
    images = [image.place for image in named]
    for flag, file in (("--output", output), ("--coco", options.coco)):
        if file is not None and user_path(file).resolve() in {Path(image).resolve() for image in images}:
            raise ConfigError(f"{flag} {file} is one of the images, which would be lost: give another name.")
    if choose_device(options.device, "--device").type == "cpu":  # before the weights are fetched
        keep_freed_memory()
    if (hub_id := to_fetch(options.model)) is not None:
        _say(f"fetching the weights of {options.model} from {hub_page(hub_id)}")
    asked = (options.device, options.mixed_precision, options.tta, options.batch_size, options.temperature)
    model = load(options.model)
    found = _marks(options, output, form, model, named)
    columns, top_k = None, options.top_k
    if options.columns is not None:
        columns = read_columns(options.columns, model.label_names, one_label=model.task.one_label)
        columns.check(image.name for image in named)
        top_k = len(model.label_names) if columns.every_class else None
    least = 0.0 if options.coco is not None else options.least_score
    predictor = model.predictor(len(images), *asked, reject=options.reject is None, least_score=least)
    if web := [image for image in images if image.startswith(("http://", "https://"))]:
        _say(f"fetching {web[0]}" + (f" and {len(web) - 1} more" if len(web) > 1 else ""))
    unreadable = 0

    def readable() -> Iterator[tuple[str, Prediction]]:
        """Yield name and prediction of the images that can be read; say of the others at once what is wrong with them."""
        nonlocal unreadable
        for place, (image, prediction) in enumerate(zip(named, predictor(images, top_k), strict=True)):
            if prediction.problem is None:
                yield image.name, found.taken(place, prediction) if found is not None else prediction
            else:
                unreadable += 1
                _say(f"{prediction.image}: {prediction.problem}")

    file = output if found is None or found.folder is None else None
    lines = FORMATS[model.task.gives][form or ("table" if file is output else "short")]
    # what was there stays until all of the answers are written, and where no image can be read
    with written_whole(file) if file is not None else nullcontext() as path:
        with path.open("w", encoding="utf-8") if path is not None else nullcontext(sys.stdout) as opened:
            answers = readable()
            for line in columns.lines(answers) if columns else lines(each for _, each in answers):
                opened.write(f"{plain(line)}\n")  # names of classes stay as they are
        if unreadable == len(images):
            raise DataError(f"Of {counted(len(images), 'image')} none can be read: give others.")
    if found is not None:
        for line in found.close():
            _say(line)
    for line in predictor.depths.remarks(options.model):
        _say(line)
    if unreadable:
        raise SystemExit(1)


def _marks(
    options: argparse.Namespace, output: Path | None, form: str | None, model: Model, named: Sequence[Named]
) -> Marks | None:
    """Return what keeps boxes or masks as files; None of a network that gives neither.

    Raises:
        ConfigError: a file or folder cannot be written, or an option is for networks of another task.
    """
    from botzoo.inference.dense.files import Marks

    gives = model.task.gives
    if options.coco is not None and gives != "boxes":
        raise ConfigError(f"--coco is for networks that give boxes, and {options.model} gives {gives}: leave it out.")
    if options.columns is not None and gives != "classes":
        raise ConfigError(
            f"--columns is for networks that give classes, and {options.model} gives {gives}: leave it out."
        )
    folder = output if gives != "classes" and form is None else None
    if output is not None and folder is None:
        check_output(output, overwrite=options.overwrite)
    if folder is not None:
        check_folder(folder, overwrite=options.overwrite)
        images = [image.place for image in named if "://" not in image.place]
        if beside := [image for image in images if folder.resolve() in Path(image).resolve().parents]:
            raise ConfigError(f"--output {folder} holds the image {beside[0]}: give a folder that holds none of them.")
    if gives == "classes":
        return None
    coco = user_path(options.coco) if options.coco is not None else None
    return Marks(model, named, folder=folder, coco=coco, least_score=options.least_score)


def _say(what: str) -> None:
    say(f"botzoo predict: {what}", file=sys.stderr)


def _check(options: argparse.Namespace, output: Path | None) -> str | None:
    """Return the format of the answers, None where nothing says it; nothing is loaded yet.

    Raises:
        ConfigError: an option cannot be used.
    """
    asked = (options.tta, options.device, options.mixed_precision)
    check_options(options.top_k, options.batch_size, options.temperature, *asked, options.least_score)
    if options.reject not in (None, 0):
        raise ConfigError(
            f"--reject is {options.reject:g}: it must be 0, which answers every image. The threshold itself is fitted in "
            "training, by --reject there."
        )
    if "" in (*options.images, options.model, options.coco):
        raise ConfigError("An image, --model or --coco is '': give a path, an address or a name.")
    if options.coco is not None:
        check_output(user_path(options.coco), overwrite=options.overwrite, flag="--coco")
        if output is not None and output.resolve() == user_path(options.coco).resolve():
            raise ConfigError(f"--output and --coco are both {output}: give one of them another name.")
    form: str | None = options.format or ("csv" if options.columns is not None else None)
    if output is not None:
        if not output.is_dir():  # into which pictures of some networks go
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
    return form
