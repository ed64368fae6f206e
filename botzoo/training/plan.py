"""What a run says before its first step."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import torch

from botzoo.data.loader import LoadedSplit
from botzoo.models.cost import Memory, count_macs, count_parameters, estimate_memory
from botzoo.models.create import Network
from botzoo.models.preprocessing import LONG, Preprocessing
from botzoo.options.config import OptimConfig, TrainConfig
from botzoo.training.callbacks import Callback
from botzoo.training.state import Draft, Run
from botzoo.training.steps.optimizer import has_momentum, make_optimizer
from botzoo.training.steps.schedule import fall_epochs
from botzoo.training.steps.teacher import Teacher
from botzoo.training.steps.tricks import tricks_in_use
from botzoo.tricks.zero_gamma import last_gammas
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import HEADING, counted, epochs_words, few, mib, under


def plan(run: Run, callbacks: Sequence[Callback] = ()) -> Iterator[str]:
    """Yield the lines of the plan: a heading and what is to happen, of data, model, input, device and so on."""
    micro_batch = run.order.micro_batch
    sections: dict[str, list[str]] = {
        "data": [*data_lines(run), *class_lines(run)],
        "model": [*model_lines(run.network), *teacher_lines(run.teacher)],
        "chosen": [str(choice) for choice in run.choices if choice.reason],
        "input": [run.feed.describe(), *input_lines(run.network), *fit_lines(run)],
        "device": [device_line(run)],
        "optimizer": list(optimizer_lines(run)),
        "tricks": [tricks_line(run.config, run.network, run.teacher)],
        "steps": [steps_line(run)],
    }
    # A callback adds to a section of these, or one of its own after them.
    more = [line for callback in callbacks for line in callback.on_plan(run)]
    for heading in dict.fromkeys([*sections, *(heading for heading, _ in more)]):
        lines = sections.get(heading, []) + [line for own, line in more if own == heading]
        yield from under(heading, lines)
    memory = memory_of(run, micro_batch)
    parts = " + ".join(f"{name.replace('_', ' ')} {mib(size)}" for name, size in asdict(memory).items() if size)
    total = f"{mib(memory.total)} MiB = {parts}, {counted(micro_batch, 'image')} at once"
    yield f"{'memory':{HEADING}} estimate for each process: {total}"


def data_lines(run: Run) -> Iterator[str]:
    """Yield what is trained and evaluated on, and the images that cannot be read."""
    data, task = run.data, run.task
    sizes = ", ".join(f"{len(split):,} {role}" for role, split in run.images.items())
    several = "" if task.one_label else f", {task.labels}"
    classes = counted(len(data.class_names), "class", "classes")
    yield f"{data.name}: {sizes} images in {classes}{several} ({few(data.class_names)})"
    yield from data.notes
    if run.left_out:
        yield f"left out: {counted(len(run.left_out), 'unreadable image')}"
        yield from (f"  {image}" for image in run.left_out)


def class_lines(run: Run) -> Iterator[str]:
    """Yield how unequal the classes are, and what is done about it."""
    names = run.data.class_names
    counts = run.data.train.class_counts(len(names))
    if counts is None:  # of a stream whose labels are not known beforehand
        return
    there = np.flatnonzero(counts)
    most, least = max(there, key=lambda k: counts[k]), min(there, key=lambda k: counts[k])
    sampler, weights = run.order.sampler, run.trainer.objective.class_weights
    evened = ""
    if weights is not None:
        used = [weight for weight in weights if weight]
        evened = f"; class weights {run.config.class_weights}, {min(used):.3g} to {max(used):.3g}"
    elif sampler is not None:
        often = f"an image comes up to {counted(sampler.most_often, 'time')} in an epoch"
        evened = f"; sampling {run.config.data.sampling}, {often}"
    if counts[most] == counts[least]:
        yield f"{counted(counts[most], 'training image')} of each class{evened}"
    else:
        sizes = f"{counts[least]:,} ({in_quotes(names[least])}) to {counts[most]:,} ({in_quotes(names[most])})"
        yield f"{sizes} training images of a class{evened}"


def model_lines(network: Network) -> Iterator[str]:
    """Yield what the network is, costs and starts from."""
    total, trained = count_parameters(network.model)
    start, size = network.start, network.preprocessing.shape
    yield f"{network.architecture}: {total:,} parameters, {trained:,} of them trained; from {start.source}"
    macs = count_macs(network.model, size, network.preprocessing.channels) / 1e6
    yield f"{macs:,.0f} million multiply-adds in convolutions and matrix products for an image of {size} px"
    if (report := start.report) is not None:
        parts = {"missing": report.missing, "mismatched": report.mismatched, "unexpected": report.unexpected}
        named = ", ".join(f"{_named(names)} {what}" for what, names in parts.items())
        yield f"tensors: {len(report.loaded)} loaded, {named}"
    yield from start.notes


def input_lines(network: Network) -> Iterator[str]:
    """Yield how pixels are normalised and by whose word, and where that may be another network's."""
    yield f"{network.preprocessing}: {network.start.prepared}"
    if network.start.doubt is not None:
        yield f"warning: {network.start.doubt}"


def fit_lines(run: Draft | Run) -> Iterator[str]:
    """Yield how little of long images the centre crop sees, where that is so and nobody has chosen it."""
    prepared = run.network.preprocessing
    images = run.images["train"]
    stretch = median_stretch(images, prepared)
    if run.config.data.fit is not None or prepared.crop_mode != "center" or stretch < LONG:
        return
    known = len(images.shapes)
    which = "training image" if known == len(images) else f"one of {counted(known, 'training image')}"
    words = long_words(stretch, prepared, which)
    yield f"warning: {words}: --data.fit squash or pad shows all, and --img-size may be of their shape"


def long_words(stretch: float, preprocessing: Preprocessing, which: str = "training image") -> str:
    """Return what a centre crop sees of images that are a median of ``stretch`` from the input's shape."""
    shape = f"times off the input's shape of {preprocessing.shape}"
    shape = shape if preprocessing.shape.oblong else "times as long as wide"
    seen = preprocessing.crop_pct**2 / stretch
    return f"the median {which} is {stretch:.1f} {shape}, and the centre crop of evaluation sees {seen:.0%} of it"


def median_stretch(images: LoadedSplit, preprocessing: Preprocessing) -> float:
    """Return the median of how far images are from the input's shape, 1 or more; of a stream, of those that were looked at."""
    return float(np.median(preprocessing.stretch(*images.shapes.T))) if len(images.shapes) else 1.0


def _named(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else "0"


def teacher_lines(teacher: Teacher | None) -> Iterator[str]:
    """Yield what the teacher of distillation is."""
    if teacher is not None:
        count = count_parameters(teacher.model)[0]
        yield f"teacher: {teacher.start.source}, {count:,} parameters, sees {teacher.size} px"


def device_line(run: Run) -> str:
    """Return what is computed on, in which arithmetic, and where the images are kept."""
    device, precision = run.accelerator.device, run.precision
    threads = f" ({counted(torch.get_num_threads(), 'thread')})" if device.type == "cpu" else ""
    layout = "channels last" if run.config.engine.channels_last else "channels first"
    kept = run.images["train"].kept_in
    return f"{device}{threads}; {precision.name}: {precision.reason}; {layout}; images {kept}"


def optimizer_lines(run: Run) -> Iterator[str]:
    """Yield the optimizer, its learning rate and weight decay, and what of its options has no effect."""
    config, schedule, batch = run.config, run.schedule, run.order.batch_size
    scaled = f" = {config.lr:g} x {batch} / 256" if config.linear_scaling else ""
    warm = f" after {counted(schedule.warmup_steps, 'step')} of warmup" if schedule.warmup_steps else ""
    decay = decay_words(config, run.epochs, run.criterion.figure)
    yield f"{config.optimizer}, learning rate {schedule.peak:.4g}{scaled}{warm}, then {decay}"
    counts = {True: 0, False: 0}
    for group in run.trainer.optimizer.param_groups:
        counts[group["weight_decay"] > 0] += sum(p.numel() for p in group["params"])
    yield f"weight decay {config.optim.weight_decay:g} on {counts[True]:,} parameters, none on {counts[False]:,}"
    # Of the default nothing is said: nobody has asked for it.
    if config.optim.momentum != OptimConfig().momentum and not has_momentum(config.optimizer):
        yield f"--optim.momentum {config.optim.momentum:g} has no effect: {config.optimizer} has none"
    if config.optimizer.lower() in ("lars", "larc", "nlars", "nlarc") and batch < 16384:
        yield f"LARS is made for batches above 16 k images; with {batch}, sgd is the usual choice"
    if config.optimizer.lower() == "swats" and config.cosine:
        yield "SWATS turns to SGD when its steps have become steady, which a falling rate hinders: consider --no-cosine"


def decay_words(config: TrainConfig, epochs: float, figure: str) -> str:
    """Return what the learning rate does after the warmup in a run of ``epochs`` whose epochs are compared by ``figure``."""
    optim = config.optim
    if config.cosine:
        return "falling to 0 along a cosine"
    if optim.decay == "plateau":
        return f"times {optim.factor:g} after every {epochs_words(optim.decay_patience)} without a better validation {figure}"
    if optim.decay == "exponential":
        return f"times {optim.factor:g} after every {epochs_words(optim.decay_every)}"
    falls = fall_epochs(optim.decay, epochs, optim.milestones)
    return f"times {optim.factor:g} after epochs {', '.join(map(str, falls))}" if falls else "constant"


def tricks_line(config: TrainConfig, network: Network, teacher: Teacher | None) -> str:
    """Return the tricks in use, by their names."""
    names = [name for name in ("linear_scaling", "no_bias_decay", "cosine") if getattr(config, name)]
    strengths = {name: getattr(config, name) for name in ("warmup", "label_smoothing", "mixup", "cutmix", "drop_rate")}
    names += [f"{name} {value:g}" for name, value in strengths.items() if value]
    if teacher is not None:
        constants = f"T {config.distill.temperature:g}, weight {config.distill.weight:g}"
        names.append(f"distillation from {teacher.start.source} ({constants})")
    names += ["zero_gamma"] if config.scratch and config.zero_gamma and last_gammas(network.model) else []
    names += ["xavier_init"] if config.scratch and config.xavier_init else []
    if config.paper_augment:
        whose = "the paper's" if config.scratch else "the weights' own"
        names.append(f"paper_augment with {whose} mean and std")
    names += [f"ema {config.ema:g}"] if config.ema else []
    for when in ("batch", "init"):
        names += [f"{name} {value}" for name, (_, value) in tricks_in_use(config, when).items()]
    return ", ".join(names) or "none"


def steps_line(run: Run) -> str:
    """Return how many steps there are, and how a batch is shared."""
    order = run.order
    micro = f"{counted(order.accumulate, 'micro-batch', 'micro-batches')} x {counted(order.micro_batch, 'image')}"
    parts = f"{counted(order.world_size, 'process', 'processes')} x {micro}"
    total = f"{epochs_words(run.epochs)} x {order.steps_per_epoch:,} = {counted(run.schedule.total_steps, 'step')}"
    return f"{total}; batch {order.batch_size} = {parts}"


def memory_of(run: Run, micro_batch: int) -> Memory:
    """Estimate the memory that a process takes in a step with so many images at once, trained as the network now is."""
    config, optim, trainer, size = run.config, run.config.optim, run.trainer.whole, run.feed.whole.largest_size
    # Passes over one image and over two are measured; from these follows what more would take.
    empty = torch.zeros(2, run.preprocessing.channels, *size, dtype=torch.uint8, device=run.accelerator.device)
    return estimate_memory(
        run.model,
        lambda images: trainer.forward(trainer.normalise(empty[:images])),
        lambda groups: make_optimizer(config.optimizer, groups, config.lr, optim.momentum, optim.betas),
        micro_batch,
        averaged=config.ema is not None,
    )
