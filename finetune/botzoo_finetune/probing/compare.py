"""Which weights to start from: several networks probed on the same images, and ranked."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import PartialState

from botzoo.errors import BotzooError, ConfigError
from botzoo.models.cost import count_macs, count_parameters
from botzoo.models.preprocessing import Side, Size
from botzoo.training.distributed import from_main
from botzoo.training.state import Own
from botzoo.util.text import counted, table, under
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.probing.first_look import keep_json, new_folder, reported, set_up_look
from botzoo_finetune.transfer.features import Extractor

log = logging.getLogger("botzoo")


@dataclass(frozen=True)
class Row:
    """What the probe of one network came to.

    Attributes:
        model: as it was named.
        top1: accuracy of the linear classifier on the validation split, in per cent.
        interval: its 95 % interval.
        images: in that split.
        seconds: until it was known; few where the features were kept from before.
        images_per_second: that the network without its classifier takes here, one process, in evaluation mode.
        parameters: of the whole network, with a classifier for these classes.
        macs: multiply-adds for one image.
        size: side of its input in pixels, or height and width.
    """

    model: str
    top1: float
    interval: tuple[float, float]
    images: int
    seconds: float
    images_per_second: float
    parameters: int
    macs: int
    size: Side


def compare(config: FinetuneConfig, models: str, own: Own | None = None) -> list[Row]:
    """Probe each of ``models``, with commas between them, say which is best on these images, and return them by rank.

    A model is what --model takes, or MODEL=WEIGHTS with weights that --pretrained takes. With --output the ranking is written
    as compare.json too.

    Raises:
        ConfigError: there are fewer than two, or one is named twice.
        BotzooError: one of them cannot be probed; its name is in front.
    """
    names = [name.strip() for name in models.split(",")]
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise ConfigError(f"--compare is {models!r}: it must be two or more different models with commas between them.")
    if config.pretrained is not None:
        both = f"--pretrained {config.pretrained} does not say for which model: with --compare write"
        raise ConfigError(f"{both} MODEL={config.pretrained} among those that are compared.")
    folder = new_folder(config, "--compare")
    rows = []
    for name in names:
        try:
            rows.append(replace(row_of(with_weights(config, name), own), model=name))
        except BotzooError as error:
            raise ConfigError(f"--compare {name}: {error}") from error
        log.info("%-10s %s: %.2f %%, after %.1f s", "probed", name, rows[-1].top1, rows[-1].seconds)
    rows.sort(key=lambda row: -row.top1)  # of equals, the one that was named first stays first
    for line in ranking(rows):
        log.info("%s", line)
    if folder is not None and PartialState().is_main_process:
        ranked = [vars(row) for row in rows]
        keep_json(folder / "compare.json", {"dataset": config.dataset, "split": "validation", "ranking": ranked})
    return rows


def with_weights(config: FinetuneConfig, name: str) -> FinetuneConfig:
    """Return the options with a model, or with the name of one and the weights of MODEL=WEIGHTS."""
    model, equals, weights = name.partition("=")
    apart = equals and ":" not in model and not Path(name).exists()  # else it is a folder with such a name
    return replace(config, model=model, pretrained=weights) if apart else replace(config, model=name)


def row_of(config: FinetuneConfig, own: Own | None = None) -> Row:
    """Probe one network, and measure what it costs."""
    run = set_up_look(config, own=own)
    look = reported(run)
    seen, size = look.probe.evaluation, run.preprocessing.shape
    return Row(
        config.model,
        top1=seen.top1,
        interval=seen.interval(),
        images=len(seen),
        seconds=look.seconds,
        images_per_second=from_main(run.accelerator, lambda: Extractor(run).images_per_second()),
        parameters=count_parameters(run.model)[0],
        macs=count_macs(run.model, size, run.preprocessing.channels),
        size=size.side,
    )


def ranking(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table of networks, which are given the best first, and which one to take."""
    head = ("model", "top-1", "95 % interval", "seconds", "images/s", "parameters", "MACs", "input")
    cells = []
    for row in rows:
        figures = row.model, f"{row.top1:.2f} %", "{:.2f} to {:.2f}".format(*row.interval), f"{row.seconds:.1f}"
        size = f"{row.parameters / 1e6:.1f} M", f"{row.macs / 1e9:.2f} G", Size.of(row.size).px
        cells.append((*figures, f"{row.images_per_second:.0f}", *size))
    yield from under("ranking", table([head, *cells]))
    best, others = rows[0], [row.model for row in rows[1:] if row.interval[1] >= rows[0].top1]
    close = f"; {', '.join(others)} may be as good" if others else ""
    take = with_weights(FinetuneConfig(), best.model)
    words = f"--model {take.model}" + (f" --pretrained {take.pretrained}" if take.pretrained else "")
    yield from under("best", [f"{words}, by a linear classifier on {counted(best.images, 'validation image')}{close}"])
