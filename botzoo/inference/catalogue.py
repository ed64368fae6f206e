"""Every network of ours with what a choice depends on, read from a table so that no network has to be made.

``botzoo/models/catalogue.json`` is made by ``python -m botzoo.inference.catalogue``, from ``WEIGHTS`` and from the
networks themselves; a test holds it equal to them.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from botzoo.errors import ModelError, did_you_mean
from botzoo.util.hub_cache import cached_file
from botzoo.util.text import table

FILE = Path(__file__).parents[1] / "models" / "catalogue.json"

SortKey = Literal["name", "accuracy", "params", "macs", "size"]

SORT_KEYS: tuple[str, ...] = get_args(SortKey)


@dataclass(frozen=True)
class Entry:
    """A network, and one set of its weights if there is any.

    Attributes:
        name: with its tag where there are weights.
        top1: in per cent of images of ``classes`` classes, None where nobody measured.
        classes, side: of the weights, and of the network as it is made without any; side of the input in pixels.
        params: parameters.
        macs: multiply-accumulates of one image.
        size: bytes of all tensors; of the embedded weights, of the file.
        license: of the weights, None where there are none.
        hub_id: repository, None for embedded weights and for none.
        embedded: whether the weights come with the package.
    """

    name: str
    top1: float | None
    classes: int
    side: int
    params: int
    macs: int
    size: int
    license: str | None
    hub_id: str | None
    embedded: bool

    @property
    def here(self) -> bool:
        """Whether the weights work without a network."""
        return self.embedded or (self.hub_id is not None and cached_file(self.hub_id) is not None)


def entries() -> list[Entry]:
    """Return every network of ours, those with several sets of weights once for each."""
    return [Entry(**values) for values in json.loads(FILE.read_text(encoding="utf-8"))]


def chosen(pattern: str = "*", sort: str = "name", *, cached: bool = False) -> list[Entry]:
    """Return the entries whose name matches ``pattern``, with * and ?, or has it as a part.

    Args:
        pattern: such as ``resnet50*`` or ``gluon``.
        sort: the most accurate first; of the others the smallest.
        cached: only those whose weights are on this machine.

    Raises:
        ModelError: there is none.
    """
    every = entries()
    wanted = pattern if re.search(r"[*?[]", pattern) else f"*{pattern}*"
    found = [entry for entry in every if fnmatch(entry.name, wanted)]
    if not found:
        names = {entry.name.split(".")[0] for entry in every}
        raise ModelError(f"No network is called {pattern!r}.{did_you_mean(pattern, names)} All of them: botzoo list.")
    return sorted([entry for entry in found if not cached or entry.here], key=lambda entry: _order(entry, sort))


def _order(entry: Entry, sort: str) -> tuple[Any, ...]:
    natural = tuple((int(digits or 0), text) for digits, text in re.findall(r"(\d*)(\D+)", entry.name))
    if sort == "accuracy":
        return entry.top1 is None, -(entry.top1 or 0), natural
    return (natural,) if sort == "name" else (getattr(entry, sort), natural)


def as_table(rows: list[Entry]) -> str:
    """Return the entries as lines of text."""
    if not rows:
        return "None of them is cached."
    head = ("name", "top-1", "classes", "px", "params", "MACs", "size", "licence", "cached")
    return "\n".join(table([head, *map(_row, rows)], left=(0, 7, 8)))


def _row(entry: Entry) -> tuple[str, ...]:
    trained = entry.embedded or entry.hub_id is not None
    where = "with botzoo" if entry.embedded else ("yes" if entry.here else "no") if trained else "no weights"
    return (
        entry.name,
        f"{entry.top1:.2f}" if entry.top1 is not None else "-",
        str(entry.classes),
        str(entry.side),
        f"{entry.params / 1e6:.2f} M",
        f"{entry.macs / 1e9:.2f} G",
        in_megabytes(entry.size) if trained else "-",
        entry.license or "-",
        where,
    )


def in_megabytes(size: float) -> str:
    """Return a number of bytes as megabytes or gigabytes, of a thousand each."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def made() -> list[Entry]:
    """Make the entries anew: weights from their table, the figures counted on the networks themselves."""
    import timm

    from botzoo.models.cost import count_macs, on_meta
    from botzoo.models.pretrained import WEIGHTS

    @cache  # several weights may be of one network
    def cost(architecture: str, classes: int, side: int) -> tuple[int, int, int]:
        """Return parameters, multiply-accumulates and bytes of a network."""
        with on_meta():
            model = timm.create_model(architecture, num_classes=classes)
        tensors = model.state_dict().values()
        return sum(p.numel() for p in model.parameters()), count_macs(model, side), sum(t.nbytes for t in tensors)

    found = []
    for name, weights in WEIGHTS.items():
        side = weights.input_size[-1]
        params, macs, size = cost(weights.architecture, weights.num_classes, side)
        size = weights.path.stat().st_size if weights.path else size
        about = (weights.license, weights.hub_id, weights.path is not None)
        found.append(Entry(name, weights.top1, weights.num_classes, side, params, macs, size, *about))
    trained = {weights.architecture for weights in WEIGHTS.values()}
    for name in (name for name in timm.list_models("*_bot") if name not in trained):
        cfg: Any = timm.get_pretrained_cfg(name)
        side = cfg.input_size[-1]
        found.append(Entry(name, None, 1000, side, *cost(name, 1000, side), None, None, False))
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps([asdict(entry) for entry in made()], indent=1) + "\n", encoding="utf-8")
