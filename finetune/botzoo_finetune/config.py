"""The options of fine-tuning: those of every training run, and what transfer adds."""

from dataclasses import dataclass

from botzoo.errors import ConfigError
from botzoo.options.config import TrainConfig, check


@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """A training run that starts from pretrained weights."""

    optimizer: str = "adamw"
    """Any optimizer of timm by its name. It decides --lr and --optim.weight-decay where they are not given: 0.004 and 0.05
    for adamw; 0.2 and 0.0001 for sgd, which has Nesterov momentum."""
    lr: float = 0.004
    """Peak learning rate, at a batch of 256 with --linear-scaling, else as it is."""
    img_size: int | None = None
    """Side of the square input in pixels; by default the model's own, or three quarters of it where --budget is short and
    images are no larger."""
    auto: bool = True
    """Choose what is not given to suit the data, and say why: number and size of the images, classes, what a linear probe on
    the frozen network comes to. false keeps the defaults as they are; so does --scratch."""
    lp_ft: bool = True
    """Start the new classifier from a linear probe instead of at random; without effect with --scratch."""
    freeze: str = "none"
    """What stays as it is: none, backbone (all but the classifier), or N, the stem and the first N stages."""
    layer_decay: float = 1.0
    """Factor on the learning rate from each layer to the one below it; 1 trains all layers alike."""
    head_lr_scale: float = 1.0
    """Factor on the learning rate of the new classifier."""
    views: int | None = None
    """With --freeze backbone: views of each training image whose features are computed once and kept for all epochs; 1 is the
    plain one, more add augmented ones, 0 keeps none and passes the whole network in every step. By default 1, and 0 beside
    options that change images in every step, such as --mixup."""
    unfreeze_every: int | None = None
    """Gradual unfreezing: begin with the classifier alone and add one stage from the top every so many epochs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.freeze not in ("none", "backbone") and not self.freeze.isdecimal():
            raise ConfigError(
                f"--freeze is {self.freeze!r}: it must be none, backbone or a number of stages such as 2."
            )
        if self.scratch and self.freeze != "none":
            raise ConfigError(
                f"--scratch starts from random weights, which --freeze {self.freeze} would keep: leave one of the two out."
            )
        check(self.views is None or self.views >= 0, "views", self.views, "0 or more")
        if self.views and self.freeze != "backbone":
            raise ConfigError(f"--views {self.views} keeps features of a frozen network: give --freeze backbone too.")
        check(0 < self.layer_decay <= 1, "layer_decay", self.layer_decay, "in (0, 1]")
        check(self.head_lr_scale > 0, "head_lr_scale", self.head_lr_scale, "greater than 0")
        check(
            self.unfreeze_every is None or self.unfreeze_every >= 1,
            "unfreeze_every",
            self.unfreeze_every,
            "1 or more epochs",
        )
        if self.scratch and self.unfreeze_every is not None:
            raise ConfigError(
                "--scratch starts from random weights, which --unfreeze-every would keep for some epochs: leave one of the "
                "two out."
            )
        if self.unfreeze_every is not None and self.freeze == "backbone":
            raise ConfigError(
                "--unfreeze-every unfreezes what --freeze backbone keeps frozen: leave one of the two out."
            )
