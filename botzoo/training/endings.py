"""How a run speaks while it goes and when it ends before its time: progress bar, stop requests, divergence."""

from __future__ import annotations

import shlex
import sys
from itertools import takewhile
from typing import Any

from tqdm.auto import tqdm

from botzoo.errors import DivergedError, StoppedError
from botzoo.training.interrupt import StopRequest
from botzoo.training.recording.checkpoint import checkpoints
from botzoo.training.state import Run
from botzoo.util.text import and_list


def show_progress(run: Run) -> tqdm[Any]:
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
    return StoppedError(
        f"Stopped by {stop.name} after step {run.progress.step:,} of {run.schedule.total_steps:,}; the checkpoint is written. "
        f"Go on with: {resume_command(run, command)}",
        stop.exit_status,
    )


def resume_command(run: Run, command: str) -> str:
    """Return the command that goes on with a run, or what to call from Python where the command has not all it needs."""
    if own := run.facts.get("own"):
        return (
            f"the same call from Python, with resume={str(run.folder)!r}, the same {and_list(own)} and no other options"
        )
    launcher = "" if run.order.world_size == 1 else " (under the same launcher)"
    return f"{program(command)} --resume {shlex.quote(str(run.folder))}{launcher}"


def program(command: str) -> str:
    """Return the words of ``command`` before its options, such as ``botzoo train``."""
    return " ".join(takewhile(lambda word: not word.startswith("-"), shlex.split(command)))


def diverged(run: Run, step: int) -> DivergedError:
    """Return the error of a run whose loss became NaN or infinite at ``step``: likely causes, and what is kept."""
    lr, best = run.schedule.lr(step - 1), run.folder / "checkpoints" / "best.safetensors"
    cause = (
        "the weights it started from or the images are the likely cause, since it has hardly begun"
        if step <= 2
        else "a learning rate that is too high is the likely cause, and --mixed-precision fp32 would tell"
    )
    saved = checkpoints(run.folder / "checkpoints")
    kept = f"The last good checkpoint is kept: {saved[-1]}. " if saved else ""
    whole = best.exists() and run.trainer.whole is run.trainer
    return DivergedError(
        f"The loss became NaN or infinite at step {step:,} (learning rate {lr:.3g}); {cause}. {kept}"
        f"Begin a new run with a tenth of --lr, a longer --warmup or --optim.clip-grad 1"
        + (f", from --pretrained {best} if you like." if whole else ".")
    )
