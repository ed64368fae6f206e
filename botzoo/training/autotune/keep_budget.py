"""--budget: the speed is measured before the first step, and the number of steps set so that the run ends on time."""

import logging
import time
from collections.abc import Iterable, Sequence

from botzoo.options.accepted import seconds_of
from botzoo.tasks.task import Evaluation
from botzoo.training.autotune.budget import WARMUP, Budget, Pace, fit_steps, too_small
from botzoo.training.autotune.speed import agreed, measure
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import from_main
from botzoo.training.recording.folder import record_config, write_facts
from botzoo.training.state import Run

log = logging.getLogger("botzoo")


class KeepBudget(Callback):
    """Sets the number of steps by the speed before the first one, and again after each epoch.

    It stands behind all callbacks that take time at the start of the run or set what is trained: their time counts too.

    Args:
        others: the callbacks before it, which set what is trained in each epoch.
        began: ``time.perf_counter()`` when the command began, from which on the time counts; by default now.
    """

    def __init__(self, others: Sequence[Callback] = (), began: float | None = None) -> None:
        self.others = others
        self.began = time.perf_counter() if began is None else began
        self.budget: Budget | None = None
        self.pace: Pace | None = None

    def on_train_start(self, run: Run) -> None:
        """Measure and set the length of a new run; take up the budget of one that goes on."""
        config, order = run.config, run.order
        if config.budget is not None:
            seconds, every = seconds_of(config.budget), config.checkpoint_every
            costs = measure(run, self.others, seconds)
            before = agreed(time.perf_counter() - self.began)
            steps = fit_steps(seconds - before, costs, order.steps_per_epoch, every)
            if not steps:
                raise too_small(config.budget, before, costs, every)
            shortened = WARMUP * steps / order.steps_per_epoch
            warmup = (config.warmup, shortened) if config.warmup > shortened else None
            sizes = (order.steps_per_epoch, order.batch_size, every)
            self.budget = Budget(config.budget, seconds, before, steps, *sizes, costs, warmup)
            run.facts["budget"] = self.budget.facts()
            # Its steps take the budget's place in config.yaml, from which a resumed run goes on.
            run.set_length(steps, min(config.warmup, shortened))
        elif "budget" in run.facts:
            self._note(run)
        if (facts := run.facts.get("budget")) is not None:
            self.pace = Pace(facts, run.schedule.total_steps)

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say what was measured and what fits."""
        return [("budget", line) for line in self.budget.lines()] if self.budget is not None else []

    def on_log(self, run: Run, record: dict[str, float]) -> None:
        """Warn where the run will be late."""
        if self.pace is not None and (remark := self.pace.remark(int(record["step"]), record["seconds"])):
            log.warning("%s", remark)

    def on_epoch_end(self, run: Run, evaluation: Evaluation) -> None:
        """Set as many steps as fit by now."""
        pace, progress = self.pace, run.progress
        if pace is None:
            return
        steps = from_main(run.accelerator, lambda: pace.refit(progress.step, progress.seconds))
        if steps == pace.steps:
            return
        log.info(
            "%-10s %s steps are what fits by now, where %s were planned", "budget", f"{steps:,}", f"{pace.steps:,}"
        )
        run.set_length(steps)
        self.pace = Pace(run.facts["budget"], steps)
        if run.is_main and run.place is not None:
            record_config(run.folder, run.config)
        self._note(run)

    def _note(self, run: Run) -> None:
        """Note in run.json from which step on the run has as many steps as it has, where that is not noted yet.

        What was noted of later steps is dropped: a damaged checkpoint may have brought the run back before them.
        """
        budget, step, total = run.facts["budget"], run.progress.step, run.schedule.total_steps
        refits = [refit for refit in budget.get("refits", ()) if refit[0] <= step]
        if (refits[-1][1] if refits else budget.get("steps")) != total:
            refits.append((step, total))
        if refits != budget.get("refits", []):
            budget["refits"] = refits
            if run.is_main and run.place is not None:
                write_facts(run.folder, run.facts)
