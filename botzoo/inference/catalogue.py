"""Every network of ours with what a choice depends on, read from a table so that no network has to be made.

``botzoo/models/catalogue.json`` is made by ``python -m botzoo.inference.catalogue``, from ``WEIGHTS`` and from the
networks themselves; a test holds it equal to them.
"""

import json
import re
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from botzoo.errors import ModelError
from botzoo.util.cache import cached_file
from botzoo.util.text import in_megabytes, table

FILE = Path(__file__).parents[1] / "models" / "catalogue.json"

SortKey = Literal["name", "accuracy", "params", "macs", "size"]
SORT_KEYS: tuple[str, ...] = get_args(SortKey)


@dataclass(frozen=True)
class Entry:
    """A network, and one set of its weights if there is any."""

    name: str  # with its tag where there are weights
    top1: float | None  # in per cent, None where nobody measured
    classes: int
    side: int  # of the input in pixels
    params: int
    macs: int  # multiply-accumulates of one image
    size: int  # bytes of all tensors; of the embedded weights, of the file
    license: str | None  # of the weights, None where there are none
    hub_id: str | None  # repository, None for embedded weights and for none
    embedded: bool  # whether the weights come with the package

    @property
    def here(self) -> bool:
        """Whether the weights work without a network."""
        return self.embedded or (self.hub_id is not None and cached_file(self.hub_id) is not None)


def entries() -> list[Entry]:
    """Return every network of ours, those with several sets of weights once for each."""
    return [Entry(**values) for values in json.loads(FILE.read_text(encoding="utf-8"))]


def chosen(pattern: str = "*", sort: str = "name", *, cached: bool = False) -> list[Entry]:
    """Return the entries whose name matches ``pattern``, such as ``resnet50*``, or has it as a part.

    The most accurate or the smallest come first; with ``cached`` only those whose weights are on this machine.

    Raises:
        ModelError: there is no such entry.
    """
    every = entries()
    wanted = pattern if re.search(r"[*?[]", pattern) else f"*{pattern}*"
    found = [entry for entry in every if fnmatch(entry.name, wanted)]
    if not found:
        names = {entry.name.split(".")[0] for entry in every}
        unknown = f"No network is called {pattern!r}."
        raise ModelError(unknown, value=pattern, accepted=names, cure="All of them: botzoo list.")

    def order(entry: Entry) -> tuple[Any, ...]:
        # resnet18 before resnet101
        natural = tuple((int(digits or 0), text) for digits, text in re.findall(r"(\d*)(\D+)", entry.name))
        if sort == "accuracy":
            return entry.top1 is None, -(entry.top1 or 0), natural
        return (natural,) if sort == "name" else (getattr(entry, sort), natural)

    return sorted((entry for entry in found if not cached or entry.here), key=order)


def as_table(rows: list[Entry]) -> str:
    """Return the entries as lines of text."""
    if not rows:
        return "None of them is cached."
    lines: list[tuple[str, ...]] = [("name", "top-1", "classes", "px", "params", "MACs", "size", "licence", "cached")]
    for e in rows:
        trained = e.embedded or e.hub_id is not None
        where = "with botzoo" if e.embedded else ("yes" if e.here else "no") if trained else "no weights"
        top1, size = f"{e.top1:.2f}" if e.top1 is not None else "-", in_megabytes(e.size) if trained else "-"
        costs = (f"{e.params / 1e6:.2f} M", f"{e.macs / 1e9:.2f} G", size)
        lines.append((e.name, top1, str(e.classes), str(e.side), *costs, e.license or "-", where))
    return "\n".join(table(lines, left=(0, 7, 8)))


def made() -> list[Entry]:
    """Make the entries anew: weights from their table, the figures counted on the networks themselves."""
    import timm

    from botzoo.models.cost import count_macs, on_meta
    from botzoo.models.preprocessing import Size
    from botzoo.models.pretrained import WEIGHTS

    @cache  # several weights may be of one network
    def cost(architecture: str, classes: int, side: int) -> tuple[int, int, int]:
        """Return parameters, multiply-accumulates and bytes of a network."""
        with on_meta():
            model = timm.create_model(architecture, num_classes=classes)
        tensors = model.state_dict().values()
        return (
            sum(p.numel() for p in model.parameters()),
            count_macs(model, Size(side, side)),
            sum(t.nbytes for t in tensors),
        )

    found = []
    for name, w in WEIGHTS.items():
        side = w.input_size[-1]
        params, macs, tensors = cost(w.architecture, w.num_classes, side)
        size = w.path.stat().st_size if w.path else tensors
        costs = (w.num_classes, side, params, macs, size)
        found.append(Entry(name, w.top1, *costs, w.license, w.hub_id, w.path is not None))
    trained = {weights.architecture for weights in WEIGHTS.values()}
    for name in (name for name in timm.list_models("*_bot") if name not in trained):
        side = timm.get_pretrained_cfg(name).input_size[-1]  # type: ignore[union-attr]
        found.append(Entry(name, None, 1000, side, *cost(name, 1000, side), None, None, False))
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps([asdict(entry) for entry in made()], indent=1) + "\n", encoding="utf-8")
