"""What ``botzoo info`` prints: a network's structure, layers, cost, weights, recipe and card, from its name or folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import timm

from botzoo import recipes
from botzoo.errors import printable
from botzoo.inference.catalogue import in_megabytes
from botzoo.inference.describe import blocks, layers, structure
from botzoo.inference.load import address_of, advice_offline, label_names
from botzoo.models.cost import count_macs, on_meta
from botzoo.models.create import check_name
from botzoo.models.folder import timm_architecture
from botzoo.models.foreign import meta_network, read_config, read_shapes, temperature_in
from botzoo.models.loading import model_folder
from botzoo.models.pretrained import CARDS, WEIGHTS
from botzoo.util.text import HEADING, table, under


def sheet(name: str, *, every_layer: bool = False) -> list[str]:
    """Return the lines that describe a network, with every layer or with the blocks that they make up.

    Args:
        name: a name or name.tag of timm or botzoo, ``hf-hub:owner/name``, ``local-dir:PATH``, or the folder of a run.

    Raises:
        ModelError, CheckpointError: there is no such network, or a folder or repository does not describe one.
        NetworkError: a repository is not cached and the Hub cannot be reached.
    """
    address, folder, temperature = address_of(name), None, None
    if ":" in address:
        with advice_offline(name):
            folder = model_folder(address, weights=False, extras=("README.md", "recipe.yaml"))
        config, file = read_config(folder / "config.json"), folder / "model.safetensors"
        model = meta_network(config, read_shapes(file) if file.is_file() else None, str(folder))
        cfg = dict(config.get("pretrained_cfg") or config)
        cfg |= {key: config[key] for key in ("num_classes", "label_names", "architecture") if key in config}
        temperature = temperature_in(config)
    else:
        check_name(address)
        known = timm.get_pretrained_cfg(address)
        cfg = known.to_dict() if known is not None else {"num_classes": 1000}
        base = address.partition(".")[0]
        name = f"{base}.{cfg['tag']}" if cfg.get("tag") else base
        with on_meta():
            model = timm.create_model(base, num_classes=cfg["num_classes"])
        temperature = WEIGHTS[name].temperature if name in WEIGHTS else None
    side = int(cfg.get("input_size", (3, 224, 224))[-1])
    architecture = str(cfg.get("architecture"))
    lines = [_line("network", name)]
    if folder is not None:
        lines.append(_line("", f"{architecture}, in {folder}"))
    elif (in_timm := timm_architecture(architecture)) is not None:
        args = "".join(f", {key}={value!r}" for key, value in in_timm[1].items())
        lines.append(_line("", f"timm.create_model({in_timm[0]!r}{args}) makes the same"))
    classes = int(getattr(model, "num_classes", 0))
    shown = "; ".join(label_names(cfg, classes)[:5])
    lines.append(_line("classes", f"{classes}: {shown}{' ...' if classes > 5 else ''}"))
    mean, std = (" ".join(f"{value:.3f}" for value in cfg.get(key) or ()) for key in ("mean", "std"))
    crop = f"crop_pct {cfg.get('crop_pct')}, {cfg.get('interpolation')}"
    lines += [_line("input", f"{side} px, {crop}, mean {mean}, std {std}"), *_weights(name, folder, cfg, temperature)]
    ladder = {recipe: recipes.load(recipe).paper for recipe in recipes.names() if folder is None}
    base = name.split(".")[0]
    if reached := {recipe: figures[base][0] for recipe, figures in ladder.items() if base in figures}:
        figures = ", ".join(f"{recipe} {top1:.2f}" for recipe, top1 in reached.items())
        lines.append(_line("recipes", f"{figures} (the paper's top-1 on ImageNet)"))
        lines.append(
            _line("", f"botzoo train --recipe {list(reached)[-1]} --model {base}; botzoo recipes explains them")
        )
    found, macs = layers(model, side), count_macs(model, side)
    params, rest = sum(p.numel() for p in model.parameters()), macs - sum(layer.macs for layer in found)
    cost = f"{params:,} parameters, {macs:,} multiply-accumulates of one image of {side} px"
    rows = (
        (r.name, " x ".join(map(str, r.shape)), f"{r.params:,}", f"{r.macs:,}", r.kind)
        for r in (found if every_layer else blocks(found))
    )
    return [
        *(*lines, *under("structure", structure(model)), _line("cost", cost), ""),
        *table([("layer", "output", "params", "MACs", "what it is"), *rows], left=(0, 4)),
        *([f"and {rest:,} multiply-accumulates in products that are no layers of their own"] if rest > 0 else []),
    ]


def _line(title: str, text: str) -> str:
    return f"{title:{HEADING}} {printable(text, 2000)}"


def _weights(name: str, folder: Path | None, cfg: Mapping[str, Any], temperature: float | None) -> Iterator[str]:
    """Yield where the weights, their card and their recipe are, and what is known of them."""
    weights, card = WEIGHTS.get(name), "none"
    hub = f"https://huggingface.co/{cfg['hf_hub_id']}" if cfg.get("hf_hub_id") else ""
    terms = f"{cfg.get('license')}, of the weights; the data's terms come on top"
    if folder is not None:
        file = folder / "model.safetensors"
        if file.is_file():
            yield _line("weights", f"{file}, {in_megabytes(file.stat().st_size)}")
        yield _line("licence", str(cfg.get("license") or "unknown"))
        options = [file for file in (folder / "recipe.yaml", folder.parent / "config.yaml") if file.is_file()]
        yield from [_line("recipe", str(options[0]))] if options else []
        card = str(folder / "README.md") if (folder / "README.md").is_file() else card
    elif weights is not None:
        yield _line("weights", "with botzoo, no network needed" if weights.path else hub)
        if weights.top1 is not None:
            yield _line("top-1", f"{weights.top1:.2f} % ({weights.top1_source})")
        yield _line("licence", terms)
        of_it = [other for other, entry in WEIGHTS.items() if entry.architecture == weights.architecture]
        yield from [_line("also", ", ".join(other for other in of_it if other != name))] if of_it[1:] else []
        card = str(CARDS / f"{weights.name}.md") if weights.path else hub
    elif any(cfg.get(key) for key in ("hf_hub_id", "file", "url")):
        yield _line("weights", f"timm's own, {hub}".rstrip(", "))
        yield _line("licence", terms if cfg.get("license") else "timm names none")
        card = f"timm's own; see its model card on the Hub: {hub}".rstrip(": ")
    else:
        yield _line("weights", f"none; train it with botzoo train --model {name}")
    if temperature is not None:
        yield _line("calibrated", f"botzoo predict divides the logits by the temperature {temperature:g}")
    yield _line("card", card)
