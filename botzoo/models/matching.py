"""The network among the tensors of a file: under which prefix its names stand, and what else is in the file.

A wrapper puts its own name before those of the network (``module.`` of DataParallel, ``_orig_mod.`` of torch.compile,
``student.encoder.`` of somebody's own class), and a training run leaves other things beside them: a projector, averaged
weights, an optimizer's state. Only names and shapes are looked at here.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from botzoo.errors import CheckpointError, printable
from botzoo.models.layers import head_names
from botzoo.models.pretrained import KeyReport, compare_keys
from botzoo.util.private import timms_filter
from botzoo.util.text import and_list, listing

DEEPEST = 32
"""Most parts of a name, with dots between them, before that of the network's own tensor."""

_AVERAGED = re.compile(r"(^|[._])(ema|averaged?|swa)([._]|$)", re.IGNORECASE)
_CLASSIFIER = re.compile(r"(^|[._])(fc|head|heads|linear|classifier|cls|logits|output)([._]|\d|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Matched:
    """The tensors of a file that are a network's, by its own names.

    Attributes:
        tensors: by the names that are left without ``prefix``.
        report: how they meet the network.
        notes: for the reader of the plan: what was stripped and set aside, which classifier is new, what starts at random.
    """

    tensors: Mapping[str, Tensor]
    report: KeyReport
    notes: tuple[str, ...] = ()


def match(model: nn.Module, tensors: Mapping[str, Tensor], source: str, asked: str | None = None) -> Matched:
    """Find the network among ``tensors``.

    Args:
        model: one of timm's, or with ``get_classifier`` as theirs.
        tensors: any, by name.
        source: where they are from, for the reader; ``FILE.safetensors``, ``FILE.safetensors@PREFIX`` or an address.
        asked: the prefix to take, with or without the last dot; None for the one under which the network stands.

    Raises:
        CheckpointError: less than half of the network's tensors besides the classifier are there, so the file was made for
            another one; or they are there more than once.
    """
    fits = _prefixes(model, tensors)
    body = set(model.state_dict()) - set(head_names(model))
    whole = [prefix for prefix, count in fits.items() if 2 * count >= len(body)]
    if asked is not None:
        prefix = asked if asked in ("", *whole) else f"{asked.rstrip('.')}."
        if prefix not in whole:
            raise _elsewhere(source, prefix, whole)
    elif not whole:
        return _by_timms_names(model, tensors, source, body, max(fits, key=lambda p: fits[p], default=""))
    else:
        prefix = _one_of(whole, source)
    return _matched(model, tensors, prefix, source)


def _prefixes(model: nn.Module, tensors: Mapping[str, Tensor]) -> Counter[str]:
    """Return what stands before names of the network's body in the file, and before how many of the same shape."""
    head = set(head_names(model))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in head}
    found: Counter[str] = Counter()
    for name, value in tensors.items():
        parts = name.split(".", DEEPEST)
        for k in range(len(parts)):
            own = ".".join(parts[k:])
            if shapes.get(own) == tuple(value.shape):
                found[name[: len(name) - len(own)]] += 1
    return found


def _one_of(prefixes: list[str], source: str) -> str:
    """Return the one prefix of those under which the network stands; averaged weights beside others are set aside."""
    if "" in prefixes or len(prefixes) == 1:
        return "" if "" in prefixes else prefixes[0]
    plain = [prefix for prefix in prefixes if not _AVERAGED.search(prefix)]
    if len(plain) == 1:
        return plain[0]
    file = source if source.endswith(".safetensors") else "FILE.safetensors"
    ways = [f"--pretrained {shlex.quote(f'{file}@{printable(prefix, 80)}')}" for prefix in (plain or prefixes)[:4]]
    raise CheckpointError(
        f"{source} holds this network {len(prefixes)} times, under {listing(prefixes)}: give {' or '.join(ways)}",
        value=source,
        accepted=prefixes,
    )


def _elsewhere(source: str, prefix: str, whole: list[str]) -> CheckpointError:
    """Return the error for a prefix under which the network does not stand."""
    there = f"it stands under {listing(whole)}" if whole else "nor under another prefix"
    there = "its names have no prefix: leave out what is behind the @" if whole == [""] else there
    return CheckpointError(
        f"{source}: there is no such network under {prefix!r}; {there}.", value=prefix, accepted=whole
    )


def _by_timms_names(
    model: nn.Module, tensors: Mapping[str, Tensor], source: str, body: set[str], nearest: str
) -> Matched:
    """Return the network from other people's names for its tensors, which timm translates; raises as ``match``."""
    common = _common_prefix(tensors)
    for prefix in dict.fromkeys(["", common]):
        translated = timms_filter(model, _under(tensors, prefix))
        if translated and 2 * len(body & set(compare_keys(model, translated).loaded)) >= len(body):
            matched = _matched(model, translated, "", source)
            note = f"names of another layout: translated as timm does for {type(model).__name__}"
            stripped = [_stripped(prefix)] if prefix else []
            return Matched(matched.tensors, matched.report, (*stripped, note, *matched.notes))
    fits = len(body & set(compare_keys(model, _under(tensors, nearest)).loaded))
    first, own = printable(next(iter(tensors), "nothing"), 80), next(iter(model.state_dict()))
    why = f"{fits} of {len(body)} tensors fit (it starts with {first!r}, this model with {own!r})"
    raise CheckpointError(f"{source} was made for another network: {why}. Give the --model that it was made for.")


def _matched(model: nn.Module, tensors: Mapping[str, Tensor], prefix: str, source: str) -> Matched:
    own = _under(tensors, prefix)
    report, head = compare_keys(model, own), set(head_names(model))
    damaged = [name for name in (*report.missing, *report.mismatched) if name not in head]
    if damaged and (translated := timms_filter(model, own)) is not None:  # such as positions for another size
        better = compare_keys(model, translated)
        if len(better.loaded) > len(report.loaded):
            own, report = translated, better
            damaged = [name for name in (*report.missing, *report.mismatched) if name not in head]
    aside = [name for name in tensors if not name.startswith(prefix)]
    notes = [_stripped(prefix)] if prefix else []
    notes += [_set_aside(aside, prefix)] if aside else []
    notes += _classifier_notes(model, own, report, {name: tensors[name] for name in aside})
    if damaged:
        first, there = damaged[0], own.get(damaged[0])
        shapes = f", {_shape(there)} there and {_shape(model.state_dict()[first])} here" if there is not None else ""
        are = "1 tensor does" if len(damaged) == 1 else f"{len(damaged)} tensors do"
        notes.append(f"warning: {are} not come from {source} and start at random: {listing(damaged, 3)}{shapes}")
    return Matched(own, report, tuple(notes))


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix``, without it."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _common_prefix(names: Iterable[str]) -> str:
    """Return the parts of a name that all names begin with, each with its dot."""
    split = [name.split(".", DEEPEST)[:-1] for name in names]
    shared = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(f"{parts[0]}.")
    return "".join(shared)


def _stripped(prefix: str) -> str:
    return f"names in the file begin with {printable(prefix, 80)!r}, which is stripped"


def _set_aside(names: list[str], prefix: str) -> str:
    """Return how many tensors beside the network there are, by the first part of their names that is not its own."""
    groups = Counter(map(partial(_apart, prefix), names))
    shown = [
        f"{count} {'under' if group[-1:] == '.' else 'named'} {printable(group, 40)!r}"
        for group, count in groups.items()
    ]
    more = [f"{sum([*groups.values()][4:])} others"] if len(shown) > 4 else []
    return f"tensors beside the network are not used: {and_list(shown[:4] + more) if len(shown) > 1 else shown[0]}"


def _apart(prefix: str, name: str) -> str:
    """Return the beginning of a name as far as the first part that is not that of ``prefix``."""
    shared = _common_prefix([name, prefix])
    part, dot, _ = name[len(shared) :].partition(".")
    return f"{shared}{part}{dot}"


def _classifier_notes(
    model: nn.Module, own: Mapping[str, Tensor], report: KeyReport, aside: Mapping[str, Tensor]
) -> list[str]:
    """Return what became of the file's classifier, where it has another size or name than the network's."""
    head = [name for name in head_names(model) if name.endswith("weight")]
    replaced = [name for name in head if name in report.mismatched]
    if replaced:
        old, classes = replaced[0], len(own[replaced[0]])
    else:
        width = getattr(model, "num_features", None)
        others = {name: own[name] for name in report.unexpected} | dict(aside)
        found = {n.removesuffix(".weight"): len(v) for n, v in others.items() if _is_classifier(n, v, width)}
        if not found or not set(head) & set(report.missing):
            return []
        old, classes = next(iter(found.items()))
    outputs = getattr(model, "num_classes", None)
    named = printable(old.removesuffix(".weight"), 60)
    return [f"classifier: that of the file ({named!r}, {classes:,} outputs) is replaced by a new one of {outputs}"]


def _is_classifier(name: str, value: Tensor, width: Any) -> bool:
    stem = name.removesuffix(".weight")
    return name.endswith(".weight") and value.ndim == 2 and value.shape[1] == width and bool(_CLASSIFIER.search(stem))


def _shape(value: Tensor) -> str:
    return f"({', '.join(map(str, value.shape))})"
