"""Training images that turned out to be unreadable, from the first epoch to run.json."""

from typing import Any

from accelerate.utils import gather_object

from botzoo.data.images import Images
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run


class ListReplaced(Callback):
    """Keeps in the checkpoints in whose place other images are trained on, so that none is listed twice or forgotten."""

    def __init__(self) -> None:
        self.found: dict[int, str] = {}  # what is wrong with them, by their places in the split; filled by the images

    def load_state(self, state: dict[str, Any]) -> None:
        """See ``Callback``."""
        self.found = {int(i): str(reason) for i, reason in state.items()}

    def on_train_start(self, run: Run) -> None:
        """Let the images go on with the list."""
        if isinstance(images := run.images["train"], Images):
            self.found |= images.replaced  # those that a rehearsal of steps has met and said
            images.replaced = self.found

    def on_log(self, run: Run, record: dict[str, Any]) -> None:
        """Let every process list what any has met: one alone writes the list down, and a checkpoint comes next."""
        images = run.images["train"]
        if isinstance(images, Images) and images.decoded.index.by_header and run.accelerator.num_processes > 1:
            for met in gather_object([dict(self.found)]):
                images.note(met)

    def state(self) -> dict[str, Any]:
        """See ``Callback``."""
        return {str(i): reason for i, reason in sorted(self.found.items())}
