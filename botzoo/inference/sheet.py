"""What ``botzoo info`` prints of a network, from its name or folder.

Which of the paper's tweaks it has and where, its layers and what each of them costs, its weights, recipe and card.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from botzoo import recipes
from botzoo.errors import printable
from botzoo.inference.load import address_of, advice_offline, label_names
from botzoo.models.cost import count_macs, on_meta
from botzoo.models.create import check_name
from botzoo.models.dense.folder import read_dense_folder
from botzoo.models.folder import timm_architecture
from botzoo.models.foreign import meta_network, read_config, read_shapes, temperature_in, threshold_in
from botzoo.models.loading import model_folder
from botzoo.models.preprocessing import Size
from botzoo.models.pretrained import CARDS, WEIGHTS
from botzoo.util.hub import hub_page
from botzoo.util.text import HEADING, and_list, in_megabytes, table, under


def sheet(name: str, *, every_layer: bool = False) -> list[str]:
    """Return the lines that describe a network, with every layer or with the blocks that they make up.

    Args:
        name: a name or name.tag of timm or botzoo, ``hf-hub:owner/name``, ``local-dir:PATH``, or the folder of a run.

    Raises:
        ModelError, CheckpointError: there is no such network, or a folder or repository does not describe one.
        NetworkError: a repository is not cached and the Hub cannot be reached.
    """
    address, folder = address_of(name), None
    if ":" in address:
        with advice_offline(name):
            folder = model_folder(address, weights=False, extras=("README.md", "recipe.yaml"))
        config, file = read_config(folder / "config.json"), folder / "model.safetensors"
        if "task" in config:
            return dense_sheet(name, model_folder(address), every_layer=every_layer)
        model = meta_network(config, read_shapes(file) if file.is_file() else None, str(folder))
        cfg = dict(config.get("pretrained_cfg") or config)
        cfg |= {key: config[key] for key in ("num_classes", "label_names", "architecture") if key in config}
        temperature, threshold = temperature_in(config), threshold_in(config)
    else:
        check_name(address)
        known = timm.get_pretrained_cfg(address)
        cfg = known.to_dict() if known is not None else {"num_classes": 1000}
        base = address.partition(".")[0]
        name = f"{base}.{cfg['tag']}" if cfg.get("tag") else base
        with on_meta():
            model = timm.create_model(base, num_classes=cfg["num_classes"])
        temperature, threshold = WEIGHTS[name].temperature if name in WEIGHTS else None, None
    channels, *sides = cfg.get("input_size", (3, 224, 224))
    size = Size(*sides)
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
    if (mode := cfg.get("crop_mode") or "center") != "center":
        crop += f", crop_mode {mode}"
    lines += [_line("input", f"{size.px}, {crop}, mean {mean}, std {std}"), *_weights(name, folder, cfg, temperature)]
    if threshold is not None:
        lines.append(_line("rejects", f"botzoo predict answers none of these below a probability of {threshold:.4g}"))
    ladder = {recipe: recipes.load(recipe).paper for recipe in recipes.names() if folder is None}
    base = name.split(".")[0]
    if reached := {recipe: figures[base][0] for recipe, figures in ladder.items() if base in figures}:
        figures = ", ".join(f"{recipe} {top1:.2f}" for recipe, top1 in reached.items())
        lines.append(_line("recipes", f"{figures} (the paper's top-1 on ImageNet)"))
        command = f"botzoo train --recipe {list(reached)[-1]} --model {base}"
        lines.append(_line("", f"{command}; botzoo recipes explains them"))
    found, macs = layers(model, size, channels), count_macs(model, size, channels)
    params, rest = sum(p.numel() for p in model.parameters()), macs - sum(layer.macs for layer in found)
    cost = f"{params:,} parameters, {macs:,} multiply-accumulates of one image of {size.px}"
    rows = (
        (r.name, " x ".join(map(str, r.shape)), f"{r.params:,}", f"{r.macs:,}", r.kind)
        for r in (found if every_layer else blocks(found))
    )
    lines += [*under("structure", structure(model)), _line("cost", cost), ""]
    lines += table([("layer", "output", "params", "MACs", "what it is"), *rows], left=(0, 4))
    if rest > 0:  # as in attention
        lines.append(f"and {rest:,} multiply-accumulates in products that are no layers of their own")
    return lines


def dense_sheet(name: str, folder: Path, *, every_layer: bool = False) -> list[str]:
    """Return the lines that describe a network for boxes or masks in a folder; its layers are those of its body.

    Raises:
        CheckpointError: see ``read_dense_folder``.
    """
    found, config = read_dense_folder(folder), read_config(folder / "config.json")
    p, body = found.preprocessing, found.module.body
    head = config["head"]
    made = ", ".join(f"{key} {value}" for key, value in head.items() if not isinstance(value, dict) and key != "name")
    shown = "; ".join(found.class_names[:5])
    lines = [_line("network", name), _line("", f"{config['architecture']}, in {folder}")]
    lines += [
        _line("task", f"{found.task}, by {head['name']} on maps of stride {and_list(body.strides)}"),
        _line("head", made),
        _line("classes", f"{len(found.class_names)}: {shown}{' ...' if len(found.class_names) > 5 else ''}"),
    ]
    if (anchors := head.get("anchors")) is not None:
        sizes, ratios = (", ".join(f"{value:g}" for value in anchors[key]) for key in ("sizes", "ratios"))
        lines.append(_line("anchors", f"squares of {sizes} px, of the ratios {ratios}"))
    lines += [
        _line("input", f"{p.shape.px}, the whole image, {p}"),
        *_weights(name, folder, config["pretrained_cfg"], None),
    ]
    own, every = (sum(tensor.numel() for tensor in module.parameters()) for module in (body, found.module))
    macs = count_macs(_LastMap(body), p.shape, p.channels)
    cost = (
        f"{every:,} parameters, {own:,} of them in the body, which takes {macs:,} multiply-accumulates at {p.shape.px}"
    )
    passed = layers(body.net.to("meta"), p.shape, p.channels)
    rows = (
        (r.name, " x ".join(map(str, r.shape)), f"{r.params:,}", f"{r.macs:,}", r.kind)
        for r in (passed if every_layer else blocks(passed))
    )
    table_of = table([("layer", "output", "params", "MACs", "what it is"), *rows], left=(0, 4))
    return [*lines, _line("cost", cost), "", *table_of]


class _LastMap(nn.Module):
    """A body that gives its last map only, as what counts its operations wants one tensor."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        last: Tensor = self.body(images)[-1]
        return last


def _line(title: str, text: str) -> str:
    return f"{title:{HEADING}} {printable(text, 2000)}"


def _weights(name: str, folder: Path | None, cfg: Mapping[str, Any], temperature: float | None) -> Iterator[str]:
    """Yield where the weights, their card and their recipe are, and what is known of them."""
    weights, card = WEIGHTS.get(name), "none"
    hub = hub_page(cfg["hf_hub_id"]) if cfg.get("hf_hub_id") else ""
    terms = f"{cfg.get('license')}, of the weights; the data's terms come on top"
    if folder is not None:
        file = folder / "model.safetensors"
        if file.is_file():
            yield _line("weights", f"{file}, {in_megabytes(file.stat().st_size)}")
        yield _line("licence", str(cfg.get("license") or "unknown"))
        options = [file for file in (folder / "recipe.yaml", folder.parent / "config.yaml") if file.is_file()]
        if options:
            yield _line("recipe", str(options[0]))
        card = str(folder / "README.md") if (folder / "README.md").is_file() else card
    elif weights is not None:
        yield _line("weights", "with botzoo, no network needed" if weights.path else hub)
        if weights.top1 is not None:
            yield _line("top-1", f"{weights.top1:.2f} % ({weights.top1_source})")
        yield _line("licence", terms)
        of_it = [other for other, entry in WEIGHTS.items() if entry.architecture == weights.architecture]
        if len(of_it) > 1:
            yield _line("also", ", ".join(other for other in of_it if other != name))
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


@dataclass(frozen=True)
class Layer:
    """One module as one image of a given size passes it."""

    name: str  # path of the module
    kind: str  # such as "Conv2d 3x3 / 2"
    shape: tuple[int, ...]  # of its output without the batch: (C, H, W) or (C,)
    params: int  # its own
    macs: int  # multiply-accumulates of its convolutions and linear maps, by their formulas


def layers(model: nn.Module, size: Size, channels: int = 3) -> list[Layer]:
    """Return the modules with weights of their own and the poolings, in the order in which an image passes them.

    A convolution of k x k from C_in to C_out channels in g groups costs k * k * C_in / g * C_out * H_out * W_out, a
    linear map C_in * C_out at each position. Products without a module of their own, as in attention, are not among
    them; see ``botzoo.models.cost.count_macs`` for all. The model is on the meta device and put into evaluation mode;
    ``size`` is that of the image in pixels, ``channels`` are its own.
    """
    found: list[Layer] = []

    def look(name: str, module: nn.Module, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        kind, macs, params = type(module).__name__, 0, sum(p.numel() for p in module.parameters(recurse=False))
        if isinstance(module, nn.Conv2d):
            kind += f" {_conv(module)}" + (f", {module.groups} groups" if module.groups > 1 else "")
            macs = module.weight[0].numel() * output.numel()  # a filter is k * k * C_in / g
        elif isinstance(module, nn.Linear):
            macs = module.in_features * output.numel()
        if params or "Pool" in kind:
            found.append(Layer(name, kind, tuple(output.shape[1:]), params, macs))

    hooks = [
        module.register_forward_hook(lambda m, i, o, name=name: look(name, m, o))
        for name, module in model.named_modules()
        if name and ([*module.parameters(recurse=False)] or not [*module.children()])
    ]
    try:
        with torch.no_grad():
            model.eval()(torch.empty(1, channels, *size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _conv(conv: nn.Conv2d) -> str:
    stride = f" / {conv.stride[0]}" if conv.stride[0] > 1 else ""
    return f"{conv.kernel_size[0]}x{conv.kernel_size[1]}{stride}"


def blocks(found: list[Layer]) -> list[Layer]:
    """Return the layers put together by the first two parts of their names: a ResNet's stem, blocks and classifier.

    The shape is that of the layer that an image passes last.
    """
    together: dict[str, list[Layer]] = {}
    for layer in found:
        parts = layer.name.split(".")
        together.setdefault(".".join(parts[:2]) if len(parts) > 2 else parts[0], []).append(layer)
    every = []
    for name, inside in together.items():
        params = {layer.name: layer.params for layer in inside}  # those of a layer that is passed twice count once
        kinds = [layer.kind for layer in inside if "Norm" not in layer.kind] or [inside[0].kind]
        shape = next((layer.shape for layer in reversed(inside) if "downsample" not in layer.name), inside[-1].shape)
        every.append(Layer(name, ", ".join(kinds), shape, sum(params.values()), sum(layer.macs for layer in inside)))
    return every


# The paper's variants: whether the first 1x1 strides, whether the stem is deep, whether the shortcut averages.
LETTERS = {(True, False, False): "A", (False, False, False): "B", (False, True, False): "C", (False, True, True): "D"}


def structure(model: nn.Module) -> list[str]:
    """Return what the paper's sections 4.1 and 4.2 would say of a ResNet, by its modules; nothing of other networks."""
    if not isinstance(model, ResNet):
        return []
    stages: list[tuple[str, Any]] = [(n, child) for n, child in model.named_children() if n.startswith("layer")]
    first = [(f"{name}.0", next(iter(stage))) for name, stage in stages]
    down = [(name, block) for name, block in first if max(block.conv1.stride[0], block.conv2.stride[0]) > 1]
    stem = [m for m in model.conv1.modules() if isinstance(m, nn.Conv2d)]
    deep = isinstance(model.conv1, nn.Sequential)
    averaged = {_averages(block) for _, block in down}
    early = {bool(block.conv1.stride[0] > 1) for _, block in down if hasattr(block, "conv3")}
    alike = len(averaged) == 1 and len(early) <= 1
    letter = LETTERS.get((early == {True}, deep, averaged == {True})) if alike else None
    head = f"ResNet-{letter}" if letter else "a ResNet that is none of the paper's four"
    counts, kind = ", ".join(str(len(list(stage))) for _, stage in stages), type(first[0][1]).__name__
    lines = [f"{head}: {counts} {kind.removesuffix('A').lower()}s in {len(stages)} stages"]
    if deep:
        kinds, widths = ", ".join(map(_conv, stem)), ", ".join(str(conv.out_channels) for conv in stem)
        lines.append(f"conv1: {kinds} of {widths} channels in place of one 7x7 / 2 (tweak C, figure 2b)")
    else:
        lines.append(f"conv1: {_conv(stem[0])} of {stem[0].out_channels} channels, the original stem")
    for name, block in down:
        residual = ", ".join(_conv(getattr(block, key)) for key in ("conv1", "conv2", "conv3") if hasattr(block, key))
        if hasattr(block, "conv3"):  # a basic block has no 1x1 that could stride
            skips = " (original: the 1x1 skips three quarters of its input)"
            residual += skips if block.conv1.stride[0] > 1 else " (tweak B)"
        shortcut = "the shortcut is the identity"
        if block.downsample is not None:
            kinds = ", ".join(_conv(m) for m in block.downsample.modules() if isinstance(m, nn.Conv2d))
            tweak_d = f"2x2 average, then {kinds} (tweak D)"
            shortcut = f"shortcut: {tweak_d if _averages(block) else f'{kinds} (original)'}"
        lines.append(f"{name}: {residual}; {shortcut}")
    return lines


def _averages(block: Any) -> bool:
    return block.downsample is not None and any(isinstance(m, nn.AvgPool2d) for m in block.downsample.modules())
