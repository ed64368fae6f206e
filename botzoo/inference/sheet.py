"""What ``botzoo info`` prints: a network's structure, layers, cost, weights, recipe and card, from its name or folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from botzoo import recipes
from botzoo.errors import ModelError, did_you_mean, printable
from botzoo.inference.catalogue import in_megabytes
from botzoo.inference.describe import blocks, layers, structure
from botzoo.inference.load import address_of, advice_offline, label_names
from botzoo.models.cost import count_macs, on_meta
from botzoo.models.folder import timm_architecture
from botzoo.models.foreign import meta_network, read_config, read_shapes, temperature_in
from botzoo.models.loading import model_folder
from botzoo.models.pretrained import WEIGHTS
from botzoo.util.text import HEADING, table, under

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
    subject = _in_a_folder(name, address) if ":" in address else _known_to_timm(address)
    found = layers(subject.model, subject.side)
    shown = found if every_layer else blocks(found)
    rows = ((r.name, " x ".join(map(str, r.shape)), f"{r.params:,}", f"{r.macs:,}", r.kind) for r in shown)
    params = sum(parameter.numel() for parameter in subject.model.parameters())
    macs = count_macs(subject.model, subject.side)
    rest = macs - sum(layer.macs for layer in found)
    return [
        *_what(subject),
        *_weights(subject),
        *_recipes(subject),
        *under("structure", structure(subject.model)),
        _line("cost", f"{params:,} parameters, {macs:,} multiply-accumulates of one image of {subject.side} px"),
        "",
        *table([("layer", "output", "params", "MACs", "what it is"), *rows], left=(0, 4)),
        *([f"and {rest:,} multiply-accumulates in products that are no layers of their own"] if rest > 0 else []),
    ]


def _known_to_timm(name: str) -> _Subject:
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
    with on_meta():
        model = timm.create_model(base, num_classes=cfg["num_classes"])
    full = f"{base}.{cfg['tag']}" if cfg.get("tag") else base
    return _Subject(full, model, cfg, temperature=WEIGHTS[full].temperature if full in WEIGHTS else None)


def _in_a_folder(name: str, address: str) -> _Subject:
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
    cfg = subject.cfg
    yield _line("network", subject.name)
    architecture = str(cfg.get("architecture"))
    if subject.folder is not None:
        yield _line("", f"{architecture}, in {subject.folder}")
    elif (in_timm := timm_architecture(architecture)) is not None:
        args = "".join(f", {key}={value!r}" for key, value in in_timm[1].items())
        yield _line("", f"timm.create_model({in_timm[0]!r}{args}) makes the same")
    classes = int(getattr(subject.model, "num_classes", 0))
    names = label_names(cfg, classes)
    yield _line("classes", f"{classes}: {'; '.join(names[:5])}{' ...' if classes > 5 else ''}")
    mean, std = (" ".join(f"{value:.3f}" for value in cfg.get(key) or ()) for key in ("mean", "std"))
    crop = f"crop_pct {cfg.get('crop_pct')}, {cfg.get('interpolation')}"
    yield _line("input", f"{subject.side} px, {crop}, mean {mean}, std {std}")


def _weights(subject: _Subject) -> Iterator[str]:
    """Yield where the weights, their card and their recipe are, and what is known of them."""
    weights, folder, cfg, card = WEIGHTS.get(subject.name), subject.folder, subject.cfg, "none"
    hub = f"https://huggingface.co/{cfg['hf_hub_id']}" if cfg.get("hf_hub_id") else ""
    terms = f"{cfg.get('license')}, of the weights; the data's terms come on top"
    if folder is not None:
        file = folder / "model.safetensors"
        if file.is_file():
            yield _line("weights", f"{file}, {in_megabytes(file.stat().st_size)}")
        yield _line("licence", str(cfg.get("license") or "unknown"))
        recipes = (file for file in (folder / "recipe.yaml", folder.parent / "config.yaml") if file.is_file())
        yield from (_line("recipe", str(file)) for file in itertools.islice(recipes, 1))
        card = str(folder / "README.md") if (folder / "README.md").is_file() else card
    elif weights is not None:
        yield _line("weights", "with botzoo, no network needed" if weights.path else hub)
        if weights.top1 is not None:
            yield _line("top-1", f"{weights.top1:.2f} % ({weights.top1_source})")
        yield _line("licence", terms)
        same = [name for name, other in WEIGHTS.items() if other.architecture == weights.architecture]
        others = ", ".join(name for name in same if name != weights.name)
        yield from [_line("also", others)] if others else []
        own = CARDS / f"{subject.name}.md"
        card = str(own) if own.is_file() else hub or f"cards/{weights.name}.md in botzoo's repository"
    elif any(cfg.get(key) for key in ("hf_hub_id", "file", "url")):
        yield _line("weights", f"timm's own, {hub}".rstrip(", "))
        yield _line("licence", terms if cfg.get("license") else "timm names none")
        card = f"timm's own; see its model card on the Hub: {hub}".rstrip(": ")
    else:
        yield _line("weights", f"none; train it with botzoo train --model {subject.name}")
    if subject.temperature is not None:
        yield _line("calibrated", f"botzoo predict divides the logits by the temperature {subject.temperature:g}")
    yield _line("card", card)


def _recipes(subject: _Subject) -> Iterator[str]:
    """Yield the paper's accuracy of this network with each of the recipes."""
    base = subject.name.split(".")[0]
    every = [recipes.load(name) for name in recipes.names() if subject.folder is None]
    found = {recipe.name: recipe.paper[base][0] for recipe in every if base in recipe.paper}
    if found:
        figures = ", ".join(f"{name} {top1:.2f}" for name, top1 in found.items())
        yield _line("recipes", f"{figures} (the paper's top-1 on ImageNet)")
        yield _line("", f"botzoo train --recipe {list(found)[-1]} --model {base}; botzoo recipes explains them")
