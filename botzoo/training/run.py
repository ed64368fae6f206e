"""One training run, top to bottom: set up, restore, open the folder, loop over the steps, end each epoch, finish.

Order, augmentation, learning rate and random numbers of step k depend on the seed and k only, so a run that was killed and
resumed ends as if nothing had happened. Only a --budget makes the number of steps depend on the clock. Everything that is not
the same for every run is a callback; see ``botzoo.training.callbacks``.
"""

import logging
import math
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm.contrib.logging import logging_redirect_tqdm

from botzoo.errors import CheckpointError
from botzoo.models.licence import combined_license
from botzoo.options.config import TrainConfig
from botzoo.training.autotune.batch_size import fit_memory
from botzoo.training.autotune.memory import peak_memory, reset_peak_memory
from botzoo.training.callbacks import Callback, load_states, states
from botzoo.training.distributed import end_trackers, from_main, on_main, same_everywhere, share_weights
from botzoo.training.endings import StopRequest, diverged, show_progress, stopped, told_how_to_go_on
from botzoo.training.plan import plan
from botzoo.training.recording import checkpoint
from botzoo.training.recording.facts import check_own, gain_facts, run_facts, write_evaluation
from botzoo.training.recording.folder import (
    RunLog,
    begin,
    check_output,
    open_folder,
    output_of,
    working_in,
    write_facts,
)
from botzoo.training.recording.log import Watch, log_evaluation, log_training, open_records
from botzoo.training.recording.room import check_room
from botzoo.training.setup import set_up
from botzoo.training.state import NOTHING, Own, Run
from botzoo.training.steps.evaluation import evaluate
from botzoo.training.steps.selection import undefined

log = logging.getLogger("botzoo")


def train(
    config: TrainConfig,
    callbacks: Sequence[Callback] = (),
    *,
    given: Collection[str] | None = None,
    command: str = "botzoo",
    resume: Path | None = None,
    own: Own | None = None,
) -> Run:
    """Train as ``config`` says and return the finished run, the same on every process.

    Args:
        config: everything that a user can choose.
        callbacks: what is added to the run, called in this order.
        given: names of the options that the user gave, while others may give way to what suits the data; by default those
            that differ from the defaults.
        command: as typed, for the card and the command to resume.
        resume: folder of a run of ``config`` to go on with.
        own: objects of a user's own in the place of what options name.

    Raises:
        StoppedError: SIGINT, SIGTERM, SIGHUP or SIGQUIT came, the checkpoint is written.
        LostProcessError: a process that it needs has died.
        DivergedError: the loss became NaN or infinite.
        BotzooError: anything else that a user can mend, in one line.
    """
    if resume is None:
        check_output(config)
    else:  # before the data set, which may have been in memory, is looked for by its name
        check_own(resume, own or NOTHING)
    with ExitStack() as stack:
        lines = stack.enter_context(RunLog())
        run = set_up(config, callbacks, given, own, resumed=resume is not None)
        if resume is not None:
            run.place = resume
            stack.enter_context(working_in(resume, run.accelerator))  # before the checkpoints in it are touched
            restore(run, callbacks)  # before the callbacks ready the run: where it stands decides what is trained
            open_records(run, command, resumed=True)
        stack.enter_context(told_how_to_go_on(run, command))
        ready(run, callbacks)
        on_main(run.accelerator, lambda: check_room(run, resume or output_of(run.config)))
        if resume is None:  # nothing is refused any more
            run.place = open_folder(run.config, run.accelerator)
            stack.enter_context(working_in(run.folder, run.accelerator))
            begin(run.folder, run.config, run.accelerator)  # the lock is held by now
            open_records(run, command, resumed=False)
        if run.is_main:  # what was logged since the call began is written first
            lines.write_to(run.folder / "log.txt")
        # The plan comes last: what the memory holds and what fits into a budget has been measured by now.
        for line in plan(run, callbacks):
            log.info("%s", line)
        step = run.progress.step
        log.info("%-10s %s%s", "output", run.folder, f", resumed after step {step:,}" if resume is not None else "")
        for callback in callbacks:
            callback.on_open(run)
        while not run.progress.stopped_early and run.progress.step < run.schedule.total_steps:
            loop(run, callbacks, command)
            start_epoch(run, callbacks)  # where a budget has changed the length, the loop begins again
        finish(run, callbacks)
    return run


def ready(run: Run, callbacks: Sequence[Callback]) -> None:
    """Ready the network for the first step of this session, with a micro-batch that the memory holds."""
    start_epoch(run, callbacks)
    if run.trainer.whole is run.trainer:  # features in the place of images take next to no memory
        run.order = fit_memory(run.trainer, run.order, run.feed.whole.largest_size)
    for callback in callbacks:
        callback.on_train_start(run)


def start_epoch(run: Run, callbacks: Sequence[Callback], *, anew: bool = False) -> None:
    """Let the callbacks set what is trained from ``run.progress.step`` on, then put the network into training mode."""
    for callback in callbacks:
        callback.on_epoch_start(run, run.epoch_of(run.progress.step))
    run.trainer.start_epoch(anew=anew)


def restore(run: Run, callbacks: Sequence[Callback]) -> None:
    """Take up the newest undamaged checkpoint, or begin again where there is none."""
    folder = run.folder / "checkpoints"
    if (found := checkpoint.load_newest(folder, run.accelerator.device)) is not None:
        run.progress, tensors = found
        run.trainer.load_state(tensors)
        load_states(callbacks, run.progress.callbacks)
    same_everywhere(run.accelerator, run.progress.step, "checkpoint", "the run's folder")
    if run.is_main:
        checkpoint.set_later_aside(folder, run.progress.step)


def loop(run: Run, callbacks: Sequence[Callback], command: str) -> None:
    """Take the remaining steps, until a callback ends the run or changes its length; evaluate and save after each epoch."""
    config, order, total = run.config, run.order, run.schedule.total_steps
    watch = Watch(run.progress.seconds, order.batch_size)
    reset_peak_memory(run.accelerator.device)
    losses: list[Tensor] = []  # on the device, and fetched where they are logged only: fetching waits for the GPU
    with StopRequest(run.accelerator) as stop, show_progress(run) as bar, logging_redirect_tqdm([log] * run.is_main):
        first = run.progress.step
        for step, micro_batches in enumerate(run.feed.train_batches(order, first, total), first):
            if step > first and step % order.steps_per_epoch == 0:  # ``train`` has started the epoch of the first step
                start_epoch(run, callbacks)
            losses.append(run.trainer.step(step, micro_batches))
            bar.update(order.batch_size)
            done = step + 1
            ends_epoch = done % order.steps_per_epoch == 0 or done == total
            stopping = stop.granted(done)
            saves = ends_epoch or stopping or (config.checkpoint_every and done % config.checkpoint_every == 0)
            if saves or done % config.engine.log_every == 0:  # a loss that is not finite ends the run here, unsaved
                loss = log_training(run, callbacks, done, losses, watch)
                bar.set_postfix_str(f"loss {loss:.3f}")
            run.progress = replace(run.progress, step=done, seconds=watch.seconds)
            if ends_epoch:
                end_epoch(run, callbacks, watch)
            if saves:  # after the evaluation, whose outcome a resumed run must know
                save(run, callbacks, replace(run.progress, seconds=watch.seconds))
            if stopping:
                raise stopped(run, stop, command)
            if run.progress.stopped_early or run.schedule.total_steps != total:
                return
            if saves:
                watch.restart()  # images per second are those of training alone


def end_epoch(run: Run, callbacks: Sequence[Callback], watch: Watch) -> None:
    """Evaluate on the validation split, keep the weights if they are the best so far, and ask the callbacks."""
    step, epoch = run.progress.step, run.epochs_done
    evaluation = evaluate_split(run, "validation")
    if evaluation.loss is not None and not math.isfinite(evaluation.loss):
        raise diverged(run, step)
    if math.isnan(run.score(evaluation)):  # of a stream, whose labels nobody knew beforehand
        raise undefined(run.config.select_by, run.task)
    better = keep_best(run, evaluation, epoch)
    run.progress = replace(run.progress, seconds=watch.seconds)
    log_evaluation(run, "validation", evaluation, epoch, watch.seconds, better)
    answers = [callback.on_epoch_end(run, evaluation) for callback in callbacks]  # all of them, whatever the first says
    if False in answers:
        run.progress = replace(run.progress, stopped_early=True)


def keep_best(run: Run, evaluation: Any, epoch: int) -> bool:
    """Keep the weights that were evaluated after ``epoch``, 0 for the start, if they are better than all before; say if so."""
    score = run.score(evaluation)
    better = score > run.progress.best_score  # of equal ones the earliest is kept
    if better:
        # Before the checkpoint that names it: a run that is killed in between takes these steps again, and writes it anew.
        path, state = run.folder / checkpoint.BEST, run.trainer.evaluated.state_dict()
        digest = from_main(run.accelerator, lambda: checkpoint.save_weights(path, state))
        run.progress = replace(run.progress, best_score=score, best_epoch=epoch, best_digest=digest)
    return better


def evaluate_split(run: Run, role: str, *, keep: bool = False) -> Any:
    """Evaluate the network on every image of a split; ``keep`` the probabilities of all classes, if there is room."""
    trainer, batches, images = run.trainer, run.feed.eval_batches(run.order, role), run.images[role]
    evaluated = evaluate(
        run.accelerator,
        trainer.evaluated,
        batches,
        trainer.normalise,
        images.evaluated,
        run.task,
        everything=keep or run.criterion.ranks,
    )
    return evaluated if images.groups is None else replace(evaluated, groups=images.groups)


def save(run: Run, callbacks: Sequence[Callback], progress: checkpoint.Progress) -> None:
    """Write a checkpoint, unless the last update has ruined the weights."""
    if not all(bool(p.isfinite().all()) for p in run.model.parameters() if p.requires_grad):
        raise diverged(run, progress.step)
    run.progress = replace(progress, callbacks=states(callbacks))
    folder, tensors, keep = run.folder / "checkpoints", run.trainer.state(), run.config.keep_checkpoints
    on_main(run.accelerator, lambda: checkpoint.save(folder, run.progress, tensors, keep))


def finish(run: Run, callbacks: Sequence[Callback]) -> None:
    """Take the best weights, look at the test split for the first time, and write model folder, evaluation and run.json."""
    watch = Watch(run.progress.seconds, run.order.batch_size)
    run.progress = from_main(run.accelerator, lambda: load_best(run))
    share_weights(run.accelerator, run.trainer.evaluated)
    for callback in callbacks:  # a soup may take other weights, and features give way to images again
        callback.on_train_end(run)
    evaluations = {role: evaluate_split(run, role, keep=True) for role in ("validation", "test") if role in run.images}
    if "test" in evaluations:
        log_evaluation(run, "test", evaluations["test"], run.progress.best_epoch, watch.seconds)
    run.facts |= {"peak_memory_bytes": peak_memory(run.accelerator.device), "seconds": round(watch.seconds, 1)}
    run.facts["finished"] = time.strftime("%Y-%m-%d")

    def write() -> None:
        run.task.write_folder(
            run.folder / "model",
            run.trainer.evaluated,
            run.preprocessing,
            run.data.class_names,
            tag=run.folder.name,
            license=combined_license(run.network.start.license, run.data.license, run.config.license),
        )
        for role, evaluation in evaluations.items():
            write_evaluation(run, role, evaluation)
        run.facts |= gain_facts(run, evaluations["validation"])
        # run.json last: it has the SHA-256 of the weights, and says by that that the run is complete.
        run.facts = run_facts(run)
        write_facts(run.folder, run.facts)

    on_main(run.accelerator, write)
    for callback in callbacks:  # on what is written: a report, then a publication
        callback.on_finish(run)
    end_trackers(run.accelerator)


def load_best(run: Run) -> checkpoint.Progress:
    """Load the best weights; where their file is damaged or another run's, say so and keep the last ones."""
    try:
        weights = checkpoint.load_weights(run.folder / checkpoint.BEST, run.progress.best_digest)
        run.trainer.evaluated.load_state_dict(weights)
    except (CheckpointError, RuntimeError) as error:
        if not run.progress.best_epoch:  # those that the run started from: no epoch was as good
            raise CheckpointError(f"The best weights cannot be taken ({error}): begin the run again.") from error
        run.facts["best_lost"] = True
        log.warning("The best weights cannot be taken (%s): the last ones are kept instead.", error)
        return replace(run.progress, best_epoch=run.epochs_done)
    return run.progress
