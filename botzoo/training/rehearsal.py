"""What can be done instead of training: saying the plan, and trying out learning rates. No run folder is made."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from botzoo.options.config import TrainConfig
from botzoo.training.autotune.lr_range import range_test
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import end_trackers, on_main
from botzoo.training.plan import decay_words, plan
from botzoo.training.recording.folder import check_output
from botzoo.training.recording.history import lr_figure
from botzoo.training.run import ready, start_epoch
from botzoo.training.setup import set_up
from botzoo.training.state import Own
from botzoo.util.files import free_name
from botzoo.util.outgoing import last_part
from botzoo.util.pictures import drawn

log = logging.getLogger("botzoo")


def dry_run(
    config: TrainConfig,
    callbacks: Sequence[Callback] = (),
    given: Collection[str] | None = None,
    own: Own | None = None,
) -> None:
    """Say the plan of a run and draw its learning rate as lr_curve.png here.

    Raises:
        BotzooError: what ``train`` would raise before its first step.
    """
    check_output(config)
    run = set_up(config, callbacks, given, own)
    ready(run, callbacks)
    for line in plan(run, callbacks):
        log.info("%s", line)
    decay = decay_words(run.config, run.epochs, run.criterion.figure)
    title = f"{run.network.architecture} on {last_part(run.data.name)}: {decay}"

    def draw() -> None:
        path = free_name(Path("lr_curve"), ".png")
        seen = drawn(path, lambda: lr_figure(run.schedule, run.order.steps_per_epoch, title))
        log.info("%-10s none: a dry run%s", "output", f"; its learning rate is drawn in {path}" if seen else "")

    on_main(run.accelerator, draw)
    end_trackers(run.accelerator)


def steps_in_budget(config: TrainConfig, callbacks: Sequence[Callback], given: Collection[str]) -> int:
    """Return how many steps fit into the --budget of a run that begins now.

    Raises:
        BotzooError: what ``train`` would raise before its first step.
    """
    run = set_up(config, callbacks, given)
    ready(run, callbacks)
    end_trackers(run.accelerator)
    return run.schedule.total_steps


def find_lr(
    config: TrainConfig,
    callbacks: Sequence[Callback] = (),
    given: Collection[str] | None = None,
    own: Own | None = None,
) -> None:
    """Try out learning rates and say which to take; see ``range_test``.

    Raises:
        BotzooError: what ``train`` would raise before its first step, or the loss never falls.
    """
    run = set_up(config, callbacks, given, own)
    start_epoch(run, callbacks)
    range_test(run)
