"""Every network of ours with what a choice depends on, read from a table so that no network has to be made.

``botzoo/models/catalogue.json`` is made by ``python -m botzoo.inference.catalogue``, from ``WEIGHTS`` and from the
networks themselves; a test holds it equal to them.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, get_args

from botzoo.errors import ModelError, did_you_mean
from botzoo.util.hub_cache import cached_file

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
    lines = [head, *(_row(entry) for entry in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    left = {0, 7, 8}
    return "\n".join(
        "  ".join(
            text.ljust(w) if i in left else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


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
    import torch

    from botzoo.models.pretrained import WEIGHTS

    trained = {weights.architecture for weights in WEIGHTS.values()}
    found = []
    for name in [*WEIGHTS, *(name for name in timm.list_models("*_bot") if name not in trained)]:
        weights = WEIGHTS.get(name)
        with torch.device("meta"):
            model = timm.create_model(name.split(".")[0], num_classes=weights.num_classes if weights else 1000)
        found.append(_entry(name, weights, model))
    return found


def _entry(name: str, weights: Any, model: Any) -> Entry:
    from botzoo.models.cost import count_macs

    side = weights.input_size[-1] if weights else model.pretrained_cfg["input_size"][-1]
    tensors = sum(tensor.nbytes for tensor in model.state_dict().values())
    return Entry(
        name=name,
        top1=weights.top1 if weights else None,
        classes=model.num_classes,
        side=side,
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs=count_macs(model, side),
        size=weights.path.stat().st_size if weights and weights.path else tensors,
        license=weights.license if weights else None,
        hub_id=weights.hub_id if weights else None,
        embedded=bool(weights and weights.path),
    )


if __name__ == "__main__":
    FILE.write_text(json.dumps([asdict(entry) for entry in made()], indent=1) + "\n", encoding="utf-8")
