"""Model soups: the weights of several epochs averaged, where the validation split finds their average better than the best.

M. Wortsman et al., *Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
inference time*, ICML 2022, arXiv:2203.05482, recipe 1, the greedy soup. Its ingredients are epochs of one run here, as where
the last checkpoints are averaged (A. Vaswani et al., *Attention Is All You Need*, 2017, section 6.1) and in stochastic weight
averaging (P. Izmailov et al., 2018, arXiv:1803.05407).
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from torch import Tensor

from botzoo.errors import CheckpointError
from botzoo.models.layers import measure_norms, measuring_steps, trained_norms
from botzoo.tasks.metrics.metric import Criterion
from botzoo.tasks.task import Evaluation
from botzoo.training.callbacks import Callback
from botzoo.training.distributed import from_main, share_weights
from botzoo.training.recording.checkpoint import load_weights, save_weights
from botzoo.training.run import evaluate_split
from botzoo.training.state import Run
from botzoo.util.text import and_list, under

log = logging.getLogger("botzoo")

TOP1 = Criterion("top-1", "top1")


class Score(NamedTuple):
    """What the validation split says: the points of what chooses the epoch, mean negative log-likelihood in nats.

    The loss is None where an evaluation has none.
    """

    points: float
    loss: float | None

    def beats(self, other: Self) -> bool:
        """Tell whether the points are more, or as many at a lower loss."""
        return (self.points, -(self.loss or 0)) > (other.points, -(other.loss or 0))


class Ingredient(NamedTuple):
    """An epoch whose weights are kept: its number, counted from 1, and what the validation split says of it alone.

    ``digest`` is that of the weights, once they are written; see ``save_weights``.
    """

    epoch: int
    points: float
    loss: float | None
    digest: str | None = None


class Trial(NamedTuple):
    """An average that was tried: the epochs in it, the last one new; its score; whether that one was kept in it."""

    epochs: tuple[int, ...]
    score: Score
    kept: bool


@dataclass(frozen=True)
class Soup:
    """What came of averaging.

    Attributes:
        ingredients: the epochs that there were, the run's best first.
        trials: the averages in the order of trial.
        by: what chose them.
    """

    ingredients: tuple[Ingredient, ...]
    trials: tuple[Trial, ...] = ()
    by: Criterion = TOP1

    def facts(self) -> dict[str, Any]:
        """Return what run.json holds of it."""
        trials = [{"epochs": list(t.epochs), "kept": t.kept} | self.figures(t.score) for t in self.trials]
        every = [{"epoch": i.epoch, **self.figures(i), "digest": i.digest} for i in self.ingredients]
        return {"ingredients": every, "trials": trials}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any], by: Criterion) -> Self:
        """Return what run.json holds of it, as it was."""

        def points(row: Mapping[str, Any]) -> float:
            return by.points(row[by.key])

        ingredients = (Ingredient(i["epoch"], points(i), i.get("loss"), i.get("digest")) for i in facts["ingredients"])
        trials = (Trial(tuple(t["epochs"]), Score(points(t), t.get("loss")), t["kept"]) for t in facts["trials"])
        return cls(tuple(ingredients), tuple(trials), by)

    def figures(self, score: Score | Ingredient) -> dict[str, float]:
        """Return a score by the names of its figures, as metrics.jsonl has them."""
        loss = {} if score.loss is None else {"loss": score.loss}
        return {self.by.key: self.by.points(score.points), **loss}

    def text(self, score: Score | Ingredient) -> str:
        """Return the value of what chose, with its unit."""
        return self.by.text(self.by.points(score.points))

    @property
    def _kept(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.kept]

    @property
    def taken(self) -> bool:
        """Whether an average is better than the best epoch alone."""
        return bool(self._kept)

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs in the average, in the order in which they were added; the best one alone where no other helped."""
        return self._kept[-1].epochs if self.taken else (self.ingredients[0].epoch,)

    @property
    def score(self) -> Score:
        """Of the average on the validation split."""
        best = self.ingredients[0]
        return self._kept[-1].score if self.taken else Score(best.points, best.loss)


def best_of(ingredients: Iterable[Ingredient], best_epoch: int, most: int) -> tuple[Ingredient, ...]:
    """Return at most ``most`` ingredients: the run's best epoch, then by points, of equal ones by loss, then the earliest.

    What has once fallen out would never come back, so that the weights of so many epochs, >= 1, are all that is to be kept.
    ``best_epoch`` is the first one with the most points, as the run has it.
    """
    return tuple(sorted(ingredients, key=lambda i: (i.epoch != best_epoch, -i.points, i.loss or 0, i.epoch))[:most])


def greedy_soup(
    ingredients: Sequence[Ingredient], taste: Callable[[tuple[int, ...]], Score | None], by: Criterion = TOP1
) -> Soup:
    """Add one of ``ingredients`` after the other to the best one, and keep it in the average only where the score gains by it.

    ``taste`` returns the score of the average of some epochs on the validation split, None where there is none.
    """
    soup = Soup(tuple(ingredients), by=by)
    for ingredient in ingredients[1:]:
        epochs = (*soup.epochs, ingredient.epoch)
        score = taste(epochs)
        if score is not None:  # ``soup.epochs`` are from now on those of the last average that was kept
            soup = replace(soup, trials=(*soup.trials, Trial(epochs, score, score.beats(soup.score))))
    return soup


def average(files: Mapping[Path, str | None]) -> dict[str, Tensor]:
    """Return the mean of the tensors in safetensors files of one network, in their own precision; counters are the first's.

    Args:
        files: with the digest that each must have, None for any.

    Raises:
        CheckpointError: a file cannot be read, is damaged or has another digest.
        RuntimeError: they are of different networks.
    """
    (first, digest), *others = files.items()
    mean = load_weights(first, digest)
    for n, (file, digest) in enumerate(others, 2):
        other = load_weights(file, digest)
        if other.keys() != mean.keys():
            raise RuntimeError(f"{file} is of another network than {first}")
        for name, tensor in mean.items():
            if tensor.is_floating_point():  # BatchNorm counts its steps in integers
                tensor.lerp_(other[name], 1 / n)
    return mean


def file_of(folder: Path, epoch: int) -> Path:
    """Return where the weights after ``epoch`` are kept, in the folder of checkpoints."""
    return folder / f"epoch-{epoch:08d}.safetensors"


def remove_others(folder: Path, ingredients: Iterable[Ingredient]) -> None:
    """Remove from the folder of checkpoints the weights of all epochs but those of ``ingredients``, and halves of files."""
    kept = {file_of(folder, ingredient.epoch) for ingredient in ingredients}
    for path in folder.glob("epoch-*"):
        if path not in kept:
            path.unlink(missing_ok=True)


def told(soup: Soup) -> list[str]:
    """Return what to say of it, line by line, for the log."""
    best = soup.ingredients[0]
    lines = [f"epoch {best.epoch}, the best: validation {soup.by.figure} {soup.text(best)}{_loss_of(best)}"]
    for trial in soup.trials:
        outcome = "kept" if trial.kept else f"{trial.epochs[-1]} left out"
        score = f"{soup.text(trial.score)}{_loss_of(trial.score)}"
        lines.append(f"epochs {and_list(trial.epochs)} averaged: {score}: {outcome}")
    return [*lines, f"{outcome_of(soup)}; the validation split chose"]


def _loss_of(score: Score | Ingredient) -> str:
    return "" if score.loss is None else f", loss {score.loss:.4f}"


def outcome_of(soup: Soup) -> str:
    """Return in words what is kept."""
    if not soup.taken:
        return f"no average is better: the weights of epoch {soup.epochs[0]} are kept alone"
    before, after = soup.ingredients[0], soup.score
    first = soup.text(before).removesuffix(" %").removesuffix(" nats")
    loss = f"{_loss_of(before)} -> {after.loss:.4f}" if after.loss is not None else ""
    gain = f"{soup.by.figure} {first} -> {soup.text(after)}{loss}"
    return f"the average of epochs {and_list(soup.epochs)} is kept: validation {gain}"


class MakeSoup(Callback):
    """Keeps the weights of the ``most`` (>= 2) best epochs, and takes their average where the validation split gains by it."""

    def __init__(self, most: int) -> None:
        self.most, self.ingredients = most, tuple[Ingredient, ...]()
        # Of the newest checkpoint: a run that is killed before the next one goes on from it and needs them again.
        self._saved = self.ingredients

    def state(self) -> dict[str, Any]:
        """Return the epochs that are kept."""
        return {"ingredients": self.ingredients}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the epochs that are kept."""
        self.ingredients = tuple(Ingredient(*row) for row in state["ingredients"])  # JSON knows lists only
        self._saved = self.ingredients

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Say what will be averaged."""
        return [("tricks", f"model soup of up to {self.most} epochs")]

    def on_epoch_end(self, run: Run, evaluation: Evaluation) -> None:
        """Keep the weights of this epoch as long as it is among the best, and drop those that have fallen out."""
        folder, epoch = run.folder / "checkpoints", Ingredient(run.epochs_done, run.score(evaluation), evaluation.loss)
        kept = best_of((*self.ingredients, epoch), run.progress.best_epoch, self.most)

        def write() -> tuple[Ingredient, ...]:
            written = kept
            if epoch in kept:
                digest = save_weights(file_of(folder, epoch.epoch), run.trainer.evaluated.state_dict())
                written = tuple(i._replace(digest=digest) if i == epoch else i for i in kept)
            remove_others(folder, [*self._saved, *written])
            return written

        # Before the checkpoint, which names these epochs.
        self._saved = self.ingredients = from_main(run.accelerator, write)

    def on_train_end(self, run: Run) -> None:
        """Try averages of the epochs, and take the last one that was kept."""
        if run.is_main:
            remove_others(run.folder / "checkpoints", self.ingredients)
        if self.ingredients and not run.progress.best_epoch:
            log.info("%-10s none: no epoch is better than what the run started from", "soup")
        if len(self.ingredients) < 2 or self.ingredients[0].epoch != run.progress.best_epoch:
            return  # there is nothing to average, or the best weights are damaged
        # Copies: the averages are loaded into the same tensors.
        best = {name: tensor.clone() for name, tensor in run.trainer.evaluated.state_dict().items()}
        soup = greedy_soup(self.ingredients, lambda epochs: self._score(run, epochs), run.criterion)
        kept = soup.taken and self._average(run, soup.epochs)  # the last one tried may be another
        if not kept:
            run.trainer.evaluated.load_state_dict(best)
        if kept != soup.taken or not soup.trials:  # for files that are damaged
            return
        for line in under("soup", told(soup)):
            log.info("%s", line)
        for trial in soup.trials:
            record = {"step": run.progress.step, "split": "soup", "epochs": list(trial.epochs), "kept": trial.kept}
            run.history.add(record | soup.figures(trial.score))
        run.facts["soup"] = soup.facts()

    def _score(self, run: Run, epochs: tuple[int, ...]) -> Score | None:
        """Return what the validation split says of the average of the weights after ``epochs``, None where one is damaged."""
        if not self._average(run, epochs):
            return None
        found = evaluate_split(run, "validation")
        return Score(run.score(found), found.loss) if math.isfinite(found.loss or 0) else None

    def _average(self, run: Run, epochs: tuple[int, ...]) -> bool:
        """Give every process the average of the weights after ``epochs``, its BatchNorm statistics measured anew.

        False: the weights of one are damaged or gone.
        """
        trainer, folder = run.trainer, run.folder / "checkpoints"
        digests = {ingredient.epoch: ingredient.digest for ingredient in self.ingredients}
        files = {file_of(folder, epoch): digests[epoch] for epoch in epochs}

        def load() -> bool:
            try:
                trainer.evaluated.load_state_dict(average(files))
            except (CheckpointError, RuntimeError) as error:
                named = ", ".join(map(str, files))
                log.warning("%s cannot be averaged (%s): the last of them is left out.", named, error)
                return False
            return True

        if not from_main(run.accelerator, load):
            return False
        share_weights(run.accelerator, trainer.evaluated)
        if names := trained_norms(trainer.model):  # the mean of statistics is not the statistics of the mean
            evaluated = trainer.evaluated.eval()
            norms = [evaluated.get_submodule(name) for name in names]
            measure_norms(norms, partial(trainer.forward, model=evaluated), last_inputs(run), run.accelerator)
        return True


def last_inputs(run: Run) -> Iterator[Tensor]:
    """Yield what the network saw on this process in the last steps, as many as BatchNorm's statistics want."""
    end = run.progress.step
    first = max(0, end - measuring_steps(run.order.batch_size, run.order.steps_per_epoch))
    for step, micro_batches in enumerate(run.feed.train_batches(run.order, first, end), first):
        for batch in micro_batches:
            yield run.trainer.inputs(step, batch)[0]
