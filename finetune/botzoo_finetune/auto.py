"""Options that suit the data, each with its reason: what to try first on so many images of such a kind.

Rules are functions of what is known before the first step. They choose only what the user has not given, and what they choose
goes into config.yaml, so that a run that is resumed or reproduced does not choose again. The figures that they rest on are in
docs/benchmarks.md, with the command that measures them.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from botzoo.errors import ConfigError
from botzoo.options.choices import Choice
from botzoo.options.facts import stands_in_for
from botzoo.tasks.classification import SKEWED
from botzoo_finetune.config import FinetuneConfig


@dataclass(frozen=True)
class Facts:
    """What is known of a data set and a network before the first step."""

    images: int  # in the training split
    classes: int  # K
    smallest: int  # training images of the smallest class
    largest: int  # of the largest
    side: float  # median side of the training images in pixels, the root of width times height
    input_side: float  # of the network, the root of height times width, in pixels
    mirrored: bool = True  # whether images may be flipped: not those of characters
    probe: float | None = None  # validation accuracy of a linear classifier on the frozen network, in per cent
    gpu: bool = False  # whether the network is trained on one
    epochs: float | None = None  # that the user asks for, None where they are to be chosen
    several: bool = False  # whether an image may have several labels
    optimizer: str = "adamw"
    base_batch: int = 256  # images of a step that the learning rate is for, those of a step without linear scaling
    batch_norm: bool = True  # as ResNets have it and transformers have not


MEASURED = "measured with resnet10d_bot alone"  # the source of rules that docs/benchmarks.md has figures for
ALL_LAYERS = (
    "on Tiny ImageNet, 10 images a class, all layers came to 63.9 %, the probe to 55.5 %; here an epoch is kept only where "
    "it beats the probe"
)
"""Measured on other images than the user's, which the reason must not hide."""
PASSES = 16_000  # training images seen in a run on a processor, each as often as there are epochs
FEWEST_EPOCHS, MOST_EPOCHS = 3, 10
ON_GPU = 5  # so many times as many on a GPU, which is faster by more
EASY = 95.0  # accuracy of the probe, in per cent, from which on half as many images suffice
USUAL, USUAL_SGD = (0.004, 0.05), (0.2, 1e-4)
"""Learning rate at a batch of 256 and weight decay of AdamW, and of SGD with momentum and what is made of it."""
TRANSFORMER_LR = 0.0005
"""At a batch of 256, of optimizers of Adam's kind for networks without BatchNorm, which bear smaller steps only."""
ADAM_DECAY = 1e-4  # weight decay of all others, many of which mix it into the gradient
SGD = ("momentum", "nesterov", "lar", "nlar")  # how those names begin that are made of SGD and do not say so
ENOUGH = 100  # images of a class from which on the whole learning rate does no harm
LEAST = 0.1  # of the whole learning rate, for however few images
STRONG_CROPS = 200_000  # images seen in a run from which on small crops pay
LARGE, LONG = 20_000, 80  # images and epochs from which mixup pays
SHORT = 16_000  # images that pass in a --budget at most, below which a smaller input and more of them are better
SMALLER = 0.75  # share of the input's side that is left then, about


def choose(facts: Facts) -> tuple[Choice, ...]:
    """Return the options that suit a data set and a network, each with its reason."""
    epochs = epochs_for(facts)
    seen = facts.images * (facts.epochs or float(str(epochs.value)))
    lower = "each layer more slowly than the one above it: the lower, the more general"
    layers = Choice("layer_decay", 0.9, lower, "Howard and Ruder 2018, arXiv:1801.06146, section 3.2")
    here = f"; the probe has {facts.probe:.1f} % of these images right" if facts.probe is not None else ""
    all_layers = Choice("freeze", "none", f"{ALL_LAYERS}{here}", "measured with the embedded resnet10d_bot")
    rates = lr_for(facts), weight_decay_for(facts.optimizer)
    return epochs, *rates, layers, train_scale_for(facts), all_layers, *for_length(facts, seen)


def smaller_input(side: float, input_side: int, smaller: int, in_time: float) -> Choice | None:
    """Return the side of the input that suits a --budget, None where it is the network's own.

    ``smaller``, in pixels, may take the place of ``input_side``, of which ``in_time`` training images pass in the whole
    time, were it all spent on them.
    """
    if in_time >= SHORT or not side <= smaller < input_side:
        return None
    time = f"{in_time:,.0f} images of {input_side} px at most pass in that time"
    why = f"{time}, and images have {side:.0f} px: a smaller input, and more of them"
    return Choice("img_size", smaller, why, MEASURED)


def epochs_for(facts: Facts) -> Choice:
    """Choose epochs by how often so few images may be seen, fewer where the probe is nearly right."""
    easy = facts.probe is not None and facts.probe >= EASY
    passes, most, epochs = length_for(facts.images, facts.gpu, easy=easy)
    seen = f"about {passes:,} images seen are minutes on a {'GPU' if facts.gpu else 'processor'}"
    enough = f"about {passes:,} images seen suffice where a probe has {facts.probe or 0:.1f} % right already"
    bounds = f"{FEWEST_EPOCHS} epochs at least, {most} at most"
    return Choice("epochs", epochs, f"{enough if easy else seen}; {bounds}", MEASURED)


def length_for(images: int, gpu: bool, *, easy: bool) -> tuple[int, int, int]:
    """Return how many images may be seen, how many epochs there are at most, and how many are chosen."""
    passes, most = (PASSES * ON_GPU, MOST_EPOCHS * ON_GPU) if gpu else (PASSES, MOST_EPOCHS)
    passes //= 2 if easy else 1
    return passes, most, min(most, max(FEWEST_EPOCHS, round(passes / images)))


def lr_for(facts: Facts) -> Choice:
    """Choose the learning rate that is usual for the optimizer, or a share of it where classes have few images."""
    whole, source = usual(facts.optimizer)[0], "as for AdamW or SGD"
    if facts.optimizer.lower() in ("adamw", "sgd"):
        source = MEASURED
    if not facts.batch_norm and whole == USUAL[0]:
        whole, source = TRANSFORMER_LR, "of ViT-B: He 2022, arXiv:2111.06377, its code"
    mean = facts.images / facts.classes
    share, each = min(1.0, max(LEAST, mean / ENOUGH)), f"{mean:,.{0 if mean >= 1 else 2}f} images a class"
    few = f"with {each} a higher one loses more of what the weights know than the images teach"
    why = few if share < 1 else f"{each} suffice to adapt all layers"
    return Choice("lr", float(f"{whole * share * facts.base_batch / 256:.2g}"), why, source)


def weight_decay_for(optimizer: str) -> Choice:
    """Choose the weight decay that is usual for the optimizer."""
    decay, name = usual(optimizer)[1], optimizer.lower()
    if decay == USUAL[1]:
        why = "usual for AdamW, which takes it apart from the gradient"
        return Choice("optim.weight_decay", decay, why, "Loshchilov 2019, arXiv:1711.05101")
    return Choice("optim.weight_decay", decay, f"usual for {name}, which adds it to the gradient", "GluonCV's recipes")


def train_scale_for(facts: Facts) -> Choice:
    """Choose the size of training crops beside the input's."""
    own = f"{facts.input_side:.0f} px"
    why, source = f"training crops are as large as the input, {own}", "as in timm's own recipes"
    if facts.side < facts.input_side:
        why = f"crops below the input's {own} cost more than they save, though images have {facts.side:.0f} px"
        source = MEASURED
    return Choice("data.train_scale", 1.0, why, source)


def crop_for(seen: float) -> float:
    """Return the smallest crop of a run in which so many images are ``seen``."""
    return 0.35 if seen >= STRONG_CROPS else 0.7


def for_length(facts: Facts, seen: float) -> Iterator[Choice]:
    """Yield what depends on how many images are ``seen`` in the run."""
    if facts.mirrored:
        value = crop_for(seen)
        length = "long enough for small" if seen >= STRONG_CROPS else "too short for smaller"
        yield Choice("data.crop_min", value, f"a run that sees {seen:,.0f} images is {length} pieces", MEASURED)
    pays = facts.images >= LARGE and seen >= LONG * facts.images
    why = f"it pays from about {LARGE:,} images and {LONG} epochs on"
    if not facts.several and facts.smallest and facts.largest > SKEWED * facts.smallest:
        apart = f"classes of {facts.smallest:,} to {facts.largest:,} images"
        best = "top-1 is best with their own frequencies; balanced is for rare classes that matter as much"
        yield Choice("class_weights", "none", f"{apart}: {best}", "Bayes' rule")
    yield Choice("mixup", 0.2 if pays else 0.0, why, "Kolesnikov 2020, arXiv:1912.11370, section 3.3")
    if not facts.several:
        yield Choice("label_smoothing", 0.1 if pays else 0.0, why, "He 2018, section 5")


def usual(optimizer: str) -> tuple[float, float]:
    """Return the learning rate at a batch of 256, and the weight decay, that an optimizer of this name starts from."""
    name = optimizer.lower()
    if "sgd" in name or name.startswith(SGD):
        return USUAL_SGD
    return USUAL[0], USUAL[1] if "adamw" in name else ADAM_DECAY


def for_optimizer(config: FinetuneConfig, given: Collection[str]) -> FinetuneConfig:
    """Return ``config`` with what is usual for its optimizer in the place of what is not ``given``.

    Raises:
        ConfigError: the learning rate depends on a batch size that is not known yet.
    """
    lr, decay = usual(config.optimizer)
    if "lr" not in given:
        if config.batch_size == "auto" and not config.linear_scaling:
            unknown = "--batch-size auto with --no-linear-scaling leaves open what batch the learning rate is for"
            raise ConfigError(f"{unknown}: give --lr too.")
        config = replace(config, lr=lr)
    if "optim.weight_decay" not in given:
        config = replace(config, optim=replace(config.optim, weight_decay=decay))
    return config


def stands_aside(option: str, given: Collection[str]) -> bool:
    """Return whether the user has given ``option``, or another that stands in its place."""
    return not {option, *stands_in_for(option)}.isdisjoint(given)
