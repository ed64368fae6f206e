"""A process that the run needs and that has died, and signals that come while workers start."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from botzoo.data.loader import load
from botzoo.errors import LostProcessError
from botzoo.training.endings import lost_process
from botzoo.util.guard import ENDING
from running import TINY, bare, run_distributed


class Numbers(torch.utils.data.Dataset[int]):
    """Its rows are what they are asked for by, and a negative one a kill."""

    def __getitem__(self, row: int) -> int:
        if row < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return row


def test_signals_do_not_reach_a_worker_from_its_first_moment_on() -> None:
    class Blocked(Numbers):
        def __getitem__(self, row: int) -> Any:
            return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    (blocked,) = load(Blocked(), [[0]], lambda rows: rows[0], 1, pin=False)
    assert {*ENDING} <= {*blocked}
    assert not {*ENDING} & {*signal.pthread_sigmask(signal.SIG_BLOCK, ())}


def test_a_killed_worker_is_named() -> None:
    with pytest.raises(RuntimeError) as caught:
        list(load(Numbers(), [[-1]], list, 1, pin=False))
    assert "decodes images has died" in str(lost_process(caught.value, 1))


@pytest.mark.parametrize(
    "said",
    [
        "mat1 and mat2 shapes cannot be multiplied",
        "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback ...",  # a transform of a user's own
        "Connection reset by peer",  # of a server, where this process is the only one
    ],
)
def test_other_errors_are_not_taken_for_a_lost_process(said: str) -> None:
    assert lost_process(RuntimeError(said), 1) is None


def lose_one(options: dict[str, Any], said: str) -> None:
    """Train in one of several processes, of which one is killed after some steps; write down what the other says."""
    from running import signal_at_step

    if os.environ["RANK"] == "1":
        signal_at_step(signal.SIGKILL, 3, total=True)
    try:
        bare(options)
    except LostProcessError as error:
        Path(said).write_text(str(error))


@pytest.mark.slow
def test_where_one_of_several_processes_is_killed_the_others_say_how_to_go_on(photos: Path, tmp_path: Path) -> None:
    options = {**TINY, "dataset": str(photos), "output": str(tmp_path / "run"), "mixed_precision": "fp32"}
    assert run_distributed(2, lose_one, options, str(tmp_path / "said")) == [0, -signal.SIGKILL]
    assert f"botzoo-finetune --resume {tmp_path / 'run'}" in (tmp_path / "said").read_text()
