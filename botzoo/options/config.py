"""The options of a run, as frozen dataclasses that are checked when they are made.

Importing this module is cheap: neither torch nor timm is needed to print ``--help`` or to refuse a wrong value. Each option is
one declaration with all its facts; ``botzoo.options.facts`` says what each of them means.
"""

from dataclasses import dataclass, field
from typing import Literal

from botzoo.errors import ConfigError
from botzoo.options.accepted import (
    BUDGET,
    COLOUR,
    FOLD,
    IMG_SIZE,
    LICENSE,
    MILESTONES,
    RANGE,
    REPO,
    SCALES,
    SEEDS,
    SPLITS,
)
from botzoo.options.facts import Accepted, Configuration, Need, When, above, at_least, between, check, option, refuse

_SEED = between(0, 2**32, "[)")


def _something(words: str) -> Accepted:
    return Accepted(words, lambda value: all(value) if isinstance(value, tuple) else bool(value))


# An option is an entry of a table: with a line for each of its facts one would no longer see them together.
# fmt: off


@dataclass(frozen=True)
class DataConfig:
    """How images are found, split and cropped."""

    image_column: str | None = option(None, "Column that holds the images.", "Data", metavar="NAME",
        unset="the one of type Image")
    label_column: str | None = option(None, "Column that holds the labels.", "Data", metavar="NAME",
        unset="the one of type ClassLabel")
    splits: str | None = option(None, "Say which folders, files or tables are which split. + joins several, none=NAME "
        "leaves one out, and train=. takes all folders of the data set for classes.", "Data", metavar="ROLE=NAME,...",
        unset="told by their names", accepts=SPLITS)
    label_separator: str | None = option(None, "What stands between several labels in one cell of a table: |, ;, a comma "
        "or space. none: a cell is one label.", "Data", metavar="TEXT", unset="found out, as far as it is beyond doubt",
        presumes={Need.READ_WHOLE})
    channels: int | None = option(None, "Channels of the images. 1 keeps grey images grey, and makes colours grey; more "
        "than 3 are of TIFF and .npy files. The first convolution of the weights is fitted to them.", "Data",
        unset="3, or as many as the first image has beyond", accepts=between(1, 256))
    background: str = option("white", "Colour that transparent images lie on, by its name or as #rrggbb.", "Data",
        metavar="COLOUR", accepts=COLOUR, unsaid="white")
    range: tuple[float, float] | None = option(None, "Values that become black and white of images of more than 8 bits, "
        "such as 0,4095. They are the same for all images.", "Data", metavar="LOW,HIGH", unset="found from all of them",
        accepts=RANGE)
    val_fraction: float = option(0.2, "Share of the images set aside for validation, where no split is. They are drawn "
        "at random, class by class.", "Data", common=True, accepts=between(0, 1, "()"))
    split_seed: int | None = option(None, "Seed of what is set aside, and of the folds.", "Data",
        unset="that of --seed", accepts=_SEED)
    group: str | None = option(None, "What tells which images belong together and stay in one split and one fold, such as "
        "those of one patient. A column of the table; a number of folders, 1 for the folder that the image lies in; or a "
        "regular expression for its path.", "Data", metavar="COLUMN|LEVEL|REGEX", unset="every image by itself",
        accepts=_something("a column, a number of folders or a regular expression"), presumes={Need.READ_WHOLE})
    crops: bool = option(False, "Make an image of each box of a data set with boxes, and learn the classes of the boxes. "
        "Those of one picture stay in one split and one fold.", "Data", presumes={Need.READ_WHOLE},
        excludes={When("task", "detect"): "each say what becomes of boxes", When("task", "segment"): "masks have no boxes"},
        unsaid=False)
    fold: str | None = option(None, "Cut training and validation images into N stratified folds, test on the K-th and "
        "train on the others. Of those --data.val-fraction is set aside; a test split of the data set stays unread. "
        "See botzoo-finetune --folds.", "Data", metavar="K/N", accepts=FOLD,
        presumes={Need.ONE_LABEL, Need.SINGLE_RUN, Need.READ_WHOLE})
    test_split: bool = option(True, "Evaluate the finished run on the test split, where there is one. Without it that "
        "split stays unread.", "Evaluation", unsaid=True)
    crop_min: float | None = option(None, "Smallest area of the random training crop, as a share of the image. 1 "
        "trains on whole images.", "Augmentation", unset="0.35 from ten epochs on and 0.7 below; 0.8 for characters; "
        "0.08 with --paper-augment", accepts=between(0, 1, "(]"), presumes={Need.WHOLE_IMAGE},
        instead={"paper_augment", "budget"})
    scales: tuple[float, float] | None = option(None, "Sides of a picture in training as shares of those in evaluation, "
        "for masks and boxes: drawn between these two for each, cropped where it is larger and padded where it is "
        "smaller.", "Augmentation", metavar="LOW,HIGH", unset="0.75,1.5 for masks, 1,1 for boxes", accepts=SCALES)
    train_scale: float = option(1.0, "Side of the training crops as a share of the input's. It is rounded to 32 "
        "pixels, or 16 where the input is below 128. Less than 1 trains faster, on images that are unlike those of "
        "evaluation. Without effect on networks of fixed size.", "Model", accepts=between(0.25, 2),
        presumes={Need.IMAGES_EACH_STEP})
    train_scale_epochs: int | None = option(None, "Progressive resizing: epochs, from the first on, that "
        "--data.train-scale holds for. The rest are trained on crops of the input's own size, from which the network "
        "learns what objects look like at that size.", "Model", unset="all of them", accepts=at_least(1),
        needs=When("data.train_scale"), shrinks=lambda epochs: None)
    fit: Literal["crop", "squash", "pad"] | None = option(None, "How images of another shape than the input's are made "
        "to fit it. crop: the middle is cut out, and what lies outside is never evaluated; squash: all of the image, "
        "its sides resized apart; pad: all of the image, with the mean colour beside it. Training crops follow.",
        "Model", unset="the weights' own, mostly crop; botzoo-finetune tries the three on long images",
        presumes={Need.WHOLE_IMAGE})
    hflip: float | None = option(None, "Probability of a horizontal flip.", "Augmentation",
        unset="0.5, and 0 for data sets of characters", accepts=between(0, 1))
    sampling: Literal["uniform", "balanced", "sqrt"] = option("uniform",
        "How often images come in an epoch. uniform: each once; balanced: every class as often; sqrt: each class in "
        "proportion to the square root of its images. The epoch is as long either way.", "Data",
        presumes={Need.ONE_LABEL, Need.READ_WHOLE})
    cache_gib: float = option(20.0, "Size in GiB up to which decoded images are kept, on half of the free disk at most. "
        "They are mapped from the disk; beyond it images are decoded every epoch.", "Engine", accepts=at_least(0),
        machine=True)
    side: int | None = option(None, "Shorter side in pixels that larger images are reduced to when they are decoded. 0 "
        "never reduces them.", "Data", metavar="PX", unset="what evaluation and the mean crop need; the smallest crop, "
        "where images are decoded in every epoch", accepts=at_least(0))
    copies: Literal["auto", "always", "never"] = option("auto", "Train on smaller JPEGs (quality 95) of the images that "
        "are reduced. They are made before the first epoch and kept up to --data.cache-gib; evaluation decodes the images "
        "themselves. auto: where decoded images would take more, and the files have at least twice the pixels needed.",
        "Data", presumes={Need.READ_WHOLE}, unsaid="auto")
    streaming: bool = option(False, "Read .tar or .parquet shards from front to back. They lie in a folder or on the "
        "Hub, and the data set is not loaded.", "Data", presumes={Need.IMAGES_EACH_STEP}, rules_out=Need.READ_WHOLE)
    shuffle_buffer: int = option(2048, "Streaming: images from which each process draws the next one at random. They "
        "are held in memory, still encoded.", "Data", accepts=at_least(1))
    epoch_images: int | None = option(None, "Streaming: images in an epoch.", "Data", unset="all of them",
        accepts=at_least(1), needs=When("data.streaming"))
    classes: str | None = option(None, "Streaming: number of classes, or a text file with the name of one on each "
        "line. For shards that do not name them.", "Data", metavar="N|FILE", needs=When("data.streaming"))


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training images besides crop and flip, in this order and before --paper-augment's colours."""

    vflip: float = option(0.0, "Probability of a vertical flip.", "Augmentation", accepts=between(0, 1),
        presumes={Need.WHOLE_IMAGE}, unsaid=0.0)
    rotate90: bool = option(False, "Turn images by 0, 90, 180 or 270 degrees, each as likely.", "Augmentation",
        presumes={Need.WHOLE_IMAGE}, unsaid=False)
    randaugment: int = option(0, "RandAugment: two random operations of this magnitude. 9 of 30 is usual, 0 for none.",
        "Augmentation", accepts=between(0, 30),
        presumes={Need.COLOURS, Need.WHOLE_IMAGE},
        excludes={When("augment.trivialaugment"): "each choose the operations"}, unsaid=0)
    trivialaugment: bool = option(False, "TrivialAugment: one random operation of random magnitude.", "Augmentation",
        presumes={Need.COLOURS, Need.WHOLE_IMAGE}, unsaid=False)
    color_jitter: float = option(0.0, "Scale brightness, contrast and saturation by factors up to this far from 1. 0.4 "
        "is usual.", "Augmentation", accepts=between(0, 1), presumes={Need.COLOURS}, unsaid=0.0)
    blur: float = option(0.0, "Probability of a Gaussian blur. Its sigma is 0.1 to 2 pixels, within a tenth of the "
        "image's side.", "Augmentation", accepts=between(0, 1), unsaid=0.0)
    noise: float = option(0.0, "Standard deviation of Gaussian noise, as a share of the range from black to white. "
        "0.05 is much.", "Augmentation", accepts=between(0, 1), unsaid=0.0)
    random_erasing: float = option(0.0, "Probability that a rectangle of 2 to 33 % of the image gets the mean colour. "
        "0.25 is usual.", "Augmentation", accepts=between(0, 1), unsaid=0.0)


@dataclass(frozen=True)
class OptimConfig:
    """The optimizer's own settings, and how the learning rate falls without a cosine."""

    decay: Literal["constant", "step", "exponential", "plateau"] = option("constant",
        "How the learning rate falls with --no-cosine. constant: not at all; step: at --optim.milestones; "
        "exponential: every --optim.decay-every epochs; plateau: after --optim.decay-patience epochs without a better "
        "figure on the validation split.", "Optimizer", needs=When("cosine", False), counts_with=When("cosine", False))
    milestones: tuple[int, ...] | None = option(None, "For decay step: the epochs, such as [30,60,90], after which the "
        "rate falls.", "Optimizer", unset="every quarter of the run", accepts=MILESTONES,
        needs=When("optim.decay", "step"), shrinks=lambda epochs: None)
    decay_factor: float | None = option(None, "Factor on the learning rate at each fall.", "Optimizer",
        unset="0.1, and 0.94 for decay exponential", accepts=between(0, 1, "()"))
    decay_every: int = option(2, "For decay exponential: epochs from one fall to the next.", "Optimizer",
        accepts=at_least(1, "epochs"), counts_with=When("optim.decay", "exponential"))
    decay_patience: int = option(5, "For decay plateau: epochs without a better figure on the validation split before "
        "each fall.", "Optimizer", accepts=at_least(1, "epochs"), counts_with=When("optim.decay", "plateau"))
    momentum: float = option(0.9, "Momentum, for the optimizers that have one.", "Optimizer",
        accepts=between(0, 1, "[)"))
    betas: tuple[float, float] | None = option(None, "Betas of Adam and its kind, such as [0.9,0.95].", "Optimizer",
        unset="the optimizer's own",
        accepts=Accepted("two, at least 0 and less than 1", lambda betas: all(0 <= beta < 1 for beta in betas)))
    weight_decay: float = option(1e-4, "Weight decay of convolution and linear weights. Without --no-bias-decay it is "
        "that of all parameters.", "Optimizer", accepts=at_least(0))
    clip_grad: float | None = option(None, "Clip the gradient to this norm.", "Optimizer", unset="not clipped",
        accepts=above(0))

    @property
    def factor(self) -> float:
        """Factor on the learning rate at each fall."""
        if self.decay_factor is not None:
            return self.decay_factor
        return 0.94 if self.decay == "exponential" else 0.1


@dataclass(frozen=True)
class DistillConfig:
    """The constants of --distillation; without a teacher they count for nothing."""

    temperature: float = option(20.0, "What the logits of teacher and student are divided by, so that the teacher's "
        "small answers count. 20 in the paper.", "Tricks", accepts=above(0), counts_with=When("distillation"))
    weight: float = option(1.0, "Factor on the teacher's part of the loss, besides the square of the temperature. 1 in "
        "the paper.", "Tricks", accepts=above(0), counts_with=When("distillation"))


@dataclass(frozen=True)
class DetectConfig:
    """What a detector looks for boxes with."""

    anchors: float | None = option(None, "Side of the square anchors, in strides of the map that they lie on. Boxes are "
        "found as moves of these; 8 is usual.", "Model", unset="what fits the boxes of the training images best",
        accepts=between(1, 32), needs=When("task", "detect"))
    stride: int | None = option(None, "Pixels between two cells of the finest map that is looked at: 4, 8 or 16. 4 is for "
        "small boxes, and takes a third more time than 8.", "Model", unset="8 where boxes are 16 px and more, else 4",
        accepts=Accepted("4, 8 or 16", lambda stride: stride in (4, 8, 16)), needs=When("task", "detect"))


@dataclass(frozen=True)
class EngineConfig:
    """How the work is done. What is a matter of a micro-batch depends on it: BatchNorm's statistics, the pairs that are mixed,
    and the number of pixels or boxes that the loss of masks and boxes is a mean over; nothing else does."""

    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto",
        "Where to compute. auto takes a GPU where there is one.", "Engine", machine=True)
    channels_last: bool = option(True,
        "Store images with the channels last, the faster order on CPUs and tensor cores.", "Engine")
    workers: int | None = option(None, "Processes that decode and augment, for each training process.", "Engine",
        unset="0 on a CPU, up to 8 beside a GPU", accepts=at_least(0), machine=True)
    micro_batch: int | None = option(None, "Images in one forward pass of one process.", "Engine",
        unset="its share of the batch, halved while memory falls short", accepts=at_least(1),
        excludes={When("batch_size", "auto"): "both depend on the memory there is"})
    sync_bn: bool = option(False,
        "Take BatchNorm's statistics over all GPUs instead of each one's own share of the batch.", "Engine")
    log_every: int = option(10, "Steps between two lines in metrics.jsonl.", "Output", accepts=at_least(1),
        machine=True)


@dataclass(frozen=True)
class TrainConfig(Configuration):
    """One training run: what every kind of training has in common; one field per trick, named as its file."""

    dataset: str = option("digits", "Folder of images, Hub id, or short name such as cifar10. digits is built in.",
        "Data", common=True, metavar="NAME", accepts=_something("a name, a Hub id or a folder"), stated=True)
    task: Literal["classify", "detect", "segment"] | None = option(None, "classify, detect or segment. classify: which "
        "class an image is of, or which labels it has; detect: boxes around objects; segment: the class of each pixel.",
        "Data", common=True, metavar="KIND", unset="classify", stated=True)
    labels: str | None = option(None, "Table of the labels of the images in --dataset. It is a .csv, .tsv, .jsonl, "
        ".parquet, .txt or .json file, also .gz, with a row for each image; folders takes the class folders, where a "
        "table says otherwise.",
        "Data", common=True, metavar="FILE", unset="class folders, or a table there",
        accepts=_something("a file"), presumes={Need.READ_WHOLE}, stated=True)
    model: str = option("resnet10d_bot", "Any model of timm, also hf-hub:owner/name and local-dir:PATH. name.tag names "
        "its weights too.", "Model", common=True, metavar="NAME", stated=True)
    pretrained: str | None = option(None, "Weights to start from: a tag, hf-hub:owner/name, local-dir:PATH or a "
        ".safetensors file. FILE.safetensors@PREFIX names one network of several in a file.", "Model", metavar="WEIGHTS",
        unset="the model's own")
    head: Literal["fpn", "fcn16", "fcn8"] | None = option(None, "What gives each pixel its class. fpn: a feature pyramid on "
        "maps of all sizes; fcn16 and fcn8: the head of a fully convolutional network on the last map, 1/16 or 1/8 as "
        "large as the input.", "Model", unset="fpn", needs=When("task", "segment"))
    scratch: bool = option(False, "Start from random weights instead of pretrained ones.", "Model", common=True,
        excludes={When("pretrained"): "each say what weights to start from"}, stated=True)
    output: str | None = option(None, "Folder of the run.", "Output", common=True, metavar="PATH",
        unset="runs/DATASET-MODEL, numbered", accepts=_something("a folder"), machine=True)
    epochs: int | None = option(None, "Passes over the training images.", "Length", common=True,
        unset="enough for 100 steps, from 3 to 30", accepts=at_least(1),
        excludes={When(name): "each say how long to train" for name in ("steps", "budget")},
        instead={"steps", "budget"})
    steps: int | None = option(None, "Optimizer steps of the whole run, in place of --epochs. The last epoch may be "
        "cut short.", "Length", accepts=at_least(1), excludes={When("budget"): "each say how long to train"})
    budget: str | None = option(None, "Time for the whole command, such as 10m, in place of --epochs. 90s, 1.5h and "
        "2h30m are others. The speed is measured first and the steps set so that the run, its evaluations and its "
        "model folder end on time. The warmup takes a fifth of it at most. The steps that are left are counted anew "
        "after each epoch; within one, the log says how late a slower machine will be.", "Length", common=True,
        metavar="TIME", accepts=BUDGET, presumes={Need.SINGLE_RUN})
    # A number of images can stand beside everything; what auto does cannot.
    batch_size: int | Literal["auto"] | None = option(None, "Images in one optimizer step. That is over all "
        "processes; auto takes the largest power of two for which the memory suffices, up to 1,024 and with 20 steps "
        "an epoch.", "Length", common=True, unset="64, fewer for small data sets",
        accepts=Accepted("2 or more, or auto", lambda size: size == "auto" or size >= 2),
        presumes={Need.SINGLE_RUN}, used=lambda size: size == "auto")
    lr: float = option(0.01, "Peak learning rate, at a batch of 256. With --no-linear-scaling it is taken as it is.",
        "Optimizer", common=True, accepts=between(0, 100, "()"))
    optimizer: str = option("sgd", "Any optimizer of timm by its name. sgd has Nesterov momentum.", "Optimizer",
        common=True, metavar="NAME")
    img_size: int | tuple[int, int] | None = option(None, "Side of the square input in pixels, or height and width. "
        "128 512, 128x512 and [128,512] are images four times as wide as high.", "Model", common=True, metavar="N|H W",
        unset="the model's own", accepts=IMG_SIZE, instead={"data.train_scale"})
    seed: int = option(0, "Seed of everything random. It is that of split, order, augmentation, new layers, mixup and "
        "dropout.", "Output", common=True, accepts=_SEED)
    linear_scaling: bool = option(True, "Trick: multiply the learning rate by batch size / 256.", "Optimizer")
    warmup: float = option(0.5, "Trick: epochs over which the learning rate rises from 0. 0 for none. Where it is not "
        "given it takes a fifth of a run that is shorter.", "Optimizer", accepts=at_least(0, "epochs"),
        shrinks=lambda epochs: epochs / 5)
    cosine: bool = option(True, "Trick: let the learning rate fall to 0 along a cosine after the warmup. Otherwise see "
        "--optim.decay.", "Optimizer")
    zero_gamma: bool = option(True, "Start every residual block as the identity. Counts with --scratch only.",
        "Tricks", counts_with=When("scratch"))
    xavier_init: bool = option(False, "Draw convolution and linear weights uniformly after Xavier, biases 0. Counts "
        "with --scratch only. Without it they start as timm draws them: the convolutions of ResNets and MobileNet are "
        "Kaiming normal by fan-out already, those of Inception-V3 normal with deviation 0.1.", "Tricks",
        counts_with=When("scratch"))
    paper_augment: bool = option(False, "Crop and colour images as the paper does. Crops from 8 % on, hue, saturation "
        "and brightness scaled by 0.6 to 1.4, PCA noise; with --scratch its mean and std too, else those of the "
        "weights.", "Tricks", presumes={Need.IMAGES_EACH_STEP, Need.COLOURS, Need.WHOLE_IMAGE},
        excludes={When("augment.color_jitter"): "both scale brightness and saturation"})
    no_bias_decay: bool = option(True, "Weight decay on weights only, not on biases, gammas and betas.", "Tricks")
    label_smoothing: float = option(0.0, "Share of the target spread over the other classes. 0.1 in the paper.",
        "Tricks", common=True, accepts=between(0, 1, "[)"), presumes={Need.ONE_LABEL},
        instead={"distillation", "budget"})
    label_smoothing_over: Literal["others", "all"] = option("others", "The classes that the share is spread over. "
        "others: all but the true one, as in the paper; all: as in timm and torch.", "Tricks",
        counts_with=When("label_smoothing"))
    class_weights: Literal["none", "balanced", "effective"] = option("none",
        "Factor on the loss of the images of each class. balanced: one over its number of images, as scikit-learn's; "
        "effective: one over its effective number of images, which evens out large classes less. The mean over all "
        "images is 1.", "Data", presumes={Need.ONE_LABEL},
        excludes={When("data.sampling"): "both make up for rare classes"}, instead={"data.sampling"})
    mixup: float = option(0.0, "Mix pairs of images, with this alpha. It is that of the Beta distribution, 0.2 in the "
        "paper, 0 for none.", "Tricks", common=True, accepts=at_least(0),
        presumes={Need.IMAGES_EACH_STEP, Need.WHOLE_IMAGE},
        instead={"cutmix", "distillation", "budget"})
    cutmix: float = option(0.0, "Alpha of CutMix, which puts a box of one image into another. 1 is usual, 0 for none. "
        "With --mixup each takes half of the steps.", "Augmentation", accepts=at_least(0),
        presumes={Need.IMAGES_EACH_STEP, Need.WHOLE_IMAGE})
    distillation: str | None = option(None, "A teacher whose answers are learned too. It has the same classes: any "
        "model of timm with weights, name or name.tag, hf-hub:owner/name, local-dir:PATH, or the folder of a finished "
        "run.", "Tricks", common=True, metavar="MODEL", accepts=_something("a model or the folder of a run"),
        presumes={Need.ONE_LABEL, Need.IMAGES_EACH_STEP})
    mixed_precision: Literal["auto", "bf16", "fp16", "fp32"] = option("auto",
        "Trick: arithmetic in half precision with fp32 weights. auto takes the fastest that is sound here.", "Engine")
    drop_rate: float = option(0.0, "Dropout before the classifier: share of its inputs set to 0 in training.",
        "Tricks", accepts=between(0, 1, "[)"), presumes={Need.WHOLE_IMAGE})
    ema: float | None = option(None, "Also average the weights with this decay, such as 0.999, and evaluate and keep "
        "the average. The average is warmed up.", "Evaluation", accepts=between(0, 1, "()"))
    soup: int | None = option(None, "Greedy model soup: average the weights of up to so many of the best epochs at "
        "the end. Each of them is added only where the validation split gains by it; 5 is usual.", "Evaluation",
        unset="the best epoch is kept alone", accepts=at_least(2, "epochs"))
    unlike: bool = option(True, "Keep what tells images unlike the training images: how the features of some of them are "
        "distributed. botzoo predict marks such images. It takes another look at 500 to 1,000 training and 200 validation "
        "images at the end.", "Evaluation", unsaid=True)
    patience: int | None = option(None, "Stop after this many epochs without a gain on the validation split. It "
        "counts the headline figure, such as top-1, or --select-by.", "Length", common=True, accepts=at_least(1, "epochs"))
    min_delta: float = option(0.0, "Gain in the figure on the validation split, in percentage points, that counts as "
        "better for --patience. Of --select-by log-loss it is in nats.", "Length",
        accepts=at_least(0, "percentage points"))
    select_by: Literal["balanced-accuracy", "macro-f1", "micro-f1", "roc-auc", "average-precision", "kappa",
        "quadratic-kappa", "log-loss", "pixel-accuracy", "mean-accuracy"] | None = option(None, "Metric of the validation "
        "split that chooses the epoch, and that --patience and --soup go by. It is balanced-accuracy, macro-f1, micro-f1 "
        "(several labels only), roc-auc, average-precision, kappa, quadratic-kappa (classes whose names stand in their "
        "order, such as 0_none to 4_severe) or log-loss; of masks pixel-accuracy or mean-accuracy. The headline figure "
        "stays.", "Evaluation", metavar="METRIC", unset="top-1, mAP of several labels and of boxes, mIoU of masks")
    reject: float | None = option(None, "Answer none of these where the model is unsure. The least probability of an "
        "answer is fitted on the validation split, so that the answers given are right with this probability, such as "
        "0.95; botzoo predict keeps to it.", "Evaluation", metavar="P", unset="every image is answered",
        accepts=between(0, 1, "()"), presumes={Need.ONE_LABEL})
    skip_corrupt: bool = option(False, "Leave out images that cannot be read, and list them, instead of stopping.",
        "Data", stated=True)
    predict: tuple[str, ...] | None = option(None, "Also keep the answers for these: splits such as train, or folders of "
        "images, with labels or without. They go into predictions-NAME.csv. A folder may be one in --dataset, such as a "
        "test folder without class folders; the names of class folders are labels.", "Evaluation",
        metavar="SPLIT|FOLDER,...", accepts=_something("splits or folders of images, with a comma between them"),
        machine=True)
    predictions: Literal["wide", "top"] | None = option(None, "Probabilities in predictions.csv. wide: a column for "
        "each class; top: the five likeliest classes by name.", "Evaluation", unset="wide up to 100 classes", machine=True)
    report: bool = option(True, "Write report.html into the run's folder at the end. It shows how good the network is, "
        "and its mistakes with their pictures.", "Output", machine=True)
    checkpoint_every: int | None = option(None, "Also write a checkpoint every so many steps. One is written after "
        "each epoch anyway.", "Output", accepts=at_least(1, "steps"), machine=True)
    keep_checkpoints: int = option(3, "How many checkpoints to keep, the newest.", "Output", accepts=at_least(1),
        machine=True)
    tracker: str | None = option(None, "Also log to a tracker of accelerate: tensorboard, wandb, trackio, mlflow, ...",
        "Output", metavar="NAME", machine=True)
    push_to: str | None = option(None, "Publish the model on the Hub at the end, as owner/name. See botzoo publish.",
        "Output", common=True, metavar="REPO", accepts=REPO, presumes={Need.SINGLE_RUN}, machine=True)
    private: bool = option(False, "With --push-to: for its owner only.", "Output", needs=When("push_to"), machine=True)
    license: str | None = option(None, "Licence of the trained weights, such as apache-2.0. For where that of the "
        "weights it starts from is not known.", "Output", metavar="NAME", accepts=LICENSE, stated=True)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)

    @property
    def split_seed(self) -> int:
        """Seed of what is set aside and of the folds."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    def __post_init__(self) -> None:
        super().__post_init__()
        optim = self.optim
        if optim.decay == "plateau" and self.patience is not None and self.patience <= optim.decay_patience:
            falls = f"which takes --optim.decay-patience {optim.decay_patience} epochs: give a longer --patience"
            raise ConfigError(f"--patience {self.patience} stops before the learning rate falls, {falls}.")
        if self.augment.rotate90 and not isinstance(self.img_size, int | None) and len({*self.img_size}) > 1:
            turned = "--augment.rotate90 turns images on their side"
            size = "{} {}".format(*self.img_size)
            raise ConfigError(f"{turned}, and --img-size {size} is no square: leave one of the two out.")


@dataclass(frozen=True)
class LadderConfig(TrainConfig):
    """The rungs of a ladder with several seeds; the options of one run that are given hold for every rung."""

    ladder: str = option("table6", "table4, table5, table6, or a YAML file of your own.", "Ladder", common=True,
        metavar="NAME")
    seeds: str = option("3", "How many seeds, from 0 on, or a list of them such as 0,1,5.", "Ladder", common=True,
        metavar="N|LIST", accepts=SEEDS)
    rungs: str | None = option(None, "Train these rungs only, such as efficient,cosine. The report has those that "
        "were finished before in its folder too.", "Ladder", common=True, metavar="LIST", unset="all")

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.seed == 0, "seed", self.seed, "left out: --seeds names those of all rungs")
        check(self.patience is None, "patience", self.patience, "left out: every rung is trained as long")


@dataclass(frozen=True)
class AblateConfig(LadderConfig):
    """A ladder of training runs."""

    leave_one_out: bool = option(False, "Compare the top rung with all its tricks but one, instead of rung by rung.",
        "Ladder", common=True)
    teacher: str | None = option(None, "Teacher of the rungs with distillation, in place of the ladder's own.",
        "Ladder", common=True, metavar="MODEL")

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.epochs is not None, "epochs", self.epochs, "given: every rung is trained as long")
        refuse(self, Need.SINGLE_RUN, "and the rungs of an ablation are compared with each other")


# fmt: on
