"""The options of botzoo transfer."""

from dataclasses import dataclass, fields
from typing import Any

from botzoo.options.accepted import BUDGET
from botzoo.options.config import LadderConfig
from botzoo.options.facts import check, option
from botzoo_finetune.config import FinetuneConfig

# fmt: off


@dataclass(frozen=True)
class TransferConfig(FinetuneConfig, LadderConfig):
    """A ladder of weights, each fine-tuned with several seeds."""

    ladder: str = option("table7", "table7, table8, table9, or a YAML file of your own. They are classification, "
        "detection and segmentation.", "Ladder", common=True, metavar="NAME")
    weights: str | None = option(None, "Folders of botzoo ablate, or NAME=FOLDER of a run. In a folder of botzoo ablate "
        "they are found by the rung's name; NAME=MODEL is what --model takes.", "Ladder", common=True,
        metavar="FOLDER,...")
    budget: str | None = option(None, "Time for each run, such as 4m, in place of --epochs. It is measured once, with the "
        "top rung, and the steps that fit are those of all rungs.", "Length", common=True, metavar="TIME", accepts=BUDGET)
    pretrain: str | None = option(None, "Options of botzoo ablate, which trains what is missing. They stand in a YAML "
        "file; the weights go into the folder beside --output that ends in -weights.", "Ladder", common=True,
        metavar="FILE")

    def __post_init__(self) -> None:
        super().__post_init__()
        length = (self.epochs, self.steps, self.budget)
        check(any(given is not None for given in length), "epochs", self.epochs, "given, or --steps, or --budget")
        check(self.batch_size != "auto", "batch_size", self.batch_size, "a number: the same for every rung")
        check(self.push_to is None, "push_to", self.push_to, "left out: publish a run with botzoo publish")


# fmt: on


def of_one_run(config: TransferConfig) -> FinetuneConfig:
    """Return the options that the runs have of the ladder's."""
    values: dict[str, Any] = {own.name: getattr(config, own.name) for own in fields(FinetuneConfig)}
    return FinetuneConfig(**values)
