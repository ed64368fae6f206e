"""A finished run in Python: its figures as numbers and arrays, its pictures as matplotlib figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import ConfigError, DataError
from botzoo.results.dense.tables import BoxAnswers, MaskAnswers
from botzoo.results.per_class import Figures, confusions
from botzoo.results.pictures import PICTURED, confusion_figure, curve_figure, reliability_figure
from botzoo.results.predictions import Predictions, predictions
from botzoo.results.record import RunRecord
from botzoo.results.words import dense_words, words_of
from botzoo.util.environment import user_path
from botzoo.util.outgoing import as_html
from botzoo.util.text import interval_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DENSE = 5000  # classes whose confusion matrix, of 200 MB, is given whole


class Mistake(NamedTuple):
    """What a network answered for one image.

    The loss is in nats, the confidence the probability of the answer, in (0, 1]; of several labels the smallest, NaN
    where none is given. Of boxes the loss is 1 - F1 at a score of 0.5, of masks 1 - the mean IoU of the image; label and
    answer are then what is there and what was found.
    """

    name: str  # path of the image within the data set's folder, or its row
    label: str  # the true class; where an image may have any number of labels, all of them
    predicted: str  # the answer, in the same form
    loss: float
    confidence: float


@dataclass(frozen=True, repr=False)
class FinishedRun:
    """A finished run; everything is made from its folder."""

    record: RunRecord  # what the folder holds

    @classmethod
    def load(cls, folder: str | Path) -> FinishedRun:
        """Open the folder of a finished run.

        Raises:
            CheckpointError: it is none of a run, or the run is unfinished or damaged.
        """
        return cls(RunRecord.load(user_path(folder)))

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.record.folder

    @property
    def model_folder(self) -> Path:
        """What timm, transformers and ``botzoo.load`` open."""
        return self.record.model_folder

    @property
    def metrics(self) -> dict[str, float]:
        """The figures on the test split, or without one on the validation split: loss in nats, all others in per cent."""
        return dict(self.record.evaluation.figures)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the headline figure, top-1 or mAP, in per cent."""
        low, high = self.record.evaluation.interval()
        return float(low), float(high)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: loss and learning rate of training, figures of validation after each epoch."""
        return self.record.history

    def confusion(self) -> NDArray[np.int64]:
        """Return how many images of each class (rows) got each answer (columns), int64, shape (K, K).

        Of masks it counts pixels, and of boxes objects, with one row more for boxes on no object and one column more for
        objects that were missed: shape (K + 1, K + 1).

        Raises:
            DataError: an image may have any number of labels, or there are more than ``DENSE`` classes, or they were too many
                to be kept.
        """
        if not self.record.task.whole_image:
            found = dense_words(self.record).confusion(self.record)
            if found is None:
                raise DataError(
                    "There were too many classes to keep which pixels were taken for which: see per_class()."
                )
            return found.counts
        if not self.record.task.one_label:
            raise DataError(
                "A confusion matrix is of one label for each image, and these may have several: see per_class()."
            )
        self._check_few(DENSE)
        return np.asarray(confusions(self.record.evaluation, len(self.record.class_names)).toarray())

    def _check_few(self, most: int) -> None:
        if (classes := len(self.record.class_names)) > most:
            file = self.folder / "evaluation" / f"{self.record.split}.parquet"
            raise DataError(
                f"The confusion matrix of {classes:,} classes is too large, {most:,} are the most: count the columns label "
                f"and predicted of {file}, which has a row for each image."
            )

    def per_class(self) -> list[Figures]:
        """Return the figures of each class that has images in the split.

        They are images, answers, precision, recall and F1 in per cent; of boxes average precision too, and of masks
        intersection over union in the place of F1.
        """
        return list(words_of(self.record).figures(self.record))

    def predictions(self, split: str | None = None) -> Predictions | BoxAnswers | MaskAnswers:
        """Return the answers, as predictions.csv has them: to go through, or as columns by ``table()``.

        Their rows are images, of a detector boxes, and of a network for segmentation the classes of each image.

        Args:
            split: by default the one that the figures are of; else "validation", or what ``predict`` asked for, by its name in
                predictions-NAME.csv.

        Raises:
            DataError: the run has no answers for it.
            CheckpointError: they cannot be read.
        """
        return predictions(self.record, split)

    def worst(self, n: int = 9) -> list[Mistake]:
        """Return the ``n`` images with the largest loss, the largest first; all of them where there are fewer.

        Raises:
            ConfigError: ``n`` is no number of images.
        """
        if not isinstance(n, int | np.integer) or n < 0:
            raise ConfigError(f"n is {n!r}: give how many images to return, a whole number from 0.", value=n)
        record, seen = self.record, self.record.evaluation
        found = []
        losses = seen.nll if record.task.whole_image else dense_words(record).losses(seen)
        for i in np.argsort(-losses, kind="stable")[:n].tolist():
            label, predicted, confidence = seen.said(i, record.class_names)
            found.append(Mistake(record.image_names[i], label, predicted, float(losses[i]), confidence))
        return found

    def plot_curve(self) -> Figure:
        """Return the learning curve: loss and headline figure over the epochs."""
        return curve_figure(self.record)

    def plot_confusion(self) -> Figure:
        """Return the confusion matrix as a picture.

        Raises:
            DataError: as of ``confusion``, or there are more than ``PICTURED`` classes, or the answers are boxes or masks.
        """
        if not self.record.task.whole_image:
            raise DataError("A picture of confusions is of answers for whole images: confusion() has the numbers.")
        self._check_few(PICTURED)
        self.confusion()
        return confusion_figure(self.record)

    def plot_reliability(self) -> Figure:
        """Return how often answers are right against how sure they are, as a picture.

        Raises:
            DataError: an image may have any number of labels.
        """
        if self.record.calibration is None:
            raise DataError("Reliability is of one answer for each image, and these may have several labels.")
        return reliability_figure(self.record, self.record.calibration)

    def report(self, path: str | Path | None = None, *, data: Any = None, overwrite: bool = False) -> Path:
        """Write the page that says how good the network is and where it errs, and return where it is.

        Args:
            path: of the page; by default report.html in the run's folder.
            data: where the images are now, or the images themselves, as for ``botzoo.train``; by default where they were.
            overwrite: replace a file that is no report, too.

        Raises:
            BotzooError: see ``botzoo.report.page.write_report``.
        """
        from botzoo.report.material import of_folder  # both import what few who look at figures need
        from botzoo.report.page import NAME, check_replaceable, write_report

        place = user_path(path) if path is not None else self.folder / NAME
        check_replaceable(place, overwrite=overwrite)
        write_report(self.record, place, of_folder(self.record, data), overwrite=overwrite)
        return place

    def __repr__(self) -> str:
        headline = self.record.task.headline
        figure = f"{headline.figure} {self.record.evaluation.score:.2f} % ({interval_words(self.interval)})"
        return f"<run {self.folder}: {figure} on {self.record.split_text}>"

    def _repr_html_(self) -> str:
        return f"<code>{as_html(repr(self))}</code>"
