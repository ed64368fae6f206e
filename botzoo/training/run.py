"""The whole job, top to bottom: images, network, plan, the loop over steps, and the model folder at its end.

``train`` serves training from scratch and transfer alike; what transfer adds comes in through ``Transfer``. Order,
augmentation, learning rate and random numbers of step k depend on the seed and k only, so a run that was killed and resumed
ends as if nothing had happened. Only a --budget makes the number of steps depend on the clock.
"""

from __future__ import annotations

import logging
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from botzoo.data.augment import make_augment
from botzoo.data.loader import Batch, eval_batches, train_batches
from botzoo.data.stream import Stream, stream_eval_batches, stream_train_batches
from botzoo.data.transforms import EvalTransform, ProgressiveResizing, TrainTransform, Transform
from botzoo.errors import CheckpointError, ConfigError, DivergedError, StoppedError
from botzoo.models.folder import write_model_folder
from botzoo.models.layers import measure_norms, measuring_steps, trained_norms
from botzoo.models.licence import settle_license
from botzoo.options.config import TrainConfig, seconds_of
from botzoo.tasks.task import Evaluation as Judged
from botzoo.training import checkpoint
from botzoo.training.autotune.batch_size import with_batch_size
from botzoo.training.autotune.budget import WARMUP, Budget, Pace, fit_steps, too_small
from botzoo.training.autotune.lr_range import FEWEST, STEPS, Sweep, draw_range_test, exploded, factor, suggest
from botzoo.training.autotune.memory import peak_memory, reset_peak_memory
from botzoo.training.autotune.micro_batch import fit_memory
from botzoo.training.autotune.speed import Work, agreed, measure, speed
from botzoo.training.checkpoint import Progress
from botzoo.training.distributed import end_trackers, from_main, on_main, same_everywhere, start_tracker, worker_count
from botzoo.training.evaluation import evaluate
from botzoo.training.facts import run_facts, soup_facts, write_evaluation
from botzoo.training.folder import (
    Facts,
    check_output,
    log_to,
    open_folder,
    record_config,
    record_facts,
    working_in,
    write_facts,
)
from botzoo.training.history import History, lr_figure
from botzoo.training.interrupt import StopRequest
from botzoo.training.plan import decay_words, plan
from botzoo.training.setup import Settled, SettledT, Transfer, resettled, with_choices
from botzoo.training.setup import set_up as prepare
from botzoo.training.soup import Ingredient, Score, Soup, average, best_of, file_of, greedy_soup, remove_others, told
from botzoo.util.files import free_name, sync
from botzoo.util.pictures import drawn
from botzoo.util.private import forget_prepared
from botzoo.util.text import duration, epochs_number

log = logging.getLogger("botzoo")

CarryOn = Callable[[list[float]], bool]
"""Given the figure of the validation split, in per cent, after each epoch so far, tells whether the run goes on."""

BEST = Path("checkpoints") / "best.safetensors"
"""The weights of the best epoch so far, in a run's folder."""


@dataclass(frozen=True, kw_only=True)
class Job(Settled):
    """Everything that a run has settled before its first step."""

    folder: Path
    facts: Facts
    history: History
    carry_on: CarryOn = lambda accuracies: True


@dataclass(frozen=True)
class Result:
    """What a finished run knows of itself; everything that a card states.

    Attributes:
        job: what was run.
        split: role of the split that ``evaluation`` is of: "test" where there is one, else "validation".
        evaluation: of the kept weights: an ``Evaluation``, or a ``MultiLabelEvaluation`` where images have several labels.
        best_epoch: the epoch that they are of, counted from 1; the best one where they are the average of several.
        steps: optimizer steps taken; fewer than planned after early stopping.
        facts: command, versions, hardware, seconds, peak memory and fingerprints, as in run.json.
        held_out: of the same weights on the validation split, where ``split`` is "test": for what is fitted afterwards.
        soup: what came of averaging epochs; None where --soup was not given, or there was only one to average.
    """

    job: Job
    split: str
    evaluation: Any
    best_epoch: int
    steps: int
    facts: Facts
    held_out: Any = None
    soup: Soup | None = None

    @property
    def chosen_on_split(self) -> bool:
        """Whether the evaluated images also chose the epoch, so that the figure flatters."""
        return self.split == "validation"

    @property
    def model_folder(self) -> Path:
        """Where timm finds the model."""
        return self.job.folder / "model"


def train(
    config: TrainConfig,
    *,
    transfer: Transfer | None = None,
    command: str = "botzoo",
    resume: Path | None = None,
    approve: Callable[[Settled], object] = lambda settled: None,
    carry_on: CarryOn = lambda accuracies: True,
    began: float | None = None,
) -> Result:
    """Run the whole job and return its result, the same on every process.

    Args:
        config: everything that a user can choose.
        transfer: what is frozen and how fast each layer learns; None trains everything alike.
        command: as typed, for the card and the command to resume.
        resume: folder of a run to go on with, whose configuration is ``config``.
        approve: is shown, on every process, what is settled before the run's folder is made; may raise.
        carry_on: is asked after every epoch but the last, and answers the same on every process; where it says no, the run
            ends there with its best weights, as where patience has run out.
        began: ``time.perf_counter()`` when the command began, from which on --budget counts; by default this call's.

    Raises:
        StoppedError: SIGINT or SIGTERM came; the checkpoint is written.
        DivergedError: the loss became NaN or infinite.
        BotzooError: anything else that a user can mend, in one line.
    """
    began = time.perf_counter() if began is None else began
    if resume is None:
        check_output(config)
    settled = _keep_to_budget(with_batch_size(_approved(config, transfer, approve)), began)
    folder = open_folder(settled.config, settled.accelerator, resume)
    with working_in(folder, settled.accelerator):
        return _train(_open(settled, folder, command, resume is not None, carry_on), command, resume is not None)


def _approved(config: TrainConfig, transfer: Transfer | None, approve: Callable[[Settled], object]) -> Settled:
    """Settle a run; what is refused is refused before the transfer takes its time to choose options."""
    settled = prepare(config, transfer or Transfer())
    approve(settled)
    chosen = with_choices(settled)
    if chosen is not settled:
        approve(chosen)
    return chosen


def _train(job: Job, command: str, resumed: bool) -> Result:
    handler = log_to(job.folder, job.accelerator)
    try:
        progress = _restore(job) if resumed else Progress()
        _record_steps(job, progress)
        job = _say_plan(job, progress.step)
        log.info("%-10s %s%s", "output", job.folder, f", resumed after step {progress.step:,}" if resumed else "")
        if not progress.step and job.budget is None:
            job.transfer.begin(job)
        ended = False
        while not ended:
            job, progress = _loop(job, progress, command)
            ended = progress.stopped_early or progress.step == job.schedule.total_steps
        return _finish(job, progress)
    except KeyboardInterrupt as error:  # a second Ctrl-C, or one after the last step
        raise StoppedError(
            f"Interrupted. Go on from the newest checkpoint with: {_resume_command(job, command)}"
        ) from error
    finally:
        if handler is not None:
            log.removeHandler(handler)
            handler.close()


def rehearse(
    config: TrainConfig,
    *,
    transfer: Transfer | None = None,
    approve: Callable[[Settled], object] = lambda settled: None,
    began: float | None = None,
) -> None:
    """Say the plan of a run and draw its learning rate as lr_curve.png here; train nothing and make no run folder.

    Raises:
        BotzooError: what ``train`` would raise before its first step.
    """
    began = time.perf_counter() if began is None else began
    check_output(config)
    settled = _say_plan(_keep_to_budget(with_batch_size(_approved(config, transfer, approve)), began), 0)
    decay = decay_words(config, settled.epochs, settled.task.headline.figure)
    title = f"{settled.architecture} on {Path(settled.data.name).resolve().name}: {decay}"

    def draw() -> None:
        path = free_name(Path("lr_curve"), ".png")
        seen = drawn(path, lambda: lr_figure(settled.schedule, settled.order.steps_per_epoch, title))
        log.info("%-10s none: a dry run%s", "output", f"; its learning rate is drawn in {path}" if seen else "")

    on_main(settled.accelerator, draw)
    end_trackers(settled.accelerator)


def range_test(config: TrainConfig, *, transfer: Transfer | None = None) -> None:
    """Try out learning rates far below and far above --lr, say which to take, and draw the losses as lr_finder.png here.

    Everything else is as in the run, but for what readies the network for its first step: new layers start at random. Nothing
    of it is kept and no run folder is made. What is said is in units of --lr, so before linear scaling.

    Raises:
        ConfigError: an epoch has too few steps, or the loss never falls.
        BotzooError: what ``train`` would raise before its first step.
    """
    settled = _ready(with_batch_size(with_choices(prepare(config, transfer or Transfer()))), 0)
    config = settled.config
    steps, accelerator = min(STEPS, settled.order.steps_per_epoch), settled.accelerator
    if steps < FEWEST:
        raise ConfigError(
            f"--find-lr needs an epoch of {FEWEST} steps and there are {steps}, of {settled.order.batch_size} images each: "
            "give a smaller --batch-size."
        )
    lowest, highest = (f"--lr {config.lr * factor(step, steps):.2g}" for step in (0, steps - 1))
    log.info("%-10s %d steps from %s to %s at a batch of %d", "range", steps, lowest, highest, settled.order.batch_size)
    losses = _sweep(settled, steps)
    found = suggest(losses, steps)
    title = f"{settled.architecture} on {Path(settled.data.name).resolve().name}: range test of the learning rate"

    def draw() -> Path:
        path = free_name(Path("lr_finder"), ".png")
        draw_range_test(losses, steps, config.lr, found, path, title)
        return path

    picture = from_main(accelerator, draw)
    end_trackers(accelerator)
    if found is None:
        raise ConfigError(
            f"The loss never falls between {lowest} and {highest} ({picture} shows it): look at the labels and at what is "
            "frozen, or give a --lr that is far from this one."
        )
    steepest, careful = (f"--lr {config.lr * value:.2g}" for value in (found.steepest, found.careful))
    log.info(
        "%-10s %s, where the loss falls fastest; a tenth of where it is least is %s", "suggested", steepest, careful
    )
    log.info("%-10s none: a range test; its losses are drawn in %s", "output", picture)


def _sweep(settled: Settled, steps: int) -> list[float]:
    """Return the losses of a range test, up to where they explode."""
    trainer = settled.trainer
    losses: list[float] = []
    trainer.schedule = Sweep(settled.schedule.peak, steps)
    for step, micro_batches in enumerate(_train_batches(settled, 0, steps)):
        losses.append(settled.accelerator.reduce(trainer.step(step, micro_batches), "mean").item())
        if exploded(losses, steps):
            return [loss for loss in losses if math.isfinite(loss)]
    return losses


def _say_plan(settled: SettledT, step: int) -> SettledT:
    """Ready the network for ``step``, fit the micro-batch to the memory, and log what is to happen."""
    settled = _ready(settled, step)
    for line in (*plan(settled), *settled.transfer.remark(settled)):
        log.info("%s", line)
    return settled


def _ready(settled: SettledT, step: int) -> SettledT:
    settled.trainer.start_epoch(lambda model: settled.transfer.set_trainable(model, _epoch(settled, step)))
    if settled.shortcut is not None:
        return settled
    return replace(settled, order=fit_memory(settled.trainer, settled.order, settled.largest_size))


def _keep_to_budget(settled: Settled, began: float) -> Settled:
    """Where there is a --budget, measure the speed and set the number of steps; ``began`` is when the command did."""
    config = settled.config
    if config.budget is None:
        return settled
    settled.transfer.begin(settled)  # it takes time too
    settled, seconds = _ready(settled, 0), seconds_of(config.budget)
    order, every = settled.order, config.checkpoint_every
    costs = measure(settled, _work(), seconds)
    before = agreed(time.perf_counter() - began)
    steps = fit_steps(seconds - before, costs, order.steps_per_epoch, every)
    if not steps:
        raise too_small(config.budget, before, costs, every)
    shortened = WARMUP * steps / order.steps_per_epoch
    warmup = (config.warmup, shortened) if config.warmup > shortened else None
    sizes = (order.steps_per_epoch, order.batch_size, every)
    budget = Budget(config.budget, seconds, before, steps, *sizes, costs, warmup)
    # Its steps take the budget's place in config.yaml, from which a resumed run goes on.
    config = replace(config, budget=None, steps=steps, warmup=min(config.warmup, shortened))
    return replace(resettled(settled, config, order), budget=budget)


def try_out(settled: Settled, seconds: float) -> float:
    """Return the training images that pass a second, found out by at least six steps and a small share of ``seconds``.

    No trace of it is left.
    """
    found = speed(_ready(settled, 0), _work(), seconds)
    forget_prepared(settled.accelerator)  # the network is wrapped anew for the run
    return found


def _work() -> Work:
    return Work(_train_batches, _eval_batches, _save_all)


def _save_all(settled: Settled, folder: Path) -> None:
    """Write a checkpoint and the best weights, as after an epoch that is better than all before."""
    checkpoint.save(folder / "checkpoints", Progress(), settled.trainer.state(), 1)
    _save_best(folder / BEST, settled.trainer.judged)
    if settled.config.soup is not None:
        _save_best(file_of(folder / "checkpoints", 1), settled.trainer.judged)


def _open(settled: Settled, folder: Path, command: str, resumed: bool, carry_on: CarryOn) -> Job:
    """Record what the run is in its folder."""
    accelerator = settled.accelerator
    teacher = settled.teacher.identity if settled.teacher is not None else None
    budget = settled.budget.facts() if settled.budget is not None else None
    facts = record_facts(folder, command, settled.images, accelerator, resumed=resumed, teacher=teacher, budget=budget)
    start_tracker(settled.config, accelerator, folder)
    history = History(folder / "metrics.jsonl", accelerator.is_main_process)
    return Job(**vars(settled), folder=folder, facts=facts, history=history, carry_on=carry_on)


def _epoch(job: Settled, step: int) -> int:
    return step // job.order.steps_per_epoch


def _restore(job: Job) -> Progress:
    """Take up the newest undamaged checkpoint, or begin again where there is none."""
    found = checkpoint.load_newest(job.folder / "checkpoints", job.accelerator.device)
    progress, tensors = found or (Progress(), None)
    same_everywhere(job.accelerator, progress.step, "checkpoint", "the run's folder")
    if job.accelerator.is_main_process:
        checkpoint.set_aside(job.folder / "checkpoints", progress.step)
    if tensors is not None:
        job.trainer.load_state(tensors)
        _let_fall(job, progress)
    job.history.rewind(progress.step)
    return progress


def _loop(job: Job, progress: Progress, command: str) -> tuple[Job, Progress]:
    """Take the remaining steps; evaluate and write a checkpoint after each epoch; return the run and where it stands then.

    That may be after an epoch before the last, where a run with a budget has time for more steps or fewer than it had.
    """
    config, order, trainer, accelerator = job.config, job.order, job.trainer, job.accelerator
    total = progress.step if progress.stopped_early else job.schedule.total_steps
    watch = _Watch(progress.seconds, order.batch_size)
    pace = Pace(job.facts.get("budget") if accelerator.is_main_process else None, total)
    reset_peak_memory(accelerator.device)
    losses: list[Tensor] = []
    with StopRequest(accelerator) as stop, _bar(job, progress) as bar, logging_redirect_tqdm([log]):
        for step, micro_batches in enumerate(_train_batches(job, progress.step, total), progress.step):
            epoch = _epoch(job, step)
            if step % order.steps_per_epoch == 0:
                trainer.start_epoch(lambda model, epoch=epoch: job.transfer.set_trainable(model, epoch))  # type: ignore[misc]
            losses.append(trainer.step(step, micro_batches))
            bar.update(order.batch_size)
            done = step + 1
            ends_epoch = done % order.steps_per_epoch == 0 or done == total
            stopping = stop.granted(done)
            saves = ends_epoch or stopping or (config.checkpoint_every and done % config.checkpoint_every == 0)
            if saves or done % config.engine.log_every == 0:
                loss = _mean_loss(job, losses, done)
                _log_train(job, done, loss, watch.speed(len(losses)), watch.seconds)
                if remark := pace.remark(done, watch.seconds):
                    log.warning("%s", remark)
                bar.set_postfix_str(f"loss {loss:.3f}")
                losses.clear()
                watch.restart()
            if ends_epoch:
                progress = _judge_epoch(job, progress, epoch + 1, done, watch)
            progress = replace(progress, step=done, seconds=watch.seconds)
            if saves:
                _save(job, progress)
            if stopping:
                raise _stopped(job, done, stop, command)
            if progress.stopped_early:
                break
            if ends_epoch and (refitted := _refitted(job, progress, pace)) is not job:
                return refitted, progress
            if saves:
                watch.restart()
    return job, progress


def _refitted(job: Job, progress: Progress, pace: Pace) -> Job:
    """Return a run with a budget that takes as many steps as fit by now, and record them; ``job`` where it stays as it is."""
    steps = from_main(job.accelerator, lambda: pace.refit(progress.step, progress.seconds))
    if steps == pace.steps:
        return job
    log.info("%-10s %s steps are what fits by now, where %s were planned", "budget", f"{steps:,}", f"{pace.steps:,}")
    config = replace(job.config, steps=steps)
    on_main(job.accelerator, lambda: record_config(job.folder, config))
    job = resettled(job, config, job.order)
    _record_steps(job, progress)
    _let_fall(job, progress)
    return job


def _record_steps(job: Job, progress: Progress) -> None:
    """Note in run.json from which step on a run with a budget has as many steps as it has, where that is not noted yet.

    What was noted of later steps is dropped: a damaged checkpoint may have brought the run back before them.
    """
    if (budget := job.facts.get("budget")) is None:
        return
    refits = [refit for refit in budget.get("refits", ()) if refit[0] <= progress.step]
    if (refits[-1][1] if refits else budget.get("steps")) != job.schedule.total_steps:
        refits.append((progress.step, job.schedule.total_steps))
    if refits != budget.get("refits", []):
        budget["refits"] = refits
        write_facts(job.folder, job.facts, job.accelerator)


def _save(job: Job, progress: Progress) -> None:
    """Write a checkpoint, unless the last update has ruined the weights, and drop what only those before it needed."""
    state, keep = job.trainer.state(), job.config.keep_checkpoints
    if not all(bool(p.isfinite().all()) for p in job.model.parameters() if p.requires_grad):
        raise _diverged(job, progress.step)
    folder = job.folder / "checkpoints"

    def write() -> None:
        checkpoint.save(folder, progress, state, keep)
        remove_others(folder, progress.ingredients)

    on_main(job.accelerator, write)


class _Watch:
    """Seconds of the run over all its sittings, and images per second since the last restart."""

    def __init__(self, seconds_before: float, batch_size: int) -> None:
        self.before, self.batch_size = seconds_before, batch_size
        self.began = self.window = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def speed(self, steps: int) -> float:
        return steps * self.batch_size / (time.perf_counter() - self.window)

    def restart(self) -> None:
        self.window = time.perf_counter()


def _train_batches(job: Settled, first: int, last: int) -> Iterator[list[Batch]]:
    if job.shortcut is not None:
        return job.shortcut.train_batches(job.order, first, last)
    transform: Transform = train_transform(job, job.train_size)
    small_epochs = job.config.data.train_scale_epochs
    if small_epochs is not None:
        transform = ProgressiveResizing(transform, small_epochs, train_transform(job, job.later_size))
    pin = job.accelerator.device.type == "cuda"
    workers = worker_count(job.config, job.accelerator)
    images = job.images["train"]
    if isinstance(images, Stream):
        return stream_train_batches(images, transform, job.order, first, last, workers=workers, pin=pin)
    return train_batches(images, transform, job.order, first, last, workers=workers, pin=pin)


def train_transform(job: Settled, size: int) -> TrainTransform:
    """Return the augmentation of a run's training images, which end ``size`` pixels wide."""
    return TrainTransform(
        size,
        job.preprocessing.interpolation,
        job.crop_min,
        job.hflip,
        job.config.seed,
        paper=job.config.paper_augment,
        augment=make_augment(job.config.augment, size, job.preprocessing.mean),
    )


def _judge(job: Job, role: str, keep_log_p: bool = False) -> Judged:
    """Evaluate the judged network on every image of a split."""
    images, trainer = job.images[role], job.trainer
    total = None if isinstance(images, Stream) and images.skip_corrupt else len(images)
    judged: Judged = evaluate(
        job.accelerator,
        trainer.judged,
        _eval_batches(job, role),
        trainer.normalise,
        total,
        job.task,
        everything=keep_log_p,
    )
    return judged


def _eval_batches(job: Settled, role: str) -> Iterator[Batch]:
    if job.shortcut is not None:
        return job.shortcut.eval_batches(job.order, role)
    images = job.images[role]
    read: Any = stream_eval_batches if isinstance(images, Stream) else eval_batches
    batches: Iterator[Batch] = read(
        images,
        EvalTransform(job.preprocessing),
        2 * job.order.micro_batch,
        rank=job.order.rank,
        world_size=job.order.world_size,
        workers=worker_count(job.config, job.accelerator),
        pin=job.accelerator.device.type == "cuda",
    )
    return batches


def _judge_epoch(job: Job, progress: Progress, epoch: int, step: int, watch: _Watch) -> Progress:
    """Evaluate on the validation split, keep the weights if they are the best so far, and count the epochs without gain."""
    evaluation = _judge(job, "validation")
    if not math.isfinite(evaluation.loss):
        raise _diverged(job, step)
    score, better = evaluation.score, evaluation.score > progress.best_accuracy
    if better:
        on_main(job.accelerator, lambda: _save_best(_best(job), job.trainer.judged))
        progress = replace(progress, best_accuracy=score, best_epoch=epoch)
    progress = _keep_for_soup(job, progress, Ingredient(epoch, score, evaluation.loss))
    if score > progress.reference_accuracy + job.config.min_delta:
        progress = replace(progress, reference_accuracy=score, epochs_without_gain=0)
    else:
        progress = replace(progress, epochs_without_gain=progress.epochs_without_gain + 1)
    patience = job.config.patience
    _log_evaluation(job, "validation", evaluation, epoch, step, watch.seconds)
    number, of = epochs_number(min(epoch, job.epochs)), epochs_number(job.epochs)
    log.info(
        "epoch %*s/%s  validation %s %.2f %%, loss %.4f, after %s%s",
        *(len(of), number, of, job.task.headline.figure, score, evaluation.loss, duration(watch.seconds)),
        " (best so far)" if better else "",
    )
    if patience is not None and progress.epochs_without_gain >= patience:
        log.info(
            "stopped early: validation %s no better for %d epochs",
            job.task.headline.figure,
            progress.epochs_without_gain,
        )
        return replace(progress, stopped_early=True)
    if step < job.schedule.total_steps and not job.carry_on(
        [row[job.task.headline.key] for row in job.history.of("validation")]
    ):
        return replace(progress, stopped_early=True)
    return _judge_plateau(job, progress, step)


def _keep_for_soup(job: Job, progress: Progress, epoch: Ingredient) -> Progress:
    """Where --soup is given, keep the weights of this epoch too as long as it is among the best."""
    if job.config.soup is None:
        return progress
    ingredients = best_of((*progress.ingredients, epoch), progress.best_epoch, job.config.soup)
    if epoch in ingredients:
        path = file_of(job.folder / "checkpoints", epoch.epoch)
        on_main(job.accelerator, lambda: _save_best(path, job.trainer.judged))
    return replace(progress, ingredients=ingredients)


def _judge_plateau(job: Job, progress: Progress, step: int) -> Progress:
    """Where --optim.decay is plateau, let the learning rate fall after every decay_patience epochs in a row without gain."""
    optim, waited = job.config.optim, progress.epochs_without_gain
    goes_on = step < job.schedule.total_steps and not progress.stopped_early
    if optim.decay != "plateau" or not goes_on or not waited or waited % optim.decay_patience:
        return progress
    progress = replace(progress, lr_falls=(*progress.lr_falls, step))
    _let_fall(job, progress)
    lr = job.trainer.schedule.lr(step)
    log.info(
        "validation %s no better for %d epochs: the learning rate falls to %.3g", job.task.headline.figure, waited, lr
    )
    return progress


def _let_fall(job: Job, progress: Progress) -> None:
    """Give the trainer the falls of the learning rate that only the run itself could know."""
    if progress.lr_falls:
        job.trainer.schedule = replace(job.schedule, falls=progress.lr_falls)


def _best(job: Job) -> Path:
    return job.folder / BEST


def _save_best(path: Path, model: nn.Module) -> None:
    beside = path.with_suffix(".part")
    try:
        save_file(checkpoint.to_cpu(model.state_dict()), beside)
        sync(beside)
        beside.rename(path)
    except Exception as error:  # safetensors reports a full disk by an error of its own
        beside.unlink(missing_ok=True)
        raise CheckpointError(
            f"The best weights cannot be written to {path} ({str(error).splitlines()[0]}). The checkpoints so far are kept: "
            f"make room or mend the permissions, then go on with --resume {path.parent.parent}."
        ) from error


def _load_best(job: Job, progress: Progress) -> Progress:
    """Load the best weights; where their file is damaged, say so and keep the last ones."""
    try:
        job.trainer.judged.load_state_dict(load_file(_best(job)))
    except (SafetensorError, OSError, RuntimeError) as error:
        log.warning("The best weights in %s are damaged (%s): the last ones are kept instead.", _best(job), error)
        return replace(progress, best_epoch=math.ceil(progress.step / job.order.steps_per_epoch))
    return progress


def _take_best(job: Job, progress: Progress) -> tuple[Progress, Soup | None]:
    """Load the weights of the best epoch on every process, or the average of several where --soup finds a better one."""
    loaded = from_main(job.accelerator, lambda: _load_best(job, progress))
    _share(job)
    if loaded.best_epoch != progress.best_epoch or len(progress.ingredients) < 2:
        return loaded, None
    best = checkpoint.to_cpu(job.trainer.judged.state_dict())
    job.transfer.set_trainable(job.model, _epoch(job, progress.step - 1))  # where it was resumed, a later epoch's
    soup = greedy_soup(progress.ingredients, lambda epochs: _taste(job, progress, epochs))
    kept = soup.taken and _average(job, progress, soup.epochs)
    if not kept:
        job.trainer.judged.load_state_dict(best)
    if kept != soup.taken or not soup.trials:  # for files that are damaged
        return loaded, None
    _log_soup(job, soup, progress)
    return loaded, soup


def _taste(job: Job, progress: Progress, epochs: tuple[int, ...]) -> Score | None:
    """Return what the validation split says of the average of the weights after ``epochs``, None where one is damaged."""
    if not _average(job, progress, epochs):
        return None
    evaluation = _judge(job, "validation")
    return Score(evaluation.score, evaluation.loss) if math.isfinite(evaluation.loss) else None


def _average(job: Job, progress: Progress, epochs: tuple[int, ...]) -> bool:
    """Give every process the average of the weights after ``epochs``, its BatchNorm statistics measured anew.

    Returns:
        False where the weights of one are damaged or gone.
    """
    files = [file_of(job.folder / "checkpoints", epoch) for epoch in epochs]

    def load() -> bool:
        try:
            job.trainer.judged.load_state_dict(average(files))
        except (SafetensorError, OSError, RuntimeError) as error:
            log.warning("%s cannot be averaged (%s): the last of them is left out.", ", ".join(map(str, files)), error)
            return False
        return True

    if not from_main(job.accelerator, load):
        return False
    _share(job)
    trainer, names = job.trainer, trained_norms(job.trainer.model)
    if names:
        judged = trainer.judged.eval()
        norms = [judged.get_submodule(name) for name in names]
        measure_norms(norms, partial(trainer.forward, model=judged), _last_inputs(job, progress.step), job.accelerator)
    return True


def _last_inputs(job: Job, step: int) -> Iterator[Tensor]:
    """Yield what the network saw on this process in the last steps before ``step``, as many as BatchNorm wants."""
    first = max(0, step - measuring_steps(job.order.batch_size, job.order.steps_per_epoch))
    for k, micro_batches in enumerate(_train_batches(job, first, step), first):
        for batch in micro_batches:
            yield job.trainer.inputs(k, batch)[0]


def _share(job: Job) -> None:
    """Give every process the judged weights of the first."""
    if job.accelerator.num_processes > 1:
        for tensor in job.trainer.judged.state_dict().values():
            torch.distributed.broadcast(tensor, 0)


def _log_soup(job: Job, soup: Soup, progress: Progress) -> None:
    for i, line in enumerate(told(soup)):
        log.info("%-10s %s", "" if i else "soup", line)
    for trial in soup.trials:
        record = {"step": progress.step, "split": "soup", "epochs": list(trial.epochs), "kept": trial.kept}
        job.history.add(record | trial.score._asdict())


def _log_train(job: Job, step: int, loss: float, speed: float, seconds: float) -> None:
    lr = job.trainer.schedule.lr(step - 1)
    figures = {"loss": loss, "lr": lr, "images_per_second": round(speed, 1)}
    job.history.add({"step": step, "split": "train", **figures, "seconds": round(seconds, 2)})
    job.accelerator.log({f"train/{name}": value for name, value in figures.items()}, step)


def _log_evaluation(job: Job, split: str, evaluation: Judged, epoch: int, step: int, seconds: float) -> None:
    figures = evaluation.figures
    counts = {"images": len(evaluation), "epoch": epoch, "seconds": round(seconds, 2)}
    job.history.add({"step": step, "split": split, **figures, **counts})
    job.accelerator.log({f"{split}/{name}": value for name, value in figures.items()}, step)


def _mean_loss(job: Job, losses: list[Tensor], done: int) -> float:
    """Return the mean loss of the last steps over all processes; raise if any of them is not finite."""
    every: Tensor = job.accelerator.reduce(torch.stack(losses), "mean").cpu()
    if bool(every.isfinite().all()):
        return float(every.mean())
    raise _diverged(job, done - len(losses) + int((~every.isfinite()).nonzero()[0]) + 1)


def _diverged(job: Job, step: int) -> DivergedError:
    lr = job.trainer.schedule.lr(step - 1)
    cause = (
        "the weights it started from or the images are the likely cause, since it has hardly begun"
        if step <= 2
        else "a learning rate that is too high is the likely cause, and --mixed-precision fp32 would tell"
    )
    saved = checkpoint.checkpoints(job.folder / "checkpoints")
    kept = f"The last good checkpoint is kept: {saved[-1]}. " if saved else ""
    return DivergedError(
        f"The loss became NaN or infinite at step {step:,} (learning rate {lr:.3g}); {cause}. {kept}"
        f"Begin a new run with a tenth of --lr, a longer --warmup or --optim.clip-grad 1"
        + (f", from --pretrained {_best(job)} if you like." if _best(job).exists() and job.shortcut is None else ".")
    )


def _stopped(job: Job, step: int, stop: StopRequest, command: str) -> StoppedError:
    return StoppedError(
        f"Stopped by {stop.name} after step {step:,} of {job.schedule.total_steps:,}; the checkpoint is written. "
        f"Go on with: {_resume_command(job, command)}",
        stop.exit_status,
    )


def _resume_command(job: Job, command: str) -> str:
    launcher = "" if job.order.world_size == 1 else " (under the same launcher)"
    return f"{program(command)} --resume {shlex.quote(str(job.folder))}{launcher}"


def program(command: str) -> str:
    """Return the words of ``command`` before its options, such as ``botzoo train``."""
    return " ".join(takewhile(lambda word: not word.startswith("-"), shlex.split(command)))


def _bar(job: Job, progress: Progress) -> Any:
    """Return the progress bar: images per second and time left, on a terminal and from the main process only."""
    quiet = not (job.accelerator.is_main_process and sys.stderr.isatty())
    total, initial = (steps * job.order.batch_size for steps in (job.schedule.total_steps, progress.step))
    return tqdm(
        None, "training", total, unit="img", unit_scale=True, initial=initial, disable=quiet, dynamic_ncols=True
    )


def _finish(job: Job, progress: Progress) -> Result:
    """Take the best weights, look at the test split for the first time, and write the model folder."""
    accelerator, watch = job.accelerator, _Watch(progress.seconds, job.order.batch_size)
    progress, soup = _take_best(job, progress)
    if job.shortcut is not None:
        job = job.shortcut.finished(job)
    split = "test" if "test" in job.images else "validation"
    evaluation = _judge(job, split, keep_log_p=True)
    held_out = _judge(job, "validation", keep_log_p=True) if split == "test" else None
    if split == "test":
        _log_evaluation(job, "test", evaluation, progress.best_epoch, progress.step, watch.seconds)
    memory = {"peak_memory_bytes": peak_memory(accelerator.device)}
    facts = job.facts | memory | {"seconds": round(watch.seconds, 1), "finished": time.strftime("%Y-%m-%d")}
    write_facts(job.folder, facts, accelerator)
    result = Result(job, split, evaluation, progress.best_epoch, progress.step, facts, held_out, soup)
    if accelerator.is_main_process:
        write_model_folder(
            result.model_folder,
            job.trainer.judged,
            job.preprocessing,
            job.data.class_names,
            tag=job.folder.name,
            license=settle_license(job.start.license, job.data.license, job.config.license),
            problem_type=job.task.problem_type,
        )
        _write_record(result, progress)
    end_trackers(accelerator)
    return result


def _write_record(result: Result, progress: Progress) -> None:
    """Write what the results are made from, in the manner of the run that is to come."""
    from types import SimpleNamespace

    job = result.job
    data = replace(job.config.data, crop_min=job.crop_min, hflip=job.hflip)
    epochs: dict[str, Any] = {} if job.config.steps is not None else {"epochs": int(job.epochs)}
    sizes: dict[str, Any] = {
        "batch_size": job.order.batch_size,
        "img_size": job.preprocessing.size,
        "mixed_precision": job.precision.name,
    }
    config = replace(job.config, data=data, **sizes, **epochs)
    network = SimpleNamespace(
        model=job.model, preprocessing=job.preprocessing, start=job.start, architecture=job.architecture
    )
    parts = {
        name: getattr(job, name) for name in ("data", "images", "left_out", "order", "trainer", "precision", "folder")
    }
    facts = result.facts | ({"soup": soup_facts(result.soup)} if result.soup is not None else {})
    run = SimpleNamespace(
        config=config, network=network, task=job.task, teacher=job.teacher, progress=progress, facts=facts, **parts
    )
    write_evaluation(run, result.split, result.evaluation)
    if result.held_out is not None:
        write_evaluation(run, "validation", result.held_out)
    write_facts(job.folder, run_facts(run), job.accelerator)
    record_config(job.folder, config)
