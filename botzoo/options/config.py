"""The options of a run, as frozen dataclasses that are checked when they are made.

Importing this module is cheap: neither torch nor timm is needed to print ``--help`` or to refuse a wrong value. The
string under each field is its help text.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from botzoo.errors import ConfigError


def check(ok: bool, flag: str, value: Any, accepted: str) -> None:
    """Raise ``ConfigError`` naming ``flag``, ``value`` and what is ``accepted`` unless ``ok``; infinity never is."""
    if not ok or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigError(f"--{flag.replace('_', '-')} is {value!r}: it must be {accepted}.")


@dataclass(frozen=True)
class DataConfig:
    """How images are found, split and augmented."""

    image_column: str | None = None
    """Column that holds the images; by default the one column of type Image."""
    label_column: str | None = None
    """Column that holds the labels; by default the one column of type ClassLabel."""
    val_fraction: float = 0.2
    """Share of the training images set aside, stratified by class, where there is no validation split."""
    split_seed: int | None = None
    """Seed of what is set aside, and of the folds; by default --seed."""
    fold: str | None = None
    """K/N: cut training and validation images into N stratified folds, test on the K-th and train on the others, of which
    --data.val-fraction is set aside; a test split of the data set stays unread. See botzoo-finetune --folds."""
    test_split: bool = True
    """Judge the finished run on the test split, where there is one; without it that split stays unread."""
    crop_min: float | None = None
    """Smallest area of the random training crop, as a share of the image; by default 0.35 from ten epochs on and 0.7
    below, 0.8 for data sets of characters, which fill their images, and 0.08 with --paper-augment. 1 trains on whole
    images."""
    train_scale: float = 1.0
    """Side of the training crops as a share of the input's, to the nearest 32 pixels, or 16 where the input is below 128.
    Less than 1 trains faster, on images that are unlike those of evaluation. Without effect on networks of fixed size."""
    train_scale_epochs: int | None = None
    """Progressive resizing: epochs, from the first on, that --data.train-scale holds for; by default all of them. The rest
    are trained on crops of the input's own size, from which the network learns what objects look like at that size."""
    hflip: float | None = None
    """Probability of a horizontal flip; by default 0.5, and 0 for data sets of characters."""
    sampling: Literal["uniform", "balanced", "sqrt"] = "uniform"
    """How often images come in an epoch, which is as long either way: each once; every class as often; or each class in
    proportion to the square root of its images."""
    cache_gib: float = 2.0
    """Decoded images are kept, mapped from the disk, up to this many GiB; beyond it they are decoded every epoch."""
    streaming: bool = False
    """Read .tar or .parquet shards, in a folder or on the Hub, from front to back instead of loading the data set."""
    shuffle_buffer: int = 2048
    """Streaming: images from which each process draws the next one at random; held in memory, still encoded."""
    epoch_images: int | None = None
    """Streaming: images in an epoch; by default all of them."""
    classes: str | None = None
    """Streaming: number of classes, or a text file with the name of one on each line, where the shards do not name them."""

    def __post_init__(self) -> None:
        check(0 < self.val_fraction < 1, "data.val_fraction", self.val_fraction, "between 0 and 1")
        seed = self.split_seed
        check(seed is None or 0 <= seed < 2**32, "data.split_seed", seed, "in [0, 2**32)")
        if self.fold is not None:
            _, folds = fold_of(self.fold)
            check(
                not self.streaming, "data.streaming", self.streaming, f"left out: {folds} folds are cut from all images"
            )
        check(self.crop_min is None or 0 < self.crop_min <= 1, "data.crop_min", self.crop_min, "in (0, 1]")
        check(0.25 <= self.train_scale <= 2, "data.train_scale", self.train_scale, "between 0.25 and 2")
        small = self.train_scale_epochs
        check(small is None or small >= 1, "data.train_scale_epochs", small, "1 or more")
        check(
            small is None or self.train_scale != 1,
            "data.train_scale_epochs",
            small,
            "left out without --data.train-scale",
        )
        check(self.hflip is None or 0 <= self.hflip <= 1, "data.hflip", self.hflip, "in [0, 1]")
        check(self.cache_gib >= 0, "data.cache_gib", self.cache_gib, "0 or more")
        check(self.shuffle_buffer >= 1, "data.shuffle_buffer", self.shuffle_buffer, "1 or more")
        check(self.epoch_images is None or self.epoch_images >= 1, "data.epoch_images", self.epoch_images, "1 or more")
        if self.sampling != "uniform" and self.streaming:
            raise ConfigError(
                f"--data.sampling {self.sampling} draws images by their classes and --data.streaming reads them as they come: "
                "leave one of the two out."
            )
        for flag in ("epoch_images", "classes"):
            if getattr(self, flag) is not None and not self.streaming:
                raise ConfigError(
                    f"--data.{flag.replace('_', '-')} counts with --data.streaming only: give both, or neither."
                )


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training images besides crop and flip, in this order and before --paper-augment's colours."""

    vflip: float = 0.0
    """Probability of a vertical flip."""
    rotate90: bool = False
    """Turn images by 0, 90, 180 or 270 degrees, each as likely."""
    randaugment: int = 0
    """RandAugment: two random operations of this magnitude, up to 30; 9 is usual, 0 for none."""
    trivialaugment: bool = False
    """TrivialAugment: one random operation of random magnitude."""
    color_jitter: float = 0.0
    """Scale brightness, contrast and saturation by factors up to this far from 1; 0.4 is usual."""
    blur: float = 0.0
    """Probability of a Gaussian blur, sigma 0.1 to 2 pixels within a tenth of the image's side."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise, as a share of the range from black to white; 0.05 is much."""
    random_erasing: float = 0.0
    """Probability that a rectangle of 2 to 33 % of the image gets the mean colour; 0.25 is usual."""

    def __post_init__(self) -> None:
        for name in ("vflip", "color_jitter", "blur", "noise", "random_erasing"):
            check(0 <= getattr(self, name) <= 1, f"augment.{name}", getattr(self, name), "in [0, 1]")
        check(0 <= self.randaugment <= 30, "augment.randaugment", self.randaugment, "in 0 ... 30")
        if self.randaugment and self.trivialaugment:
            raise ConfigError(
                f"--augment.randaugment {self.randaugment} and --augment.trivialaugment each choose the operations: give one "
                "of the two."
            )


@dataclass(frozen=True)
class OptimConfig:
    """The optimizer's own settings."""

    decay: Literal["constant", "step", "exponential", "plateau"] = "constant"
    """How the learning rate falls with --cosine false: not at all; at --optim.milestones; every --optim.decay-every epochs;
    or after --optim.decay-patience epochs without a better figure on the validation split."""
    milestones: tuple[int, ...] | None = None
    """For decay step: the epochs, such as [30,60,90], after which the rate falls; by default every quarter of the run."""
    decay_factor: float | None = None
    """Factor on the learning rate at each fall; by default 0.1, and 0.94 for decay exponential."""
    decay_every: int = 2
    """For decay exponential: epochs from one fall to the next."""
    decay_patience: int = 5
    """For decay plateau: epochs without a better figure on the validation split before each fall, as for --patience."""
    momentum: float = 0.9
    """Momentum, for the optimizers that have one."""
    betas: tuple[float, float] | None = None
    """Betas of Adam and its kind, such as [0.9,0.95]; by default the optimizer's own."""
    weight_decay: float = 1e-4
    """Weight decay of convolution and linear weights (and of all parameters without --no-bias-decay)."""
    clip_grad: float | None = None
    """Clip the gradient to this norm."""

    @property
    def factor(self) -> float:
        """Factor on the learning rate at each fall."""
        if self.decay_factor is not None:
            return self.decay_factor
        return 0.94 if self.decay == "exponential" else 0.1

    def __post_init__(self) -> None:
        self._check_decay()
        check(0 <= self.momentum < 1, "optim.momentum", self.momentum, "in [0, 1)")
        check(
            self.betas is None or all(0 <= beta < 1 for beta in self.betas), "optim.betas", self.betas, "two in [0, 1)"
        )
        check(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "0 or more")
        check(self.clip_grad is None or self.clip_grad > 0, "optim.clip_grad", self.clip_grad, "greater than 0")

    def _check_decay(self) -> None:
        marks = None if self.milestones is None else list(self.milestones)
        factor = self.decay_factor
        rising = marks is None or (marks and marks == sorted({*marks}) and marks[0] >= 1)
        check(bool(rising), "optim.milestones", marks, "rising epochs of 1 or more, such as [30,60,90]")
        check(marks is None or self.decay == "step", "optim.milestones", marks, "left out without --optim.decay step")
        check(factor is None or 0 < factor < 1, "optim.decay_factor", factor, "between 0 and 1")
        check(self.decay_every >= 1, "optim.decay_every", self.decay_every, "1 or more epochs")
        check(self.decay_patience >= 1, "optim.decay_patience", self.decay_patience, "1 or more epochs")


@dataclass(frozen=True)
class DistillConfig:
    """The constants of --distillation; without a teacher they count for nothing."""

    temperature: float = 20.0
    """What the logits of teacher and student are divided by, so that the teacher's small answers count; 20 in the paper."""
    weight: float = 1.0
    """Factor on the teacher's part of the loss, besides the square of the temperature; 1 in the paper."""

    def __post_init__(self) -> None:
        check(self.temperature > 0, "distill.temperature", self.temperature, "greater than 0")
        check(self.weight > 0, "distill.weight", self.weight, "greater than 0")


@dataclass(frozen=True)
class EngineConfig:
    """How the work is done. Only BatchNorm's statistics and the pairs that are mixed, within a micro-batch, depend on it."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    channels_last: bool = True
    """Store images with the channels last, the faster order on CPUs and tensor cores."""
    workers: int | None = None
    """Processes that decode and augment, for each training process; by default 0 on a CPU, up to 8 beside a GPU."""
    micro_batch: int | None = None
    """Images in one forward pass of one process; by default its share of the batch, halved while memory falls short."""
    sync_bn: bool = False
    """Take BatchNorm's statistics over all GPUs instead of each one's own share of the batch."""
    log_every: int = 10
    """Steps between two lines in metrics.jsonl."""

    def __post_init__(self) -> None:
        check(self.workers is None or self.workers >= 0, "engine.workers", self.workers, "0 or more")
        check(self.micro_batch is None or self.micro_batch >= 1, "engine.micro_batch", self.micro_batch, "1 or more")
        check(self.log_every >= 1, "engine.log_every", self.log_every, "1 or more")


@dataclass(frozen=True)
class TrainConfig:
    """One training run: what every kind of training has in common; one field per trick, named as its file."""

    dataset: str = "digits"
    """digits (built in), a short name such as cifar10, a Hub id such as owner/name, or a folder."""
    model: str = "resnet10d_bot"
    """Any model that timm can create: a name, name.tag, hf-hub:owner/name or local-dir:PATH."""
    pretrained: str | None = None
    """Weights to start from: a tag, hf-hub:owner/name, local-dir:PATH or a .safetensors file; by default the model's
    own."""
    scratch: bool = False
    """Start from random weights instead of pretrained ones."""
    output: str | None = None
    """Folder of the run; by default runs/DATASET-MODEL, numbered where that exists."""
    epochs: int | None = None
    """Passes over the training images; by default enough for 100 steps, at least 3 and at most 30."""
    steps: int | None = None
    """Optimizer steps of the whole run, in place of --epochs; the last epoch may be cut short."""
    budget: str | None = None
    """Time for the whole command, such as 90s, 10m, 1.5h or 2h30m, in place of --epochs: the speed is measured first and the
    steps set so that the run, its evaluations and its model folder end on time. The warmup takes a fifth of it at most.
    The steps that are left are counted anew after each epoch; within one, the log says how late a slower machine will be."""
    batch_size: int | Literal["auto"] | None = None
    """Images in one optimizer step, over all processes; by default 64, and less where an epoch would be under 20 steps. auto
    takes the largest power of two for which the memory suffices, up to 1,024 and with 20 steps an epoch."""
    lr: float = 0.01
    """Peak learning rate, at a batch of 256 with --linear-scaling, else as it is."""
    optimizer: str = "sgd"
    """Any optimizer of timm by its name; sgd has Nesterov momentum."""
    img_size: int | None = None
    """Side of the square input in pixels; by default the model's own."""
    seed: int = 0
    """Seed of everything random: split, order, augmentation, new layers, mixup, dropout."""
    linear_scaling: bool = True
    """Trick: multiply the learning rate by batch size / 256."""
    warmup: float = 0.5
    """Trick: epochs over which the learning rate rises from 0; 0 for none."""
    cosine: bool = True
    """Trick: let the learning rate fall to 0 along a cosine after the warmup; otherwise see --optim.decay."""
    zero_gamma: bool = True
    """Trick: start every residual block as the identity; counts with --scratch only."""
    xavier_init: bool = False
    """Trick: draw convolution and linear weights uniformly after Xavier, biases 0; counts with --scratch only. Without it
    they start as timm draws them: the convolutions of ResNets and MobileNet are Kaiming normal by fan-out already, those of
    Inception-V3 normal with deviation 0.1."""
    paper_augment: bool = False
    """Trick: crop and colour images as the paper does: crops from 8 % on, hue, saturation and brightness scaled by 0.6 to
    1.4, PCA noise; with --scratch its mean and std too, else those of the weights."""
    no_bias_decay: bool = True
    """Trick: weight decay on weights only, not on biases, gammas and betas."""
    label_smoothing: float = 0.0
    """Trick: share of the target spread evenly over the other classes; 0.1 in the paper."""
    label_smoothing_over: Literal["others", "all"] = "others"
    """The classes that the share is spread over: all but the true one, as in the paper, or all, as in timm and torch."""
    class_weights: Literal["none", "balanced", "effective"] = "none"
    """Factor on the loss of the images of each class: none; balanced, one over its number of images, as scikit-learn's; or
    effective, one over its effective number of images, which evens out large classes less. The mean over all images is 1."""
    mixup: float = 0.0
    """Trick: alpha of the Beta distribution that images are mixed with; 0.2 in the paper, 0 for none."""
    cutmix: float = 0.0
    """Alpha of CutMix, which puts a box of one image into another; 1 is usual, 0 for none. With --mixup each takes half of
    the steps."""
    distillation: str | None = None
    """Trick: teacher whose answers are learned too, of the same classes: any model of timm with weights, name or name.tag,
    hf-hub:owner/name, local-dir:PATH, or the folder of a finished run."""
    mixed_precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Trick: arithmetic in half precision with fp32 weights; auto takes the fastest that is sound here."""
    drop_rate: float = 0.0
    """Dropout before the classifier: share of its inputs set to 0 in training, in [0, 1)."""
    ema: float | None = None
    """Also average the weights with this decay, warmed up, and judge and keep the average."""
    soup: int | None = None
    """Greedy model soup: at the end, average the weights of up to so many of the best epochs, each of them only where the
    validation accuracy gains by it; 5 is usual. By default the best epoch is kept alone."""
    patience: int | None = None
    """Stop after this many epochs without a better figure on the validation split: top-1, or mAP of several labels."""
    min_delta: float = 0.0
    """Gain in the figure on the validation split, in percentage points, that counts as better for --patience."""
    skip_corrupt: bool = False
    """Leave out images that cannot be read, and list them, instead of stopping."""
    checkpoint_every: int | None = None
    """Also write a checkpoint every so many steps; one is written after each epoch anyway."""
    keep_checkpoints: int = 3
    """How many checkpoints to keep, the newest."""
    tracker: str | None = None
    """Also log to a tracker of accelerate: tensorboard, wandb, trackio, mlflow, ..."""
    push_to: str | None = None
    """Publish the model on the Hub at the end, as owner/name; see botzoo publish."""
    private: bool = False
    """With --push-to: for its owner only."""
    license: str | None = None
    """Licence of the trained weights, such as apache-2.0, where that of the weights it starts from is not known."""
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)

    @property
    def split_seed(self) -> int:
        """Seed of what is set aside and of the folds."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    def __post_init__(self) -> None:
        check(self.dataset != "", "dataset", self.dataset, "a name, a Hub id or a folder")
        check(self.output != "", "output", self.output, "a folder")
        check(self.epochs is None or self.epochs >= 1, "epochs", self.epochs, "1 or more")
        number = None if self.batch_size == "auto" else self.batch_size
        check(number is None or number >= 2, "batch_size", self.batch_size, "2 or more, or auto")
        if self.batch_size == "auto" and self.engine.micro_batch is not None:
            raise ConfigError(
                f"--batch-size auto is as large as the memory allows, and --engine.micro-batch {self.engine.micro_batch} "
                "parts larger ones: give one of the two."
            )
        check(0 < self.lr < 100, "lr", self.lr, "greater than 0 and less than 100")
        check(self.img_size is None or self.img_size >= 8, "img_size", self.img_size, "8 or more")
        check(0 <= self.seed < 2**32, "seed", self.seed, "in [0, 2**32)")
        check(self.warmup >= 0, "warmup", self.warmup, "0 or more epochs")
        if self.epochs is not None:
            check_epochs(self, self.epochs, f"--epochs {self.epochs}")
        self._check_length()
        self._check_falls()
        check(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "in [0, 1)")
        sampling = self.data.sampling
        if self.class_weights != "none" and sampling != "uniform":
            raise ConfigError(
                f"--class-weights {self.class_weights} and --data.sampling {sampling} both make up for rare classes: give "
                "one of the two."
            )
        check(self.mixup >= 0, "mixup", self.mixup, "0 or more")
        check(0 <= self.drop_rate < 1, "drop_rate", self.drop_rate, "in [0, 1)")
        check(self.cutmix >= 0, "cutmix", self.cutmix, "0 or more")
        check(self.distillation != "", "distillation", self.distillation, "a model or the folder of a run")
        check(self.ema is None or 0 < self.ema < 1, "ema", self.ema, "between 0 and 1, such as 0.999")
        check(self.soup is None or self.soup >= 2, "soup", self.soup, "2 or more epochs")
        check(self.patience is None or self.patience >= 1, "patience", self.patience, "1 or more epochs")
        check(self.min_delta >= 0, "min_delta", self.min_delta, "0 or more percentage points")
        check(
            self.checkpoint_every is None or self.checkpoint_every >= 1,
            "checkpoint_every",
            self.checkpoint_every,
            "1 or more steps",
        )
        check(self.keep_checkpoints >= 1, "keep_checkpoints", self.keep_checkpoints, "1 or more")
        self._check_publishing()
        if self.paper_augment and self.augment.color_jitter:
            raise ConfigError(
                f"--paper-augment scales brightness and saturation already: leave --augment.color-jitter "
                f"{self.augment.color_jitter:g} out."
            )
        if self.scratch and self.pretrained is not None:
            raise ConfigError(
                f"--scratch starts from nothing and --pretrained {self.pretrained} from weights: give one of the two."
            )

    def _check_length(self) -> None:
        check(self.steps is None or self.steps >= 1, "steps", self.steps, "1 or more")
        if self.budget is not None:
            seconds_of(self.budget)
        lengths = {"budget": self.budget, "epochs": self.epochs, "steps": self.steps}
        named = [f"--{name} {value}" for name, value in lengths.items() if value is not None]
        if len(named) > 1:
            raise ConfigError(
                f"{' and '.join(named)} each say how long to train: give one of them, and null for one that a file gives."
            )

    def _check_publishing(self) -> None:
        if self.push_to is not None:
            check_repo(self.push_to, "push_to")
        if self.license is not None:
            check_license(self.license)
        check(not self.private or self.push_to is not None, "private", self.private, "left out without --push-to")

    def _check_falls(self) -> None:
        optim = self.optim
        if self.cosine and optim.decay != "constant":
            raise ConfigError(
                f"--optim.decay is {optim.decay!r} and the learning rate falls along a cosine already: add --cosine false."
            )
        if optim.decay == "plateau" and self.patience is not None and self.patience <= optim.decay_patience:
            raise ConfigError(
                f"--patience {self.patience} stops before the learning rate falls, which takes --optim.decay-patience "
                f"{optim.decay_patience} epochs: give a longer --patience."
            )


def check_repo(name: str, flag: str) -> None:
    """Raise ConfigError unless ``name`` can be that of a repository on the Hub."""
    part = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
    ok = re.fullmatch(f"{part}/{part}", name, re.ASCII) and not re.search(r"--|\.\.|\.git$", name) and len(name) <= 96
    check(bool(ok), flag, name, "owner/name, of letters, digits, '-', '_' and '.', such as me/pets")


def check_license(name: str) -> None:
    """Raise ConfigError unless ``name`` can be that of a licence on the Hub."""
    ok = re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", name, re.ASCII) and name != "unknown"
    check(bool(ok), "license", name, "a licence's name on the Hub, such as apache-2.0, mit or cc-by-4.0")


def check_tag(name: str) -> None:
    """Raise ConfigError unless ``name`` can be that of a tag: git's rules for the name of a reference."""
    parts = name.split("/")
    odd = re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-|\.$", name)
    ok = not odd and all(part and not part.startswith(".") and not part.endswith(".lock") for part in parts)
    check(ok, "tag", name, "a name that git takes, without spaces, '..' or any of ~^:?*[\\, such as v1")


def check_commit(name: str, flag: str) -> None:
    """Raise ConfigError unless ``name`` is that of a commit in full."""
    check(
        bool(re.fullmatch("[0-9a-f]{40}", name)), flag, name, "a commit's 40 hexadecimal digits, as the Hub shows them"
    )


def fold_of(text: str) -> tuple[int, int]:
    """Return K, from 1 on, and N of ``text``, such as 2/5: the K-th of N folds.

    Raises:
        ConfigError: there is no such fold.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    fold, folds = (int(number) for number in found.groups()) if found else (0, 0)
    check(folds >= 2 and 1 <= fold <= folds, "data.fold", text, "K/N, the K-th of N folds, N 2 or more, such as 2/5")
    return fold, folds


def seconds_of(budget: str) -> float:
    """Return the seconds that a duration of hours, minutes and seconds, such as 1.5h or 2h30m, names.

    Raises:
        ConfigError: it names none.
    """
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(f"(?:{number}h)?(?:{number}m)?(?:{number}s)?", budget, re.ASCII)
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    check(total > 0, "budget", budget, "a duration such as 90s, 10m, 1.5h or 2h30m")
    return total


def check_epochs(config: TrainConfig, epochs: float, named: str) -> None:
    """Raise ConfigError where ``epochs``, called ``named``, are too few for warmup, milestones or progressive resizing."""
    marks = None if config.optim.milestones is None else list(config.optim.milestones)
    small = config.data.train_scale_epochs
    check(small is None or small < epochs, "data.train_scale_epochs", small, f"less than {named}")
    check(config.warmup < epochs, "warmup", config.warmup, f"less than {named}")
    check(marks is None or marks[-1] < epochs, "optim.milestones", marks, f"less than {named}")


@dataclass(frozen=True)
class AblateConfig(TrainConfig):
    """A ladder of training runs; the options of ``TrainConfig`` that are given hold for every rung."""

    ladder: str = "table6"
    """table4, table5, table6, or a YAML file of your own."""
    seeds: str = "3"
    """How many seeds, from 0 on, or a list of them such as 0,1,5."""
    rungs: str | None = None
    """Train these rungs only, such as efficient,cosine; the report has those that were finished before in its folder too."""
    leave_one_out: bool = False
    """Compare the top rung with all its tricks but one, instead of rung by rung."""
    teacher: str | None = None
    """Teacher of the rungs with distillation, in place of the ladder's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        seed_list(self.seeds)
        check(self.seed == 0, "seed", self.seed, "left out: --seeds names those of an ablation")
        check(self.epochs is not None, "epochs", self.epochs, "given: every rung is trained as long")
        check(self.patience is None, "patience", self.patience, "left out: every rung is trained as long")
        check(self.batch_size != "auto", "batch_size", self.batch_size, "a number: the same for every rung")
        check(
            self.push_to is None,
            "push_to",
            self.push_to,
            "left out: publish the rung that you like with botzoo publish",
        )


MOST_RUNS = 10_000
"""Of one command; more are rather a seed behind the wrong flag."""


def seed_list(text: str) -> list[int]:
    """Return the seeds that ``text``, a count or a list, asks for.

    Raises:
        ConfigError: it is neither, or a seed is repeated.
    """
    parts = text.split(",")
    accepted = f"a count such as 3, up to {MOST_RUNS:,}, or different whole numbers such as 0,1,5"
    check(all(part.strip().isdecimal() and len(part) < 20 for part in parts), "seeds", text, accepted)
    numbers = [int(part) for part in parts]
    check(len(numbers) > 1 or numbers[0] <= MOST_RUNS, "seeds", text, accepted)
    seeds = numbers if len(numbers) > 1 else list(range(numbers[0]))
    check(bool(seeds) and len(set(seeds)) == len(seeds) and max(seeds) < 2**32, "seeds", text, accepted)
    return seeds
