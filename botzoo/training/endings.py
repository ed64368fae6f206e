"""How a run speaks while it goes and how it ends before its time: progress bar, signals, lost processes, divergence."""

import multiprocessing
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from botzoo.errors import DivergedError, LostProcessError, StoppedError
from botzoo.training.recording.checkpoint import BEST, checkpoints
from botzoo.training.state import Run
from botzoo.util.guard import ENDING, ended_by
from botzoo.util.text import and_list, brief, program

POLL_STEPS = 10
"""On several GPUs the processes agree on stopping every so many steps, on CPUs at each."""


class StopRequest:
    """While entered, remembers the first of ``ENDING`` for the loop, which stops between steps; a second acts as usual."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals come to the main thread alone, so that a run in another one cannot be asked to stop
        for number in ENDING:
            if number != getattr(signal, "SIGHUP", None) or signal.getsignal(number) is not signal.SIG_IGN:  # by nohup
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def granted(self, step: int) -> bool:
        """Tell whether to stop after ``step`` steps, the same on every process."""
        if self.accelerator.num_processes == 1:
            return self.signal is not None
        if self.accelerator.device.type != "cpu" and step % POLL_STEPS:  # agreeing makes a GPU wait for the others
            return False
        wishes = torch.tensor(float(self.signal is not None), device=self.accelerator.device)
        return bool(self.accelerator.reduce(wishes, "sum") > 0)


def show_progress(run: Run) -> "tqdm[Any]":
    """Return the progress bar, in images with the time left: on a terminal or in a notebook, from the main process only."""
    quiet = not (run.is_main and (sys.stderr.isatty() or in_notebook()))
    total, initial = (steps * run.order.batch_size for steps in (run.schedule.total_steps, run.progress.step))
    return tqdm(
        None, "training", total, unit="img", unit_scale=True, initial=initial, disable=quiet, dynamic_ncols=True
    )


def in_notebook() -> bool:
    """Tell whether this is the kernel of a notebook."""
    return "ipykernel" in sys.modules and hasattr(sys.modules.get("IPython"), "get_ipython")


def stopped(run: Run, stop: StopRequest, command: str) -> StoppedError:
    """Return the error of a run that was asked to stop, after its checkpoint has been written."""
    name = stop.signal.name if stop.signal is not None else "another process"
    where = f"Stopped by {name} after step {run.progress.step:,} of {run.schedule.total_steps:,}"
    status = 128 + (stop.signal or signal.SIGTERM)  # as a shell reports it
    cure = f"Go on with: {resume_command(run, command)}"
    return StoppedError(f"{where}; the checkpoint is written.", status, cure=cure)


def resume_command(run: Run, command: str) -> str:
    """Return the command that goes on with a run, or what to call from Python where the command has not all it needs."""
    if own := run.facts.get("own"):
        call = f"the same call from Python, with resume={str(run.folder)!r}"
        return f"{call}, the same {and_list(own)} and no other options"
    launcher = "" if run.order.world_size == 1 else " (under the same launcher)"
    return f"{program(command)} --resume {shlex.quote(str(run.folder))}{launcher}"


@contextmanager
def told_how_to_go_on(run: Run, command: str) -> Iterator[None]:
    """Within the block, make one line with the command to go on of a second Ctrl-C and of a process that has died."""
    try:
        yield
    except KeyboardInterrupt as error:  # or one after the last step
        said = f"Interrupted. {how_to_go_on(run, command)}"
        raise StoppedError(said, 128 + ended_by(error)) from error
    except RuntimeError as error:
        if (lost := lost_process(error, run.order.world_size)) is None:
            raise
        for worker in multiprocessing.active_children():  # they may wait for what the dead one held, and then for ever
            worker.kill()
        raise LostProcessError(f"{lost}. {how_to_go_on(run, command)}") from error


def how_to_go_on(run: Run, command: str) -> str:
    """Return what to type after an end that wrote no checkpoint."""
    if run.place is None:
        return "Nothing is written yet: give the same command again."
    return f"Go on from the newest checkpoint with: {resume_command(run, command)}"


def lost_process(error: RuntimeError, processes: int) -> str | None:
    """Return which process has died where that is what ``error`` says, of a run of so many ``processes``, else None."""
    said = str(error)
    if said.startswith("DataLoader worker (pid"):  # torch raises it in whatever it interrupts; others begin otherwise
        how = re.search(r"killed by signal: ([^.]+)", said)
        why = f" (killed by a signal: {how[1]})" if how else ""
        return f"A process that decodes images has died{why}, as where memory runs out"
    if processes > 1 and re.search(r"gloo|NCCL|Connection (closed|reset) by peer", said):
        return f"Another process of this run has died ({brief(error, 80)})"
    return None


def diverged(run: Run, step: int) -> DivergedError:
    """Return the error of a run whose loss became NaN or infinite at ``step``: likely causes, and what is kept."""
    lr, best = run.schedule.lr(step - 1), run.folder / BEST
    cause = "a learning rate that is too high is the likely cause, and --mixed-precision fp32 would tell"
    if step <= 2:  # a rate that is too high takes some steps to show
        cause = "the weights it started from or the images are the likely cause, since it has hardly begun"
    saved = checkpoints(run.folder / "checkpoints")
    kept = f"The last good checkpoint is kept: {saved[-1]}. " if saved else ""
    whole = best.exists() and run.trainer.whole is run.trainer  # else it holds the classifier alone
    return DivergedError(
        f"The loss became NaN or infinite at step {step:,} (learning rate {lr:.3g}); {cause}. {kept}"
        f"Begin a new run with a tenth of --lr, a longer --warmup or --optim.clip-grad 1"
        + (f", from --pretrained {best} if you like." if whole else ".")
    )
