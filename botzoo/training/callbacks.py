"""What may be added to a run: one protocol for all that watches it, changes it or ends it.

Freezing, layer-wise learning rates, the time budget, early stopping, model soups, cards and publishing are callbacks, and so
may be the code of a user:

    class Tell(Callback):
        def on_epoch_end(self, run, evaluation):
            print(run.progress.step, evaluation.score)

    botzoo.train("photos", callbacks=[Tell()])

Every method is called on every process, in the order of the callbacks. What only one process may do, such as writing a file,
is for the one where ``run.is_main``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from botzoo.models.create import Network
from botzoo.options.choices import Choice
from botzoo.options.config import TrainConfig
from botzoo.sources.base import ImageData
from botzoo.tasks.task import Evaluation
from botzoo.training.state import Draft, Run


class Callback:
    """Does nothing at any of the moments of a run, in the order in which they come; override those that you need."""

    looks_at_train = False
    """Whether it looks at training images itself, so that all have to be known as readable before the first step."""

    def on_network(self, network: Network) -> None:
        """Refuse the network, by raising ConfigError; nothing of the images is read yet."""

    def smallest_crop(self, config: TrainConfig, data: ImageData[Any], gpu: bool) -> float | None:
        """Return the smallest ``crop_min`` that ``on_resolve`` may choose, None where it chooses none.

        Images are kept no larger than it needs; none is read yet.
        """
        return None

    def on_resolve(self, draft: Draft) -> Iterable[Choice]:
        """Choose options in place of defaults: images are read and the network is there, nothing else is built yet.

        Not called where a run goes on: its options were chosen when it began.
        """
        return ()

    def on_setup(self, run: Run) -> None:
        """Change or refuse what has been built; nothing is on the disk yet. Raise ConfigError to refuse."""

    def on_epoch_start(self, run: Run, epoch: int) -> None:
        """Set what is trained in ``epoch``, counted from 0; called again where a run goes on within one.

        For the first epoch it comes before ``on_train_start``, which may take steps to measure them.
        """

    def on_train_start(self, run: Run) -> None:
        """Ready the run for its first step, where ``run.progress.step`` is 0, or for going on with a later one.

        The folder of a new run is made only afterwards.
        """

    def on_plan(self, run: Run) -> Iterable[tuple[str, str]]:
        """Return lines for the plan, each with the heading that it belongs under, such as "model" or "budget"."""
        return ()

    def on_open(self, run: Run) -> None:
        """Write what ``on_train_start`` has found into the run's folder, which is there by now; the first step comes next."""

    def on_log(self, run: Run, record: dict[str, Any]) -> None:
        """Look at a line of metrics.jsonl on training: step, loss (nats), lr, images_per_second, seconds."""

    def on_epoch_end(self, run: Run, evaluation: Evaluation) -> bool | None:
        """Look at the evaluation on the validation split; return False to end the run here."""

    def on_train_end(self, run: Run) -> None:
        """Change the weights once more: all steps are taken, the best ones loaded, and the final evaluation comes next."""

    def on_finish(self, run: Run) -> None:
        """Use what a finished run has written: model folder, evaluation, metrics.jsonl and run.json."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint is to keep, as JSON has it."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""


def states(callbacks: Sequence[Callback]) -> dict[str, Any]:
    """Return the states of all callbacks that have one, by name."""
    return {name: state for name, callback in _named(callbacks) if (state := callback.state())}


def load_states(callbacks: Sequence[Callback], found: dict[str, Any]) -> None:
    """Give each callback the state that a checkpoint kept for it."""
    for name, callback in _named(callbacks):
        if (state := found.get(name)) is not None:
            callback.load_state(state)


def _named(callbacks: Sequence[Callback]) -> Iterator[tuple[str, Callback]]:
    """Yield the callbacks with the names of their classes, numbered where several are of one."""
    seen = Counter[str]()  # a resumed run has its callbacks in the same order
    for callback in callbacks:
        name = type(callback).__name__
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}", callback
