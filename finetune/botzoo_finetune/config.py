"""The options of fine-tuning: those of every training run, and what transfer adds."""

import re
from dataclasses import dataclass

from botzoo.options.accepted import IMG_SIZE
from botzoo.options.config import TrainConfig
from botzoo.options.facts import Accepted, Need, When, above, at_least, between, option

KEPT = "do not go together, since random weights would be kept"
PART = Accepted(
    "none, backbone or a number of stages such as 2",
    lambda part: bool(re.fullmatch(r"none|backbone|\d+", part, re.ASCII)),
)

CHOSEN = ("epochs", "lr", "optim.weight_decay", "layer_decay", "data.crop_min", "mixup", "label_smoothing")
"""Options that ``auto`` chooses to suit the data where they are not given."""


# fmt: off


@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """A training run that starts from pretrained weights."""

    optimizer: str = option("adamw", "Any optimizer of timm by its name. It decides --lr and --optim.weight-decay "
        "where they are not given: 0.004 and 0.05 for adamw; 0.2 and 0.0001 for sgd, which has Nesterov momentum.",
        "Optimizer", common=True, metavar="NAME")
    lr: float = option(0.004, "Peak learning rate, at a batch of 256. With --no-linear-scaling it is taken as it is.",
        "Optimizer", common=True, accepts=between(0, 100, "()"))
    img_size: int | tuple[int, int] | None = option(None, "Side of the square input in pixels, or height and width. "
        "128 512, 128x512 and [128,512] are images four times as wide as high. Where --budget is short and images are no "
        "larger, it is three quarters of the model's own if it is not given.", "Model", common=True, metavar="N|H W",
        unset="the model's own", accepts=IMG_SIZE, instead=frozenset({"data.train_scale"}))
    auto: bool = option(True, "Choose what is not given to suit the data, and say why. It looks at number and size of "
        "the images, classes, and what a linear probe on the frozen network comes to. --no-auto keeps the defaults as "
        "they are; so does --scratch.", "Transfer")
    lp_ft: bool = option(True,
        "Start the new classifier from a linear probe instead of at random, and keep the frozen network with the probe "
        "where no epoch is better. Without effect with --scratch.",
        "Transfer")
    freeze: str = option("none", "What stays as it is: none, backbone, or N for the first N stages. backbone is all "
        "but the classifier; the stem stays with the stages.", "Transfer", common=True, metavar="PART", accepts=PART,
        excludes={When("scratch"): KEPT}, instead=frozenset({"unfreeze_every"}))
    layer_decay: float = option(1.0,
        "Factor on the learning rate from each layer to the one below it. 1 trains all layers alike.", "Transfer",
        accepts=between(0, 1, "(]"))
    head_lr_scale: float = option(1.0, "Factor on the learning rate of the new head.", "Transfer",
        accepts=above(0))
    views: int | None = option(None, "With --freeze backbone: views of each training image whose features are "
        "computed once and kept for all epochs. 1 is the plain one, more add augmented ones, 0 keeps none and passes "
        "the whole network in every step.", "Transfer",
        unset="1, and 0 beside options that change images in every step, such as --mixup", accepts=at_least(0),
        needs=When("freeze", "backbone"), presumes={Need.WHOLE_IMAGE})
    unfreeze_every: int | None = option(None,
        "Gradual unfreezing: begin with the classifier alone and add one stage from the top every so many epochs.",
        "Transfer", accepts=at_least(1, "epochs"),
        excludes={When("scratch"): KEPT, When("freeze", "backbone"): "each say what is trained"})
