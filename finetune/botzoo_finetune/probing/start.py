"""What fine-tuning starts from, and what it has to beat: the frozen network with the classifier of a linear probe."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botzoo.data.images import Images
from botzoo.models.layers import head_names, linear_classifier
from botzoo.tasks.answers import read_answers, write_answers
from botzoo.tasks.task import Evaluation
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import from_main
from botzoo.training.run import evaluate_split, keep_best
from botzoo.training.state import Run
from botzoo.util.files import differing_from, sha256_of
from botzoo.util.text import counted
from botzoo_finetune.probing import probe as probes
from botzoo_finetune.probing.first_look import Look, in_part, no_probe

log = logging.getLogger("botzoo")

ANSWERS = Path("evaluation") / "start.parquet"
"""What the network answered before its first step for each image of the validation split, in a run's folder."""


class StartFromProbe(Callback):
    """Gives the network's classifier the weights of a probe on its own features (LP-FT), and keeps it where nothing beats it.

    The frozen network with the best probe is the run's candidate 0: it is evaluated before the first step as an epoch is
    after its last, and an epoch takes its place only with a higher figure. Training itself starts from the best probe
    where the body stays ``frozen``; elsewhere from one with smaller weights, which pass smaller gradients on to the body.

    Nothing is done where the classifier came with the weights, is no linear layer, or the images are streamed.

    Args:
        frozen: whether the body stays as it is.
        evaluates: False where no step is taken, so that there is nothing to beat the start.
    """

    looks_at_train = True

    def __init__(self, frozen: bool = False, *, evaluates: bool = True) -> None:
        self.frozen, self.evaluates = frozen, evaluates
        self.probe: probes.Linear | None = None
        self.sha256 = ""  # of the file of candidate 0's answers

    def state(self) -> dict[str, Any]:
        """Return the digest of what the run is compared with at its end."""
        return {"sha256": self.sha256} if self.sha256 else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on comparing with it."""
        self.sha256 = state["sha256"]

    def on_train_start(self, run: Run) -> None:
        """Fit the probe and evaluate the network with it, before the first step; of a run that goes on, recall the answers."""
        if run.progress.step:
            run.start = recalled(run, self.sha256) if self.sha256 else None
            return
        layer, report = linear_classifier(run.model), run.network.start.report
        whole = all(isinstance(images, Images) for images in run.images.values())
        known = report is None or set(head_names(run.model)) <= set(report.loaded)  # it came with the weights
        if layer is None or known or not whole:
            return
        if (why := no_probe(run)) is not None:
            log.info("%-10s the classifier starts at random: %s", "probe", why)
            return
        look = Look(in_part(run))
        seen, self.probe = look.probe.evaluation, look.probe.linear
        probes.start_classifier(layer, self.probe if self.frozen else look.start)
        run.trainer.restart_average()  # which holds the classifier that the network came with
        low, high = seen.interval()
        share = (
            f"{seen.score:.2f} % on {counted(len(seen), 'validation image')} (95 % interval {low:.2f} to {high:.2f})"
        )
        log.info("%-10s %s by a linear classifier on the network's features, %s", "probe", share, look.after)
        which = "it" if self.frozen else "one with smaller weights"
        log.info("%-10s the classifier starts from %s (LP-FT); the whole report: --probe", "", which)
        if not self.evaluates:
            return
        with self._as_probed(run):
            run.start = evaluate_split(run, "validation")
        run.trainer.start_epoch()  # back into training mode

    def on_open(self, run: Run) -> None:
        """Keep the weights of candidate 0, which an epoch has to beat, and its answers."""
        start = run.start
        if run.progress.step or start is None:
            return
        with self._as_probed(run):
            keep_best(run, start, 0)
        run.history.add({"step": 0, "split": "start", **run.criterion.figures(start), "images": len(start), "epoch": 0})

        def write() -> str:
            write_answers(run.folder / ANSWERS, run.images["validation"].names(), start.answers)
            return sha256_of(run.folder / ANSWERS)

        self.sha256 = from_main(run.accelerator, write)
        chosen_by = run.criterion.beside(start)
        figure = f"validation {run.task.headline.figure} {start.score:.2f} %{chosen_by}, loss {start.loss:.4f}"
        log.info("%-10s %s: the frozen network with its probe, kept unless an epoch is better", "start", figure)

    @contextmanager
    def _as_probed(self, run: Run) -> Iterator[None]:
        """Let the network have the best probe for its classifier within the block."""
        layer = linear_classifier(run.model)
        assert layer is not None
        assert self.probe is not None
        own = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
        probes.start_classifier(layer, self.probe)
        run.trainer.restart_average()
        try:
            yield
        finally:
            layer.load_state_dict(own)
            run.trainer.restart_average()


def recalled(run: Run, sha256: str) -> Evaluation | None:
    """Return the evaluation of candidate 0 of a run that goes on, None where the file of its answers is damaged."""
    path = run.folder / ANSWERS
    if differing_from({path.name: sha256}, path.parent) is not None:
        log.warning("%s is damaged: what training gains from here on is not compared with the start.", path)
        return None
    found: Evaluation = run.task.evaluation(read_answers(path)[1])
    return found
