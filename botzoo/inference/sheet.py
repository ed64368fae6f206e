"""What ``botzoo info`` prints: a network's structure, layers, cost, weights, recipe and card, from its name or folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from botzoo import recipes
from botzoo.errors import ModelError, did_you_mean, printable
from botzoo.inference.catalogue import in_megabytes
from botzoo.inference.describe import blocks, layers, structure
from botzoo.inference.load import address_of, advice_offline, label_names
from botzoo.models.architecture import timm_architecture
from botzoo.models.cost import count_macs
from botzoo.models.foreign import meta_network, read_config, read_shapes, temperature_in
from botzoo.models.loading import model_folder
from botzoo.models.pretrained import WEIGHTS, Weights
from botzoo.util.text import HEADING, table

CARDS = Path(__file__).parents[2] / "cards"
"""Where the cards are in a checkout; an installed package has none."""


@dataclass(frozen=True)
class _Subject:
    """A network on the meta device, and where it was found."""

    name: str
    model: nn.Module
    cfg: dict[str, Any]
    folder: Path | None = None
    temperature: float | None = None

    @property
    def side(self) -> int:
        return int(self.cfg.get("input_size", (3, 224, 224))[-1])


def sheet(name: str, *, every_layer: bool = False) -> list[str]:
    """Return the lines that describe a network.

    Args:
        name: a name or name.tag of timm or botzoo, ``hf-hub:owner/name``, ``local-dir:PATH``, or the folder of a run.
        every_layer: list every layer instead of the blocks that they make up.

    Raises:
        ModelError: there is no such network.
        CheckpointError: a folder or repository does not describe one.
        NetworkError: a repository is not cached and the Hub cannot be reached.
    """
    address = address_of(name)
    subject = _foreign(name, address) if ":" in address else _known(address)
    parts = (_what(subject), _weights(subject), _paper(subject), _structure(subject), _cost(subject, every_layer))
    return [line for part in parts for line in part]


def _known(name: str) -> _Subject:
    base, _, tag = name.partition(".")
    if not timm.is_model(name):
        raise ModelError(f"There is no network {name!r}.{did_you_mean(base, timm.list_models())} Ours: botzoo list.")
    tags = [tagged.split(".", 1)[1] for tagged in timm.list_models(f"{base}.*", pretrained=True)]
    if tag and tag not in tags:
        raise ModelError(
            f"{base} has no weights with the tag {tag!r}.{did_you_mean(tag, tags)} Its tags: {', '.join(tags) or 'none'}."
        )
    known = timm.get_pretrained_cfg(name)
    cfg = known.to_dict() if known is not None else {"num_classes": 1000}
    with torch.device("meta"):
        model = timm.create_model(base, num_classes=cfg["num_classes"])
    full = f"{base}.{cfg['tag']}" if cfg.get("tag") else base
    return _Subject(full, model, cfg, temperature=WEIGHTS[full].temperature if full in WEIGHTS else None)


def _foreign(name: str, address: str) -> _Subject:
    with advice_offline(name):
        folder = model_folder(address, weights=False, extras=("README.md", "recipe.yaml"))
    config, file = read_config(folder / "config.json"), folder / "model.safetensors"
    model = meta_network(config, read_shapes(file) if file.is_file() else None, str(folder))
    cfg = dict(config.get("pretrained_cfg") or config) | {
        key: config[key] for key in ("num_classes", "label_names", "architecture") if key in config
    }
    return _Subject(name, model, cfg, folder, temperature_in(config))


def _line(title: str, text: str) -> str:
    return f"{title:{HEADING}} {printable(text, 2000)}"


def _what(subject: _Subject) -> Iterator[str]:
    yield _line("network", subject.name)
    architecture = str(subject.cfg.get("architecture"))
    if subject.folder is not None:
        yield _line("", f"{architecture}, in {subject.folder}")
    elif (in_timm := timm_architecture(architecture)) is not None:
        args = "".join(f", {key}={value!r}" for key, value in in_timm[1].items())
        yield _line("", f"timm.create_model({in_timm[0]!r}{args}) makes the same")
    classes = int(getattr(subject.model, "num_classes", 0))
    names = label_names(subject.cfg, classes)
    yield _line("classes", f"{classes}: {'; '.join(names[:5])}{' ...' if classes > 5 else ''}")
    cfg = subject.cfg
    colours = f"mean {_numbers(cfg.get('mean'))}, std {_numbers(cfg.get('std'))}"
    yield _line("input", f"{subject.side} px, crop_pct {cfg.get('crop_pct')}, {cfg.get('interpolation')}, {colours}")


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.3f}" for value in values or ())


def _weights(subject: _Subject) -> Iterator[str]:
    weights = WEIGHTS.get(subject.name)
    if subject.folder is not None:
        file = subject.folder / "model.safetensors"
        if file.is_file():
            yield _line("weights", f"{file}, {in_megabytes(file.stat().st_size)}")
        yield _line("licence", str(subject.cfg.get("license") or "unknown"))
        recipe = next(
            (f for f in (subject.folder / "recipe.yaml", subject.folder.parent / "config.yaml") if f.is_file()), None
        )
        yield from [_line("recipe", str(recipe))] if recipe else []
        card = subject.folder / "README.md"
    else:
        yield from (
            _listed(weights) if weights else _timms(subject.cfg) if _trained(subject.cfg) else _untrained(subject)
        )
        card = CARDS / f"{subject.name}.md"
    if subject.temperature is not None:
        yield _line("calibrated", f"botzoo predict divides the logits by the temperature {subject.temperature:g}")
    yield _line("card", str(card) if card.is_file() else _card_elsewhere(subject))


def _listed(weights: Weights) -> Iterator[str]:
    place = "with botzoo, no network needed" if weights.path else f"https://huggingface.co/{weights.hub_id}"
    yield _line("weights", place)
    if weights.top1 is not None:
        yield _line("top-1", f"{weights.top1:.2f} % ({weights.top1_source})")
    yield _line("licence", f"{weights.license}, of the weights; the data's terms come on top")
    others = [
        name for name, other in WEIGHTS.items() if other.architecture == weights.architecture and other != weights
    ]
    yield from [_line("also", ", ".join(others))] if others else []


def _trained(cfg: dict[str, Any]) -> bool:
    return any(cfg.get(key) for key in ("hf_hub_id", "file", "url"))


def _timms(cfg: dict[str, Any]) -> Iterator[str]:
    """Yield what timm says of weights of its own."""
    hub_id = cfg.get("hf_hub_id")
    yield _line("weights", f"timm's own, https://huggingface.co/{hub_id}" if hub_id else "timm's own")
    license = cfg.get("license")
    yield _line("licence", f"{license}, of the weights; the data's terms come on top" if license else "timm names none")


def _untrained(subject: _Subject) -> Iterator[str]:
    yield _line("weights", f"none; train it with botzoo train --model {subject.name}")


def _card_elsewhere(subject: _Subject) -> str:
    """Return where to look for a card that is not on this machine."""
    weights, hub_id = WEIGHTS.get(subject.name), subject.cfg.get("hf_hub_id")
    if subject.folder is not None or not (weights or _trained(subject.cfg)):
        return "none"
    if weights is not None and weights.hub_id is None:
        return f"cards/{weights.name}.md in botzoo's repository"
    whose = "" if weights else "timm's own; see its model card on the Hub"
    return ": ".join(filter(None, [whose, f"https://huggingface.co/{hub_id}" if hub_id else ""])) or "none"


def _paper(subject: _Subject) -> Iterator[str]:
    """Yield the paper's accuracy of this network with each of the recipes."""
    if subject.folder is not None:
        return
    base = subject.name.split(".")[0]
    found = [(name, recipes.load(name).paper[base][0]) for name in recipes.names() if base in recipes.load(name).paper]
    if found:
        yield _line(
            "recipes", ", ".join(f"{name} {top1:.2f}" for name, top1 in found) + " (the paper's top-1 on ImageNet)"
        )
        yield _line("", f"botzoo train --recipe {found[-1][0]} --model {base}; botzoo recipes explains them")


def _structure(subject: _Subject) -> Iterator[str]:
    for i, line in enumerate(structure(subject.model)):
        yield _line("" if i else "structure", line)


def _cost(subject: _Subject, every_layer: bool) -> Iterator[str]:
    found = layers(subject.model, subject.side)
    params = sum(parameter.numel() for parameter in subject.model.parameters())
    macs = count_macs(subject.model, subject.side)
    yield _line("cost", f"{params:,} parameters, {macs:,} multiply-accumulates of one image of {subject.side} px")
    yield ""
    shown = found if every_layer else blocks(found)
    rows = ((r.name, " x ".join(map(str, r.shape)), f"{r.params:,}", f"{r.macs:,}", r.kind) for r in shown)
    yield from table([("layer", "output", "params", "MACs", "what it is"), *rows], left=(0, 4))
    if (rest := macs - sum(layer.macs for layer in found)) > 0:
        yield f"and {rest:,} multiply-accumulates in products that are no layers of their own"
