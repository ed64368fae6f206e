"""Whether a network is right as often as it is sure: expected calibration error, and the temperature that mends it.

C. Guo, G. Pleiss, Y. Sun, K. Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017, arXiv:1706.04599, sections 2
and 4.2. Nothing of this changes the weights: a temperature is a number for who uses them, kept in config.json.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.models.foreign import read_config
from botzoo.util.files import write_json

BINS, FOLDS = 15, 5
WIDEST = 20.0  # temperatures are sought from 1 / 20 to 20
ROWS = 1 << 12  # images that are held in float64 at once: all of them would take four times the memory
LOGITS = 1 << 22  # numbers of theirs, which are more where there are more than 1,024 classes
SIGNIFICANT = 3.84
"""Twice the gain in log-likelihood that one of twenty sets of images exceeds where the true temperature is 1: the 95 %
quantile of chi squared with one degree of freedom (Wilks 1938). On 12 images a temperature has
to lower their mean loss by 0.16 nats, on 10,000 by 0.0002. The gain is that of images which have not helped to fit, so a kept
one is rarer still."""
DRAWS = 20  # sets of answers, as a perfectly calibrated network would give them, that chance is measured by; seed 0

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Calibration:
    """How sure a network is, against how often it is right, on the images of a split.

    Attributes:
        before: expected calibration error of its softmax, in [0, 1].
        after: the same at the temperature; None, like ``temperature`` and ``nll_gain``, where none could be fitted.
        temperature: what the logits are divided by, > 0.
        cross_fitted: whether the images are those that the temperature was fitted on. ``after`` is then of confidences that
            come from temperatures fitted on the other images, and ``temperature`` was fitted on all of them.
        endless: whether the likelihood has no maximum within the bounds, as where every answer is right.
        nll_gain: by how much the temperature lowers the mean negative log-likelihood, in nats.
        images: how many were evaluated.
        by_chance: the mean ``before`` of as many answers, as sure, that are right just as often as that.
        sureness: the confidences that ``after`` is of, shape (N,); None where it is.
    """

    before: float
    after: float | None = None
    temperature: float | None = None
    cross_fitted: bool = False
    endless: bool = False
    nll_gain: float | None = None
    images: int = 0
    by_chance: float = 0.0
    sureness: Floats | None = field(default=None, repr=False, compare=False)

    @property
    def kept(self) -> float | None:
        """The temperature for config.json, of three digits; None unless it lowers calibration error and likelihood loss.

        The latter by more than chance does: 2 N times the gain is ``SIGNIFICANT``. On few images nothing is kept, nor said.
        """
        if self.temperature is None or self.after is None or self.nll_gain is None:
            return None
        helps = self.after < self.before and 2 * self.images * self.nll_gain > SIGNIFICANT
        return float(f"{self.temperature:.3g}") if helps else None

    @property
    def doubt(self) -> str:
        """Says, where images are few, that chance alone makes half of the calibration error or more; else ""."""
        little = 2 * self.by_chance <= self.before
        return "" if little else f"; so few images give {100 * self.by_chance:.1f} % by chance"


def expected_calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the expected calibration error, in [0, 1], of answers with a confidence in (0, 1]; shapes (N,).

    ECE = sum over m of |B_m| / N * |acc(B_m) - conf(B_m)|, with B_m the images whose confidence is in
    ((m - 1) / M, m / M] for M ``bins``, acc the share of them that is right and conf their mean confidence (section 2,
    equations 3 and 5).
    """
    which = _bin_of(confidence, bins)
    gaps = np.bincount(which, correct.astype(np.float64) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


class Bin(NamedTuple):
    """Answers of about the same confidence: how many, their mean confidence, and the share that is right, in [0, 1]."""

    images: int
    confidence: float
    right: float


def reliability(confidence: Floats, correct: NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """Return the bins of the calibration error that hold an answer, by their confidence; arguments as of the error.

    A network is calibrated where ``right`` is ``confidence`` in each of them (section 2, figure 1).
    """
    which = _bin_of(confidence, bins)
    images, sure, right = (np.bincount(which, values, minlength=bins) for values in (None, confidence, correct))
    return [Bin(int(images[m]), *(float(of[m] / images[m]) for of in (sure, right))) for m in np.flatnonzero(images)]


def _bin_of(confidence: Floats, bins: int) -> NDArray[np.int64]:
    which: NDArray[np.int64] = np.ceil(confidence.astype(np.float64) * bins).astype(np.int64) - 1
    return which.clip(0, bins - 1)


def fit_temperature(log_p: Floats, labels: NDArray[np.int64]) -> float | None:
    """Return the temperature T > 0 with the least mean negative log-likelihood of ``labels`` under softmax(z / T).

    Section 4.2. Only differences of logits count, so that log-probabilities (N, K) serve as z; labels have shape (N,).
    The likelihood has one optimum in 1 / T. None where it is at a bound: where every answer is right the likelihood
    grows without end, and what stopped it would be the bound.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: _at(log_p, labels, float(np.exp(log_t)))[0],
        bounds=(-np.log(WIDEST), np.log(WIDEST)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x)) if abs(found.x) < np.log(WIDEST) - 0.01 else None


def calibrate(
    confidence: Floats,
    correct: NDArray[np.bool_],
    log_p: Floats | None,
    labels: NDArray[np.int64],
    held_out: tuple[Floats, NDArray[np.int64]] | None = None,
) -> Calibration:
    """Return the calibration before and after a temperature, which no image of the figure has helped to fit.

    Args:
        confidence, correct: of the answers on the evaluated images, and whether they are right, shape (N,).
        labels: the classes of these images, shape (N,).
        log_p: log-probabilities of the evaluated images, shape (N, K); None where they were too many to keep.
        held_out: log-probabilities and labels of other images to fit the temperature on; without them the evaluated ones
            are cross-fitted, each fifth with the temperature of the other four.
    """
    before, n, rng = expected_calibration_error(confidence, correct), len(labels), np.random.default_rng(0)
    drawn = [expected_calibration_error(confidence, rng.random(n) < confidence) for _ in range(DRAWS)]
    known: dict[str, Any] = {"images": n, "by_chance": float(np.mean(drawn))}
    if log_p is None or n < 2 * FOLDS:
        return Calibration(before, **known)
    temperature = fit_temperature(*(held_out or (log_p, labels)))
    fold = np.zeros(n, int) if held_out else np.random.default_rng(0).permutation(n) % FOLDS
    fitted = [
        temperature if held_out else fit_temperature(log_p[fold != k], labels[fold != k]) for k in np.unique(fold)
    ]
    if temperature is None or None in fitted:
        return Calibration(before, endless=True, **known)
    at_one = _at(log_p, labels, 1.0)[0]
    nll, sureness = _at(log_p, labels, np.array(fitted, np.float64)[fold])
    after = expected_calibration_error(sureness, correct)
    kept: dict[str, Any] = {"nll_gain": at_one - nll, "sureness": sureness}
    return Calibration(before, after, temperature, held_out is None, **kept, **known)


def _at(log_p: Floats, labels: NDArray[np.int64], temperature: Floats | float) -> tuple[float, Floats]:
    """Return the mean negative log-likelihood in nats and each image's confidence, at one temperature or one for each."""
    total, sure, each = 0.0, [], np.broadcast_to(temperature, len(labels))
    part = max(1, min(ROWS, LOGITS // log_p.shape[1]))
    for first in range(0, len(labels), part):
        rows = slice(first, first + part)
        z = log_p[rows].astype(np.float64) / each[rows, None]
        z -= z.max(1, keepdims=True)  # else the exponential might overflow
        mass = np.exp(z).sum(1)
        total += float((np.log(mass) - z[np.arange(len(z)), labels[rows]]).sum())
        sure.append(1 / mass)
    return total / len(labels), np.concatenate(sure)


def confidence_at(log_p: Floats, temperature: float) -> Floats:
    """Return the probability of the likeliest class of each image, shape (N,), at a temperature; ``log_p`` is (N, K)."""
    return _at(log_p, np.zeros(len(log_p), np.int64), temperature)[1]


def write_temperature(folder: Path, temperature: float) -> None:
    """Put a temperature into the config.json of a model folder, whole or not at all.

    It stands under ``calibration``, which timm and transformers pass over; to the latter a ``temperature`` at the top level
    would be one for generating text.
    """
    file = folder / "config.json"
    write_json(file, read_config(file) | {"calibration": {"temperature": temperature}}, exact=True)


def write_rejection(folder: Path, threshold: float, target: float) -> None:
    """Put the least probability of an answer into the config.json of a model folder, whole or not at all.

    It stands under ``rejection``, which timm and transformers pass over, beside the share of right answers that it promises.
    """
    file = folder / "config.json"
    write_json(file, read_config(file) | {"rejection": {"threshold": threshold, "target": target}}, exact=True)
