"""What the names of folders, files and tables say of splits, and what the user says of them.

A name is a hint only: a class may be called "training shoes". Of folders, ``class_folders`` asks the structure too.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from botzoo.errors import DataError, did_you_mean
from botzoo.sources.base import SPLIT_NAMES
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import listing

Said = Mapping[str, Sequence[str]]
"""Names by what the user says that they are: train, validation, test, or none of them."""

UNLABELLED_NAMES = ("unlabeled", "unlabelled", "unsup", "unsupervised")

_ROLES = {**SPLIT_NAMES, **dict.fromkeys(UNLABELLED_NAMES, "none")}

_WORDS = (
    "set sets split splits data dataset datasets image images img imgs photo photos pic pics picture pictures frames part "
    "my our the new old final full all small mini clean labeled labelled v version fold folder class classes"
)
_BESIDE = set(_WORDS.split())
"""Words beside the name of a split that tell nothing else, as a class's own name would."""

_PART_WORDS = (
    "fold folds cv kfold part parts batch batches chunk chunks block blocks split splits shard shards subset subsets set sets "
    "data dataset datasets image images img imgs photo photos pic pics picture pictures frames archive disk v version folder "
    "my our the"
)
_PARTS = set(_PART_WORDS.split())
"""Words that folders are called by, with a number behind them, where a data set is in several."""

_CLOSE = 0.8
"""From this ratio of ``difflib`` on, a word is rather a slip for the name of a split: vaild, trian."""


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: train, images, v of trainImages_v2; holdout of Hold-Out."""
    runs = re.findall(r"[^\W\d_]+", name)
    words = [word for run in runs for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+", run)]
    return re.sub(r"\bhold out\b", "holdout", " ".join(words).lower()).split()


def role_of(name: str) -> str | None:
    """Return what the name of a folder, table or file says it is: train, validation, test or none, for unlabelled.

    None is returned where it says nothing, or several things at once, as train-test does.
    """
    roles = {_ROLES[word] for word in words_of(name) if word in _ROLES}
    if roles == {"train", "validation"}:
        return "train"
    return "none" if "none" in roles else roles.pop() if len(roles) == 1 else None


def is_plain(name: str) -> bool:
    """Tell whether a name says nothing but that it is a split, as my_train and val-2024 do and training-shoes does not."""
    beside = (word for word in words_of(name) if word not in _ROLES and not (len(word) == 1 and word.isascii()))
    return role_of(name) is not None and all(word in _BESIDE for word in beside)


def is_close(name: str) -> bool:
    """Tell whether a name is a slip for that of a split, or one of several: vaild, train-test."""
    words = words_of(name)
    return any(get_close_matches(word, _ROLES, 1, _CLOSE) for word in words) and not role_of(name)


def are_parts(names: Sequence[str]) -> bool:
    """Tell whether folders are called as the parts of one data set: fold1, fold2; images_001, images_002; batch-a, batch-b."""
    ends = [re.fullmatch(r"(.*?)[\W_]*(\d+|(?<![^\W_])[A-Za-z])", name) for name in names]
    stems = {end[1].lower() if end else "" for end in ends}
    return len(names) > 1 and len(stems) == 1 and bool(words := words_of(stems.pop())) and set(words) <= _PARTS


def guess(name: str) -> str:
    """Return what a name most likely stands for."""
    close = [match for word in words_of(name) for match in get_close_matches(word, _ROLES, 1, _CLOSE)]
    return role_of(name) or (_ROLES[close[0]] if close else "validation")


def option(roles: Mapping[str, Sequence[str]]) -> str:
    """Return the option that says so, as it is typed."""
    said = ",".join(f"{role}={'+'.join(names)}" for role, names in roles.items())
    return f"--data.splits {shlex.quote(said)}"


def with_said(said: Said, likely: Said) -> dict[str, list[str]]:
    """Return what the user says already with what is likely besides."""
    return {role: [*said.get(role, ()), *likely.get(role, ())] for role in dict.fromkeys((*said, *likely))}


def asking(name: str, what: str, likely: Said, said: Said, otherwise: str = "") -> DataError:
    """Return the error that asks which splits names are.

    Args:
        name: of the data set.
        what: shows that they may be splits.
        likely: the names by role, as the answer that is shown has them.
        said: what the user says already, which the answer repeats.
        otherwise: another answer, in words.
    """
    names = [each for role in likely.values() for each in role]
    answer = option(with_said(said, likely))
    cure = f"say what is what, such as {answer}; none leaves one out" + (f"; {otherwise}" if otherwise else "")
    return DataError(f"{name} has {listing(names)}, {what}: {cure}.")


def grouped(likely: Mapping[str, str]) -> dict[str, list[str]]:
    """Return names by role, of roles by name."""
    return {role: [each for each, own in likely.items() if own == role] for role in dict.fromkeys(likely.values())}


def check_said(name: str, said: Said, there: Sequence[str], kind: str) -> None:
    """Raise unless all that the user names is there."""
    for word in (word for words in said.values() for word in words):
        if word not in there:
            has = f"{name} has no {kind} {in_quotes(word)}, which --data.splits names: it has {listing(there)}"
            raise DataError(f"{has}.{did_you_mean(word, there)}")


def assigned(name: str, found: Sequence[str], said: Said) -> tuple[dict[str, list[str]], list[str]]:
    """Return names of tables, such as the keys of a DatasetDict, by role, and notes on those that are not used.

    Raises:
        DataError: two are of one role or one may be of any, and the user has not said which; or there is no training split.
    """
    check_said(name, said, found, "split")
    roles = {role: list(words) for role, words in said.items()}
    taken = {word for words in said.values() for word in words}
    by_name: dict[str, list[str]] = {}
    for each in (each for each in found if each not in taken):
        by_name.setdefault(role_of(each) or "", []).append(each)
    if len(found) == 1 and not taken and role_of(found[0]) not in ("validation", "test"):  # whatever it is called
        return {"train": list(found)}, []
    for role in ("train", "validation", "test"):
        if role in by_name and role not in roles:
            if len(by_name[role]) > 1:
                raise asking(name, f"which are all {role} splits by their names", {role: by_name[role]}, said)
            roles[role] = by_name.pop(role)
    if "train" not in roles:
        raise DataError(
            f"{name} has no training split, only {listing(found)}: name one 'train', or give --data.splits."
        )
    if slips := [each for each in by_name.get("", []) if is_close(each)]:
        raise asking(name, "which may be splits too", grouped({each: guess(each) for each in slips}), said)
    left = [each for names in by_name.values() for each in names]
    roles.pop("none", None)
    return roles, [f"not used: {listing(left)}, not named as a split"] if left else []


def by_role(name: str, files: Sequence[str], said: Said) -> tuple[dict[str, list[str]], list[str]]:
    """Sort files by the split that their names tell, or the user; return them by role, and notes on those not used.

    Where no name tells the training files, they are those whose names tell nothing. A user's name stands for all files
    that begin with it, in whichever folder: val1 for val1-00000.parquet.

    Raises:
        DataError: there is no training file, a file may be of any split, or the user names what is not there.
    """
    roles: dict[str, list[str]] = {}
    unnamed: list[str] = []
    unseen = {word for words in said.values() for word in words}
    for file in files:
        word, role = _said_of(file, said)
        unseen.discard(word)
        role = role or next((role for part in reversed(file.split("/")) if (role := role_of(part))), None)
        (roles.setdefault(role, []) if role else unnamed).append(file)
    if unseen:
        has = f"{name} has no file {in_quotes(min(unseen))}, which --data.splits names: it has {listing(files)}"
        raise DataError(f"{has}.{did_you_mean(min(unseen), files)}")
    slips = [file for file in unnamed if roles and is_close(file) and ("train" in roles or guess(file) != "train")]
    if slips:
        stems = list(dict.fromkeys(re.split(r"[-_.]\d|\.", file.rpartition("/")[2])[0] for file in slips))
        raise asking(name, "which may be splits too", grouped({each: guess(each) for each in stems}), said)
    if "train" not in roles:
        roles["train"], unnamed = unnamed, []
    if not roles["train"]:
        suffix = re.sub(r".*(?=\.)", "", files[0])
        raise DataError(f"{name} has no training split, only {listing(files)}: name a file train{suffix}.")
    unnamed += [file for file in roles.pop("none", []) if not _said_of(file, said)[1]]
    return roles, [f"not used: {listing(unnamed)}, not named as a split"] if unnamed else []


def _said_of(file: str, said: Said) -> tuple[str, str | None]:
    """Return the longest name of the user's that a part of a file's path begins with, and its role."""
    words = [(len(word), word, role) for role, words in said.items() for word in words if _begins(file, word)]
    _, word, role = max(words, default=(0, "", None))
    return word, role


def _begins(file: str, word: str) -> bool:
    return re.search(rf"(^|/){re.escape(word)}(?![A-Za-z0-9])", file) is not None
