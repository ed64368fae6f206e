"""botzoo predict: what a trained network sees in images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from botzoo.commands.parsing import CommandParser
from botzoo.errors import ConfigError, DataError

if TYPE_CHECKING:
    from botzoo.inference.predict import Prediction, Predictor

DESCRIPTION = "Say what a trained network sees in images: the likeliest classes and their probabilities."

EMBEDDED_MODEL = "resnet10d_bot"
"""Its weights come with the package."""

TEMPERATURES = (0.01, 100.0)
"""As in ``botzoo.models.foreign``, which takes torch to import."""

FORMATS_BY_SUFFIX = {".json": "json", ".jsonl": "json", ".csv": "csv"}


def run(argv: list[str]) -> None:
    """Predict; exit with status 1 where some images cannot be read, and raise DataError where none can."""
    options = _parser().parse(argv, intermixed=True)
    _check(options)
    options.format = _format(options)

    from botzoo.inference.images import find_images

    images = find_images(options.images)
    _check_output_is_no_image(options.output, images)
    predictor = _predictor(options, len(images))
    _announce_images(images)
    unreadable = _Unreadable()
    with _output(options) as file:
        _write(predictor, images, options, unreadable, file)
        if unreadable.count == len(images):
            raise DataError(f"Of {len(images)} image(s) none can be read: give others.")
    if unreadable.count:
        raise SystemExit(1)


def _parser() -> CommandParser:
    parser = CommandParser("botzoo predict", DESCRIPTION)
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="Image files, folders of them, or http(s) addresses.")
    add(
        "--model",
        default=EMBEDDED_MODEL,
        help="Name or name.tag, hf-hub:owner/name, local-dir:PATH or the folder of a run (default: %(default)s).",
    )
    add(
        "--top-k",
        type=int,
        help="How many classes to name (default: 5; all over 50 %% of a network that gives an image any number of labels).",
    )
    add(
        "--format",
        choices=("table", "json", "csv"),
        help="json: one object a line. By default what --output ends in, else table.",
    )
    add("--output", help="Write to this file instead of the terminal.")
    add("--overwrite", action="store_true", help="Replace the file of --output if it is there.")
    add("--tta", choices=("none", "flip", "five-crop", "ten-crop"), default="none", help="Average over several views.")
    add(
        "--temperature",
        type=float,
        metavar="T",
        help="Divide the logits by it, which leaves the order of the classes as it is; 1 for none. By default what was fitted "
        "after the training so that probabilities are as sure as they are right, where the model's config.json has it.",
    )
    add("--batch-size", type=int, help="Images at once; by default as many as suit their size.")
    add(
        "--mixed-precision",
        choices=("auto", "bf16", "fp16", "fp32"),
        default="auto",
        help="Arithmetic (default: auto).",
    )
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="Where to compute (default: auto).")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Raise ConfigError for what can be seen to be wrong before anything is loaded."""
    for name in ("top_k", "batch_size"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}: it must be 1 or more.")
    low, high = TEMPERATURES
    if options.temperature is not None and not low <= options.temperature <= high:
        raise ConfigError(f"--temperature is {options.temperature:g}: it must be a number from {low:g} to {high:g}.")
    if "" in (*options.images, options.model):
        raise ConfigError("An image or --model is '': give a path, an address or a name.")
    path = Path(options.output).expanduser() if options.output else None
    replaceable = path is not None and path.is_file() and not path.is_symlink()  # no device, whatever it leads to
    if path is not None and (path.exists() or path.is_symlink()) and not (options.overwrite and replaceable):
        raise ConfigError(f"--output {options.output} is there already: give another name, or --overwrite for a file.")
    if path is not None and not path.parent.is_dir():
        raise ConfigError(f"--output {options.output}: there is no folder {path.parent}; make it first.")


def _format(options: argparse.Namespace) -> str:
    """Return the format: the one given, else the one that the file's name ends in.

    Raises:
        ConfigError: the two are not one.
    """
    suffix = Path(options.output or "").suffix.lower()
    named = FORMATS_BY_SUFFIX.get(suffix)
    if None not in (named, options.format) and named != options.format:
        raise ConfigError(
            f"--output {options.output} ends in {suffix} and --format is {options.format}: leave --format out, or give a name "
            "that ends in another way."
        )
    return options.format or named or "table"


def _check_output_is_no_image(output: str | None, images: list[str]) -> None:
    """Raise ConfigError where the answers would take the place of an image."""
    path = Path(output).expanduser().resolve() if output else None
    if path is not None and path in {Path(image).resolve() for image in images}:
        raise ConfigError(f"--output {output} is one of the images, which would be lost: give another name.")


def _announce(what: str) -> None:
    """Say on standard error what is fetched, which may take its time."""
    from botzoo.errors import printable

    print(f"botzoo predict: fetching {printable(what, 1000)}", file=sys.stderr, flush=True)


def _announce_images(images: list[str]) -> None:
    web = [image for image in images if image.startswith(("http://", "https://"))]
    if web:
        _announce(web[0] + (f" and {len(web) - 1} more" if len(web) > 1 else ""))


def _predictor(options: argparse.Namespace, images: int) -> Predictor:
    from botzoo.inference.classifier import open_classifier, to_fetch
    from botzoo.inference.predict import Predictor
    from botzoo.training.autotune.memory import keep_freed_memory
    from botzoo.training.distributed import choose_device

    device = choose_device(options.device, "--device")
    if device.type == "cpu":
        keep_freed_memory()
    if (hub_id := to_fetch(options.model)) is not None:
        _announce(f"the weights of {options.model} from https://huggingface.co/{hub_id}")
    return Predictor(
        open_classifier(options.model),
        device,
        requested=options.mixed_precision,
        tta=options.tta,
        batch_size=options.batch_size,
        expected=images,
        temperature=options.temperature,
    )


class _Unreadable:
    """Says which images cannot be read, at once and on standard error, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def without(self, predictions: Iterator[Prediction]) -> Iterator[Prediction]:
        """Yield the predictions of the images that can be read."""
        from botzoo.errors import printable

        for prediction in predictions:
            if prediction.problem is None:
                yield prediction
                continue
            self.count += 1
            problem = printable(prediction.problem)
            print(f"botzoo predict: {printable(prediction.image, 1000)}: {problem}", file=sys.stderr)


def _write(
    predictor: Predictor, images: list[str], options: argparse.Namespace, unreadable: _Unreadable, file: TextIO
) -> None:
    from botzoo.inference.output import FORMATS

    predictions = unreadable.without(predictor(images, options.top_k))
    for line in FORMATS[options.format](predictions, predictor.classifier.label_names):
        print(line, file=file)


@contextmanager
def _output(options: argparse.Namespace) -> Iterator[TextIO]:
    """Give standard output, or a file that takes its name once it is complete."""
    if options.output is None:
        yield sys.stdout
        return
    path = Path(options.output).expanduser()
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
