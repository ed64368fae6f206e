"""What a page shows besides figures: images, augmentation and network of a run, where they can still be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from botzoo.data.decode import decoding
from botzoo.data.images import Images
from botzoo.data.open import cut, find
from botzoo.data.transforms import Prepared, Transform
from botzoo.errors import BotzooError, DataError
from botzoo.inference.load import load
from botzoo.inference.predict import Model
from botzoo.models.preprocessing import Decoding, Preprocessing
from botzoo.pixels.bands import AtHand, Picture, picture_of
from botzoo.results.record import RunRecord
from botzoo.sources.base import Encoded, ImageData, Split
from botzoo.util.text import brief, counted

UNREADABLE = (BotzooError, OSError, ValueError, MemoryError)


@dataclass
class Originals:
    """Images of a split, one by one.

    Attributes:
        opened: gives image i, decoded as for the network; None where no image can be had.
        encoded: returns image i as it is stored.
        target: returns what is there on image i, as ``Split.target``.
        lost: those that were asked for and could not be had.
    """

    opened: Callable[[int], AbstractContextManager[AtHand]] | None = None
    encoded: Callable[[int], Encoded] | None = None
    target: Callable[[int], Any] | None = None
    lost: set[int] = field(default_factory=set)

    def picture(self, i: int) -> Picture | None:
        """Return image i with all its channels; None where it is gone or cannot be read."""
        if self.opened is None:
            return None
        try:
            with self.opened(i) as picture:
                return picture_of(picture)
        except UNREADABLE:
            self.lost.add(i)
            return None

    def target_of(self, i: int) -> Any:
        """Return what is there on image i; raise DataError where that cannot be had."""
        if self.target is None:
            raise DataError(f"What is on image {i} is not known.")
        return self.target(i)


@dataclass(frozen=True)
class Material:
    """What can be had of a run.

    Attributes:
        evaluated: the images that the figures are of, in the order of ``RunRecord.evaluation``.
        trained: the training images, in the order of the run.
        training: how many there are.
        augment: makes the pixels of training image i in epoch e from the key (e, i); None where that is not known.
        model: the trained network.
        absent: a sentence for each thing that cannot be had.
    """

    evaluated: Originals
    trained: Originals = field(default_factory=Originals)
    training: int = 0
    augment: Transform | None = None
    model: Model | None = None
    absent: Sequence[str] = ()


def of_run(run: Any) -> Material:
    """Return the material of a ``botzoo.training.state.Run`` that has just finished: all of it is in memory."""
    role = "test" if "test" in run.images else "validation"
    evaluated, trained = (run.images[name] for name in (role, "train"))
    names, network = tuple(run.data.class_names), run.trainer.evaluated.eval()
    model = Model(run.folder.name, network, run.preprocessing, names, run.task)
    if not isinstance(evaluated, Images):
        return Material(Originals(), model=model, absent=["Streamed images are not kept, so none is shown."])
    feed = run.feed.whole
    augment = None if _frozen(vars(run.config)) else feed.transform(feed.train_size)
    return Material(at_hand(evaluated), at_hand(trained), len(trained), augment, model)


def _frozen(options: Mapping[str, Any]) -> bool:
    """Tell whether features that were computed once took the place of augmented images."""
    return options.get("freeze") == "backbone"


def at_hand(images: Images) -> Originals:
    """Return images that were read just now."""
    return Originals(images.at_hand, images.split.read, images.split.target)


def of_folder(record: RunRecord, dataset: Any = None) -> Material:
    """Return the material of a run that is known by its folder: the data set is looked for where it was.

    Args:
        dataset: where it is now, or the data itself, as for ``botzoo.train``.

    Raises:
        BotzooError: a ``dataset`` that is given cannot be read.
        DataError: none of the evaluated images is in it.
    """
    model, absent = _model(record)
    prepared = model.preprocessing if model is not None else None
    try:
        if dataset is None and "data" in record.facts.get("own", ()):
            raise DataError("they were in memory")
        found = _found(record, dataset)
    except BotzooError as error:
        if dataset is not None:
            raise
        gone = f"The images cannot be shown: {brief(error)}. Say where they are with --data."
        return Material(Originals(), model=model, absent=[*absent, gone])
    how = prepared.decoding if prepared is not None else Decoding()
    evaluated = _by_name(found, record.image_names, record.split, how)
    if dataset is not None and evaluated is None:
        images = counted(len(record.image_names), "image")
        raise DataError(
            f"--data {found.name} has none of the {images} that were evaluated, such as {record.image_names[0]!r}."
        )
    if evaluated is None:
        gone = f"None of the evaluated images is in {found.name} any more"
        absent = [*absent, f"{gone}. Say where they are with --data."]
    train, augment = _trained(record, found), _augment(record, prepared) if prepared is not None else None
    trained = Originals()
    if train is not None:
        trained = Originals(lambda i: decoding(train.read(i), how), train.read, train.target)
    return Material(evaluated or Originals(), trained, len(train or ()), augment, model, absent)


def _model(record: RunRecord) -> tuple[Model | None, list[str]]:
    try:
        return load(record.model_folder), []
    except BotzooError as error:
        return None, [f"The network cannot be asked anything: {brief(error)}."]


def _found(record: RunRecord, dataset: Any) -> ImageData[Split]:
    config = record.config
    if config.data.streaming:
        raise DataError("streamed images are not kept")
    where = config.dataset if dataset is None else dataset
    return find(where, config.data, labels=config.labels, kind=config.task)


def _by_name(found: ImageData[Split], names: Sequence[str], role: str, how: Decoding) -> Originals | None:
    """Return the images ``names``, from the split of that role first and then from the others; None without any."""
    splits = found.splits
    places: dict[str, tuple[Split, int]] = {}
    for split in sorted(splits.values(), key=lambda split: split is not splits.get(role)):
        for i in range(len(split)):
            places.setdefault(split.describe(i).removeprefix(split.root), (split, i))
    if not any(name in places for name in names):
        return None

    def place_of(i: int) -> tuple[Split, int]:
        if names[i] not in places:
            raise DataError(f"There is no {names[i]} in {found.name} any more.")
        return places[names[i]]

    def encoded(i: int) -> Encoded:
        split, place = place_of(i)
        return split.read(place)

    def target(i: int) -> Any:
        split, place = place_of(i)
        return split.target(place)

    return Originals(lambda i: decoding(encoded(i), how), encoded, target)


def _trained(record: RunRecord, found: ImageData[Split]) -> Split | None:
    """Return the training split as the run cut it, None where it can no longer be cut so."""
    try:
        train: Split = cut(found, record.config.data, record.config.split_seed).train
        return train
    except BotzooError:
        return None


def _augment(record: RunRecord, prepared: Preprocessing) -> Transform | None:
    """Return the run's own augmentation; None where a transform of the user's own took its place."""
    config = record.config
    if "transform" in record.facts.get("own", ()) or _frozen(record.options):
        return None
    size = prepared.train_size(config.data.train_scale)
    crop, flips = config.data.crop_min or 1.0, config.data.hflip or 0.0
    scales = record.task.scales(config) or (1.0, 1.0)
    how = Prepared(size, prepared, crop, flips, config.seed, config.augment, config.paper_augment, scales)
    return record.task.train_transform(how)
