"""The whole job, top to bottom: images, network, plan, the loop over steps, and the model folder at its end.

``train`` serves training from scratch and transfer alike; what transfer adds comes in through ``Transfer``. A run is a
pure function of its configuration and data: order, augmentation, learning rate and random numbers of step k depend on the
seed and k only, so a run that was killed and resumed ends as if nothing had happened.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, save_file
from torch import nn

from botzoo.errors import CheckpointError, ConfigError, DataError, DivergedError, StoppedError, did_you_mean
from botzoo.training import checkpoint
from botzoo.training.checkpoint import Progress
from botzoo.training.config import TrainConfig
from botzoo.training.data import (
    EvalTransform,
    Images,
    Order,
    Preprocessing,
    TrainTransform,
    eval_batches,
    read_images,
    train_batches,
)
from botzoo.training.history import History, draw_learning_curve
from botzoo.training.interrupt import StopRequest
from botzoo.training.model import Start, count_parameters, create_model, write_model_folder
from botzoo.training.objective import Objective
from botzoo.training.optim import LrScale, Schedule, make_optimizer, param_groups
from botzoo.training.sources import ImageData, open_images
from botzoo.training.trainer import Evaluation, Trainer, evaluate, fit_micro_batch
from botzoo.tricks.linear_scaling import linear_scaling
from botzoo.tricks.mixed_precision import Precision, mixed_precision

log = logging.getLogger("botzoo")


@dataclass(frozen=True)
class Transfer:
    """What transfer learning adds to training.

    Attributes:
        lr_scale: given the network, returns the factor on the learning rate of each parameter by name.
        set_trainable: given the network and the epoch, freezes and unfreezes its parameters; returns whether any changed.
        describe: given the network, returns lines for the plan.
    """

    lr_scale: Callable[[nn.Module], LrScale] = lambda model: lambda name: 1.0
    set_trainable: Callable[[nn.Module, int], bool] = lambda model, epoch: False
    describe: Callable[[nn.Module], list[str]] = lambda model: []


@dataclass(frozen=True)
class Result:
    """What a finished run knows of itself; everything that a card states.

    Attributes:
        folder: the run's folder; the model is in ``folder / "model"``.
        split: role of the split that ``evaluation`` is of: "test" where there is one, else "validation".
        chosen_on_split: whether that split also chose the epoch, so that its figure flatters.
        evaluation: of the kept weights.
        facts: versions, hardware, seconds, fingerprints and the command, as in run.json.
    """

    folder: Path
    config: TrainConfig
    data: ImageData
    preprocessing: Preprocessing
    start: Start
    architecture: str
    parameters: int
    split: str
    chosen_on_split: bool
    evaluation: Evaluation
    best_epoch: int
    epochs: int
    steps: int
    schedule: Schedule
    precision: Precision
    history: History
    facts: dict[str, Any]

    @property
    def model_folder(self) -> Path:
        """Where timm finds the model."""
        return self.folder / "model"


def train(
    config: TrainConfig,
    *,
    transfer: Transfer | None = None,
    command: str = "botzoo",
    resume: Path | None = None,
) -> Result | None:
    """Run the whole job and return its result, the same on every process.

    Args:
        config: everything that a user can choose.
        transfer: what is frozen and how fast each layer learns; None trains everything alike.
        command: as typed, for the card.
        resume: folder of a run to go on with; its own configuration must be ``config``.

    Raises:
        BotzooError: anything a user can mend, in one line.
    """
    transfer = transfer or Transfer()
    precision, accelerator = _engine(config)
    torch.manual_seed(config.seed)
    data = open_images(
        config.dataset,
        val_fraction=config.data.val_fraction,
        seed=config.seed,
        image_column=config.data.image_column,
        label_column=config.data.label_column,
    )
    torch.manual_seed(config.seed)
    model, preprocessing, start = create_model(
        config.model,
        len(data.class_names),
        pretrained=config.pretrained,
        scratch=config.scratch,
        img_size=config.img_size,
        zero_gamma=config.zero_gamma,
    )
    architecture = str(model.pretrained_cfg["architecture"])  # type: ignore[index]
    if config.engine.sync_bn:
        model = _with_sync_bn(model, accelerator)
    model = model.to(accelerator.device)
    if config.engine.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    describe = transfer.describe(model)
    groups = param_groups(model, config.optim.weight_decay, config.no_bias_decay, transfer.lr_scale(model))
    optimizer = make_optimizer(config.optimizer, groups, config.lr, config.optim.momentum)

    images, left_out = _read_splits(config, data, accelerator)
    order = _order(config, len(images["train"]), accelerator)
    epochs = config.epochs or min(30, max(3, math.ceil(200 / order.steps_per_epoch)))
    schedule = _schedule(config, order, epochs)
    objective = Objective(len(data.class_names), config.label_smoothing, config.mixup, config.seed)
    trainer = Trainer(
        accelerator,
        model,
        optimizer,
        objective,
        preprocessing,
        schedule,
        seed=config.seed,
        clip_grad=config.optim.clip_grad,
        ema_decay=config.ema,
    )
    folder = _open_folder(config, accelerator, resume)
    _log_to(folder / "log.txt", accelerator)
    facts = _facts(folder, command, images, accelerator, resume is not None)
    history = History(folder / "metrics.jsonl", accelerator.is_main_process)
    progress = _restore(folder, trainer, history, accelerator) if resume else Progress()

    trainer.start_epoch(lambda m: transfer.set_trainable(m, progress.step // order.steps_per_epoch))
    hflip = _hflip(config, data)
    train_size = config.data.train_size or preprocessing.size
    transform = TrainTransform(train_size, preprocessing.interpolation, config.data.crop_min, hflip, config.seed)
    order = _fit_memory(config, trainer, order, train_size)
    for line in _plan(
        config,
        data,
        images,
        left_out,
        model,
        architecture,
        start,
        preprocessing,
        precision,
        order,
        schedule,
        epochs,
        describe,
        hflip,
    ):
        log.info("%s", line)
    log.info("%-11s %s%s", "output", folder, f", resumed after step {progress.step:,}" if progress.step else "")
    workers = _workers(config, accelerator)
    pin = accelerator.device.type == "cuda"

    def judge(role: str) -> Evaluation:
        batches = eval_batches(
            images[role],
            EvalTransform(preprocessing),
            2 * order.batch_size // (order.world_size * order.accumulate),
            rank=order.rank,
            world_size=order.world_size,
            workers=workers,
            pin=pin,
        )
        return evaluate(accelerator, trainer.judged, batches, preprocessing, len(images[role]))

    total = schedule.total_steps
    bar = _bar(accelerator, total * order.batch_size, progress.step * order.batch_size)
    losses: list[torch.Tensor] = []
    began = time.perf_counter()
    window = began

    def clock() -> float:
        return progress.seconds + time.perf_counter() - began

    with StopRequest(accelerator) as stop, bar:
        last = progress.step if progress.stopped_early else total
        steps = train_batches(images["train"], transform, order, progress.step, last, workers=workers, pin=pin)
        for step, micro_batches in enumerate(steps, progress.step):
            if step % order.steps_per_epoch == 0 and trainer.net is not None:
                epoch = step // order.steps_per_epoch
                trainer.start_epoch(lambda m, epoch=epoch: transfer.set_trainable(m, epoch))  # type: ignore[misc]
            losses.append(trainer.step(step, micro_batches))
            bar.update(order.batch_size)
            done = step + 1
            ends_epoch = done % order.steps_per_epoch == 0
            stopping = stop.granted(done)
            saves = ends_epoch or stopping or (config.checkpoint_every and done % config.checkpoint_every == 0)
            if saves or done % config.engine.log_every == 0:
                loss = _mean_loss(losses, done, accelerator, folder, schedule)
                speed = len(losses) * order.batch_size / (time.perf_counter() - window)
                history.add(
                    {
                        "step": done,
                        "split": "train",
                        "loss": loss,
                        "lr": schedule.lr(step),
                        "images_per_second": round(speed, 1),
                        "seconds": round(clock(), 2),
                    }
                )
                accelerator.log(
                    {"train/loss": loss, "train/lr": schedule.lr(step), "train/images_per_second": speed}, done
                )
                bar.set_postfix_str(f"loss {loss:.3f}")
                losses.clear()
            if ends_epoch:
                evaluation = judge("validation")
                epoch = done // order.steps_per_epoch
                progress = _judged(progress, evaluation, epoch, config, folder, trainer)
                history.add(_record(done, "validation", evaluation, epoch, clock()))
                accelerator.log({"validation/top1": evaluation.top1, "validation/loss": evaluation.loss}, done)
                mark = " (best so far)" if progress.best_epoch == epoch else ""
                log.info(
                    "epoch %*d/%d  validation top-1 %.2f %%, loss %.4f  after %s%s",
                    len(str(epochs)), epoch, epochs, evaluation.top1, evaluation.loss, duration(clock()), mark,
                )  # fmt: skip
            if saves and accelerator.is_main_process:
                now = replace(progress, step=done, seconds=clock())
                checkpoint.save(folder / "checkpoints", now, trainer.state(), config.keep_checkpoints)
            if stopping:
                raise StoppedError(
                    f"Stopped after step {done:,} of {total:,}; the checkpoint is written. Go on with: "
                    f"{shlex.split(command)[0]} --resume {shlex.quote(str(folder))}"
                )
            if progress.stopped_early:
                log.info("stopped early: no better for %d epochs", progress.epochs_without_gain)
                break
            if saves or done % config.engine.log_every == 0:
                window = time.perf_counter()

    trainer.judged.load_state_dict(load_file(folder / "checkpoints" / "best.safetensors"))
    split = "test" if "test" in images else "validation"
    evaluation = judge(split)
    done_steps = int(history.records[-1]["step"]) if history.records else 0
    if split == "test":
        history.add(_record(done_steps, "test", evaluation, progress.best_epoch, clock()))
        accelerator.log({"test/top1": evaluation.top1}, done_steps)
    facts |= {"seconds": round(clock(), 1), "finished": time.strftime("%Y-%m-%d")}
    if accelerator.is_main_process:
        (folder / "run.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        write_model_folder(
            folder / "model",
            trainer.judged,
            preprocessing,
            data.class_names,
            tag=f"{folder.name}",
            license=start.license if not config.scratch else None,
        )
        draw_learning_curve(
            history, folder / "model" / "learning_curve.png", order.steps_per_epoch, f"{architecture} on {data.name}"
        )
    accelerator.end_training()
    return Result(
        folder=folder,
        config=config,
        data=data,
        preprocessing=preprocessing,
        start=start,
        architecture=architecture,
        parameters=count_parameters(model)[0],
        split=split,
        chosen_on_split=split == "validation",
        evaluation=evaluation,
        best_epoch=progress.best_epoch,
        epochs=epochs,
        steps=done_steps,
        schedule=schedule,
        precision=precision,
        history=history,
        facts=facts,
    )


def _engine(config: TrainConfig) -> tuple[Precision, Accelerator]:
    """Choose device and precision and make the one accelerator of the run."""
    wanted = config.engine.device
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if (wanted == "cuda" and not has_cuda) or (wanted == "mps" and not has_mps):
        raise ConfigError(f"--engine.device is {wanted!r}, and there is none here: use auto or cpu.")
    kind = "cuda" if has_cuda else "mps" if has_mps else "cpu"
    kind = kind if wanted == "auto" else wanted
    precision = mixed_precision(config.mixed_precision, torch.device(kind))
    trackers = _tracker(config.tracker)
    accelerator = Accelerator(
        cpu=kind == "cpu",
        mixed_precision=precision.accelerate_name,
        log_with=trackers,
        project_dir=str(Path(config.output or "runs") / "tracker") if trackers else None,
    )
    if trackers:
        accelerator.init_trackers("botzoo", config=_flat(asdict(config)))
    return precision, accelerator


def _tracker(name: str | None) -> str | None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    if name is None:
        return None
    known = [str(tracker) for tracker in LOGGER_TYPE_TO_CLASS]
    if name not in known:
        raise ConfigError(f"--tracker is {name!r}.{did_you_mean(name, known)} accelerate knows {', '.join(known)}.")
    if name not in [
        str(tracker.value if hasattr(tracker, "value") else tracker) for tracker in get_available_trackers()
    ]:
        raise ConfigError(f"--tracker {name} needs a package that is not installed: pip install {name}.")
    return name


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: str(value)}
    return flat


def _with_sync_bn(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    if accelerator.device.type != "cuda":
        raise ConfigError("--engine.sync-bn needs GPUs; on a CPU freeze BatchNorm (--freeze) or use one process.")
    from timm.layers import convert_sync_batchnorm

    synced: nn.Module = convert_sync_batchnorm(model)
    return synced


def _read_splits(config: TrainConfig, data: ImageData, accelerator: Accelerator) -> tuple[dict[str, Images], list[str]]:
    """Decode and check every image of every split; the test split is read here and evaluated once, at the end."""
    images: dict[str, Images] = {}
    left_out: list[str] = []
    budget = int(config.data.cache_gib * (1 << 30))
    for role, split in data.splits.items():
        images[role], bad = read_images(
            split,
            skip_corrupt=config.skip_corrupt,
            cache_bytes=budget,
            progress=lambda items, total, role=role: _reading(items, total, role, accelerator),  # type: ignore[misc]
        )
        left_out += bad
        budget -= sum(p.nbytes for p in images[role]._pixels or [])
    return images, left_out


def _reading(items: Iterable[Any], total: int, role: str, accelerator: Accelerator) -> Iterator[Any]:
    from tqdm import tqdm

    quiet = not (accelerator.is_main_process and sys.stderr.isatty())
    return iter(tqdm(items, f"reading {role} images", total, leave=False, disable=quiet, unit="img"))


def _order(config: TrainConfig, images: int, accelerator: Accelerator) -> Order:
    world = accelerator.num_processes
    batch = config.batch_size
    if batch > images:
        raise ConfigError(f"--batch-size is {batch} and there are {images} training images: give {images} or fewer.")
    if batch % world:
        raise ConfigError(
            f"--batch-size is {batch}, which {world} processes cannot share evenly: give a multiple of {world}."
        )
    share = batch // world
    micro = min(config.engine.micro_batch or share, share)
    if share % micro:
        raise ConfigError(
            f"--engine.micro-batch is {micro}, which does not divide the {share} images of each process: give a divisor."
        )
    return Order(images, batch, config.seed, accelerator.process_index, world, share // micro)


def _schedule(config: TrainConfig, order: Order, epochs: int) -> Schedule:
    peak = linear_scaling(config.lr, config.batch_size) if config.linear_scaling else config.lr
    total = epochs * order.steps_per_epoch
    warmup = min(round(config.warmup * order.steps_per_epoch), total - 1)
    return Schedule(peak, total, warmup, config.cosine)


def _hflip(config: TrainConfig, data: ImageData) -> float:
    return config.data.hflip if config.data.hflip is not None else 0.5 if data.mirrored else 0.0


def _workers(config: TrainConfig, accelerator: Accelerator) -> int:
    if config.engine.workers is not None:
        return config.engine.workers
    if accelerator.device.type == "cpu":
        return 0
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(8, (os.cpu_count() or 1) // local - 1))


def _fit_memory(config: TrainConfig, trainer: Trainer, order: Order, size: int) -> Order:
    """On a GPU, halve the micro-batch until one fits; all processes agree on the smallest."""
    accelerator = trainer.accelerator
    if accelerator.device.type != "cuda":
        return order
    largest = order.batch_size // (order.world_size * order.accumulate)
    generator = torch.Generator().manual_seed(0)

    def probe(micro: int) -> None:
        pixels = torch.randint(0, 256, (micro, size, size, 3), dtype=torch.uint8, generator=generator)
        trainer.probe((pixels.permute(0, 3, 1, 2), torch.zeros(micro, dtype=torch.long)))

    fits = fit_micro_batch(probe, largest, lambda text: log.info("%-11s %s", "memory", text))
    smallest = int(accelerator.gather(torch.tensor([fits], device=accelerator.device)).min())
    return replace(order, accumulate=order.batch_size // (order.world_size * smallest))


def _open_folder(config: TrainConfig, accelerator: Accelerator, resume: Path | None) -> Path:
    """Make the run's folder, or take the one to resume; the same on every process."""
    if resume is not None:
        return resume
    chosen = [str(_new_folder(config)) if accelerator.is_main_process else ""]
    broadcast_object_list(chosen)
    folder = Path(chosen[0])
    if accelerator.is_main_process:
        (folder / "config.yaml").write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")
    return folder


def _new_folder(config: TrainConfig) -> Path:
    if config.output is not None:
        folder = Path(config.output).expanduser()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"--output {config.output} exists already and is left as it is: give another folder, or go on with the "
                f"run in it by --resume {config.output}."
            )
    else:
        name = "-".join(Path(part.rstrip("/").split(":")[-1]).name for part in (config.dataset, config.model))
        folder = next(
            f for n in range(1, 10_000) if not (f := Path("runs") / (name if n == 1 else f"{name}-{n}")).exists()
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints").mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The run's folder {folder} cannot be made ({error.strerror}): give one that you may write to with --output."
        ) from error
    return folder


def _log_to(path: Path, accelerator: Accelerator) -> None:
    if accelerator.is_main_process:
        handler = logging.FileHandler(path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)


def _facts(
    folder: Path, command: str, images: dict[str, Images], accelerator: Accelerator, resumed: bool
) -> dict[str, Any]:
    """Record command, versions, hardware and data; on resuming, check that the data is still the same."""
    fingerprints = {role: split.fingerprint for role, split in images.items()}
    path = folder / "run.json"
    if resumed and path.exists():
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["fingerprints"] != fingerprints:
            raise DataError(
                f"The images have changed since {folder} began (their SHA-256 differs): put them back, or start a new run."
            )
        return facts
    facts = {
        "command": command,
        "fingerprints": fingerprints,
        "images": {role: len(split) for role, split in images.items()},
        "hardware": _hardware(accelerator),
        "versions": {
            name: version(name) for name in ("torch", "timm", "torchvision", "accelerate", "datasets", "botzoo")
        },
        "python": platform.python_version(),
    }
    if accelerator.is_main_process:
        path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def _hardware(accelerator: Accelerator) -> str:
    n = accelerator.num_processes
    if accelerator.device.type == "cuda":
        return f"{n} x {torch.cuda.get_device_name(accelerator.device)}"
    name = str(torch.cpu.get_capabilities().get("cpu_name", platform.processor() or platform.machine()))
    return f"{n} process{'es' if n > 1 else ''} with {torch.get_num_threads()} thread(s) on {name} ({os.cpu_count()} cores)"


def _restore(folder: Path, trainer: Trainer, history: History, accelerator: Accelerator) -> Progress:
    found = checkpoint.load_newest(folder / "checkpoints", accelerator.device)
    if found is None:
        history.rewind(0)
        return Progress()
    progress, tensors = found
    trainer.load_state(tensors)
    history.rewind(progress.step)
    return progress


def _mean_loss(
    losses: list[torch.Tensor], done: int, accelerator: Accelerator, folder: Path, schedule: Schedule
) -> float:
    """Return the mean loss of the last steps over all processes; raise if any of them is not finite."""
    every = accelerator.reduce(torch.stack(losses), "mean").cpu()
    if bool(every.isfinite().all()):
        return float(every.mean())
    step = done - len(losses) + int((~every.isfinite()).nonzero()[0]) + 1
    lr = schedule.lr(step - 1)
    cause = (
        "it is still in the warmup, so the weights it started from or the images are the likely cause"
        if step <= schedule.warmup_steps // 2
        else f"a learning rate that is too high is the likely cause: try --lr at a tenth, a longer --warmup, or "
        "--optim.clip-grad 1"
    )
    saved = checkpoint.checkpoints(folder / "checkpoints")
    kept = f"The last good checkpoint is kept: {saved[-1]}." if saved else "There is no checkpoint yet."
    raise DivergedError(f"The loss became NaN or infinite at step {step:,} (learning rate {lr:.3g}); {cause}. {kept}")


def _judged(
    progress: Progress, evaluation: Evaluation, epoch: int, config: TrainConfig, folder: Path, trainer: Trainer
) -> Progress:
    """Return the progress after an evaluation, and keep the weights if they are the best so far."""
    gain = evaluation.top1 - progress.best_accuracy
    if gain > 0:
        if trainer.accelerator.is_main_process:
            _save_best(folder / "checkpoints" / "best.safetensors", trainer.judged)
        progress = replace(progress, best_accuracy=evaluation.top1, best_epoch=epoch)
    waited = 0 if gain > config.min_delta else progress.epochs_without_gain + 1
    out_of_patience = config.patience is not None and waited >= config.patience
    trainer.accelerator.wait_for_everyone()
    return replace(progress, epochs_without_gain=waited, stopped_early=out_of_patience)


def _save_best(path: Path, model: nn.Module) -> None:
    beside = path.with_suffix(".part")
    try:
        save_file({name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()}, beside)
        beside.rename(path)
    except Exception as error:
        beside.unlink(missing_ok=True)
        raise CheckpointError(
            f"The best weights cannot be written to {path} ({str(error).splitlines()[0]}). The checkpoints so far are kept: "
            f"make room or mend the permissions, then go on with --resume {path.parent.parent}."
        ) from error


def _record(step: int, split: str, evaluation: Evaluation, epoch: int, seconds: float) -> dict[str, Any]:
    return {
        "step": step,
        "epoch": epoch,
        "split": split,
        "loss": evaluation.loss,
        "top1": evaluation.top1,
        "top5": evaluation.top5,
        "images": len(evaluation),
        "seconds": round(seconds, 2),
    }


def _bar(accelerator: Accelerator, total: int, initial: int) -> Any:
    from tqdm import tqdm

    quiet = not (accelerator.is_main_process and sys.stderr.isatty())
    return tqdm(
        total=total, initial=initial, unit="img", unit_scale=True, disable=quiet, dynamic_ncols=True, desc="training"
    )


def _plan(
    config: TrainConfig,
    data: ImageData,
    images: dict[str, Images],
    left_out: list[str],
    model: nn.Module,
    architecture: str,
    start: Start,
    preprocessing: Preprocessing,
    precision: Precision,
    order: Order,
    schedule: Schedule,
    epochs: int,
    describe: list[str],
    hflip: float,
) -> Iterator[str]:
    """Yield the lines that say what is about to happen."""
    sizes = ", ".join(f"{len(split):,} {role}" for role, split in images.items())
    total, trained = count_parameters(model)
    yield f"{'data':11} {data.name}: {sizes} images in {len(data.class_names)} classes"
    for note in data.notes:
        yield f"{'':11} {note}"
    if left_out:
        yield f"{'':11} {len(left_out)} unreadable images left out:"
        yield from (f"{'':11}   {line}" for line in left_out)
    yield f"{'model':11} {architecture}: {total:,} parameters, {trained:,} of them trained; from {start.source}"
    if start.report is not None:
        r = start.report
        yield f"{'':11} tensors: {len(r.loaded)} loaded, {_named(r.missing)} missing, {_named(r.mismatched)} mismatched (new), {_named(r.unexpected)} unexpected"
    yield from (f"{'':11} {line}" for line in describe)
    p = preprocessing
    crop = f"random crops of {config.data.crop_min:.0%} to 100 %" if config.data.crop_min < 1 else "whole images"
    smaller = f" (trained at {config.data.train_size})" if config.data.train_size else ""
    yield f"{'input':11} {p.size} x {p.size} px{smaller}; {crop}, flipped with probability {hflip:g}"
    layout = "channels last" if config.engine.channels_last else "channels first"
    threads = f" ({torch.get_num_threads()} threads)" if trainer_is_cpu(model) else ""
    yield f"{'device':11} {next(model.parameters()).device}{threads}; {precision.name}: {precision.reason}; {layout}"
    warm = f"after {schedule.warmup_steps} warmup steps " if schedule.warmup_steps else ""
    decay = "cosine to 0" if config.cosine else "constant"
    yield f"{'optimizer':11} {config.optimizer}, learning rate {schedule.peak:.4g} {warm}then {decay}; weight decay {config.optim.weight_decay:g}"
    tricks = [t for t in ("linear_scaling", "no_bias_decay") if getattr(config, t)]
    tricks += [f"{t} {getattr(config, t):g}" for t in ("label_smoothing", "mixup") if getattr(config, t)]
    tricks += ["zero_gamma"] if config.scratch and config.zero_gamma else []
    yield f"{'tricks':11} {', '.join(tricks) or 'none'}"
    micro = order.batch_size // (order.world_size * order.accumulate)
    parts = f" = {order.world_size} process(es) x {order.accumulate} micro-batch(es) x {micro}"
    yield f"{'steps':11} {epochs} epochs x {order.steps_per_epoch:,} = {schedule.total_steps:,} steps; batch {order.batch_size}{parts}"


def trainer_is_cpu(model: nn.Module) -> bool:
    """Tell whether the network computes on the CPU."""
    return next(model.parameters()).device.type == "cpu"


def _named(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else "0"


def duration(seconds: float) -> str:
    """Return a duration for people: 42 s, 7 min 05 s, 2 h 03 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
