"""The values of options whose text has a form of its own: names on the Hub, folds, durations, seeds."""

import re
from math import inf

from botzoo.options.facts import Accepted

MOST_RUNS = 10_000
"""Of one command; more are rather a seed behind the wrong flag."""

TEMPERATURES = (0.01, 100.0)
"""Smallest and largest number that logits are divided by."""

_PART = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"


def _is_repo(name: str) -> bool:
    fits = re.fullmatch(f"{_PART}/{_PART}", name, re.ASCII) and len(name) <= 96
    return bool(fits) and not re.search(r"--|\.\.|\.git$", name)  # the Hub refuses these though they fit


def _is_tag(name: str) -> bool:
    """Tell whether git takes ``name`` as that of a reference."""
    parts = name.split("/")
    odd = re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-|\.$", name)
    return not odd and all(part and not part.startswith(".") and not part.endswith(".lock") for part in parts)


def fold_of(text: str) -> tuple[int, int]:
    """Return K, from 1 on, and N of ``text``, such as 2/5: the K-th of N folds; (0, 0) where it names none."""
    found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    fold, folds = (int(number) for number in found.groups()) if found else (0, 0)
    return (fold, folds) if folds >= 2 and 1 <= fold <= folds else (0, 0)


ROLES = ("train", "validation", "test", "none")
"""What a folder, file or table may be: one of the splits, or left out."""


def splits_of(text: str) -> dict[str, tuple[str, ...]]:
    """Return the names that ``text``, such as validation=val1+val2,none=extra, gives to each of ``ROLES``; {} for none."""
    pairs = [part.partition("=") for part in text.split(",")]
    found = {role.strip(): tuple(name.strip().rstrip("/") for name in names.split("+")) for role, _, names in pairs}
    named = [name for names in found.values() for name in names]
    sound = set(found) <= set(ROLES) and len(found) == len(pairs) and all(named) and len({*named}) == len(named)
    return found if sound else {}


def seconds_of(budget: str) -> float:
    """Return the seconds that a duration in hours, minutes and seconds, such as 1.5h or 2h30m, names; 0 for none."""
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(f"(?:{number}h)?(?:{number}m)?(?:{number}s)?", budget, re.ASCII)
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    return 3600 * hours + 60 * minutes + seconds


def seed_list(text: str) -> list[int]:
    """Return the seeds that ``text``, a count or a list, asks for.

    Raises:
        ConfigError: the text is neither, or repeats a seed.
    """
    SEEDS.check("seeds", text)  # it may stand behind a flag that is no option, and so was not checked before
    return _seeds(text)


def _seeds(text: str) -> list[int]:
    """Return the seeds of a count or a list, none where ``text`` is neither."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and len(part) < 20 for part in parts):  # int() refuses thousands of digits
        return []
    numbers = [int(part) for part in parts]
    if len(numbers) == 1:
        return list(range(numbers[0])) if numbers[0] <= MOST_RUNS else []
    return numbers if len(set(numbers)) == len(numbers) and max(numbers) < 2**32 else []


def _is_colour(text: object) -> bool:
    from PIL.ImageColor import colormap  # only where it is asked for: help has to come at once

    return isinstance(text, str) and (text in colormap or bool(re.fullmatch("#[0-9a-f]{6}", text)))


RANGE = Accepted(
    "two numbers, the lower one first, such as 0,4095", lambda ends: ends[0] < ends[1] < inf and ends[0] > -inf
)
SCALES = Accepted(
    "two numbers from 0.1 to 4, the lower one first, such as 0.5,2", lambda ends: 0.1 <= ends[0] <= ends[1] <= 4
)
COLOUR = Accepted("a colour's name in CSS, such as white, or #rrggbb", _is_colour)
REPO = Accepted("owner/name, of letters, digits, '-', '_' and '.', such as me/pets", _is_repo)
LICENSE = Accepted(
    "a licence's name on the Hub, such as apache-2.0, mit or cc-by-4.0",
    lambda name: bool(re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", name, re.ASCII)) and name != "unknown",
)
TAG = Accepted("a name that git takes, without spaces, '..' or any of ~^:?*[\\, such as v1", _is_tag)
COMMIT = Accepted(
    "a commit's 40 hexadecimal digits, as the Hub shows them", lambda name: bool(re.fullmatch("[0-9a-f]{40}", name))
)
FOLD = Accepted("K/N, the K-th of N folds, N 2 or more, such as 2/5", lambda text: fold_of(text) != (0, 0))
IMG_SIZE = Accepted(
    "8 or more pixels, or a height and a width of so many, such as 128 512",
    lambda size: min([size] if isinstance(size, int) else size) >= 8,
)
BUDGET = Accepted("a duration such as 90s, 10m, 1.5h or 2h30m", lambda text: seconds_of(text) > 0)
SEEDS = Accepted(
    f"a count such as 3, up to {MOST_RUNS:,}, or different whole numbers such as 0,1,5", lambda text: bool(_seeds(text))
)
MILESTONES = Accepted(
    "rising epochs of 1 or more, such as [30,60,90]",
    lambda epochs: bool(epochs) and list(epochs) == sorted({*epochs}) and epochs[0] >= 1,
)
SPLITS = Accepted(
    "ROLE=NAME,... of train, validation, test and none, each at most once, such as validation=val1+val2,none=extra",
    lambda text: bool(splits_of(text)),
)
