"""Folders with one folder of images for each class, in one for each split or not."""

import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from botzoo.errors import DataError, did_you_mean, printable
from botzoo.sources.base import Files, ImageData, OwnNames, Source, SourceOptions, Split
from botzoo.sources.folders import IMAGE_SUFFIXES, NO_IMAGES, files_in, has_images, image_files, is_image, subfolders
from botzoo.sources.layouts.split_names import (
    Said,
    are_parts,
    asking,
    grouped,
    guess,
    is_close,
    is_plain,
    option,
    role_of,
    with_said,
)
from botzoo.sources.layouts.unpacking import is_archive
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import and_list, counted, listing

HERE = "."
"""What the user calls the data set's own folder, where its folders are the classes."""

_LAYOUT = "put the images of each class into a folder of its own, such as"


class Folders(Source):
    """One folder of images for each class, in one for each split or not.

    It takes any folder that is not empty, and comes after the others, so that what is wrong with it is said.
    """

    def recognises(self, name: str, path: Path) -> bool:
        return path.is_dir() and any(path.iterdir())

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        for kind, column in (("image", options.image_column), ("label", options.label_column)):
            if column is not None:
                is_of = f"--data.{kind}-column {printable(column)} is of a table, and no table of {name} is read"
                raise DataError(f"{is_of}: give one with --labels FILE, or leave it out.")
        roots, notes = split_roots(name, path, options.splits, options.group is not None)
        classes = sorted({each for root in roots["train"] for each in root.classes})
        if not classes:
            _refuse_packed(name, path)
            raise DataError(f"{name} has no class folders: {_LAYOUT} {path.name}/cat/1.jpg and {path.name}/dog/2.jpg.")
        if len(classes) == 1 and len(inner := subfolders(roots["train"][0].path / classes[0])) > 1:
            has = f"{name} has one class, {in_quotes(classes[0])}, which holds the folders {listing(inner)}"
            raise DataError(f"{has}: if those are the classes, give {roots['train'][0].path / classes[0]}.")
        splits: dict[str, Split] = {}
        for role, parts in roots.items():
            _check_classes(parts, classes, roots["train"])
            images, others = _files_of(parts, classes)
            files, labels = Files([file for _, file in images]), np.array([k for k, _ in images], np.int64)
            named = and_list([root.path.name for root in parts])
            splits[role] = Split(named, labels, files.read, files.describe, root=os.path.join(path, ""))  # noqa: PTH118
            notes += _unused(parts, files.paths, others)
        cut = splits["train"], splits.get("validation"), splits.get("test")
        return ImageData(name, tuple(classes), *cut, notes=tuple(notes))

    def own_names(self, name: str, path: Path, options: SourceOptions) -> OwnNames:
        roots, _ = split_roots(name, path, options.splits, options.group is not None)
        return {role: sorted({each for root in parts for each in root.classes}) for role, parts in roots.items()}


def _refuse_packed(name: str, path: Path) -> None:
    """Raise where a folder without class folders has archives in it, which are data sets of their own."""
    files = [Path(file) for file in files_in(path, deep=False)]
    packed = sorted((file for file in files if is_archive(file)), key=lambda file: role_of(file.stem) != "train")
    if not packed:
        return
    tables = [file for file in files if file.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson")]
    tables.sort(key=lambda file: role_of(file.stem) != "train")
    labels = f" --labels {shlex.quote(str(tables[0]))}" if tables else ""
    command = f"--dataset {shlex.quote(str(packed[0]))}{labels}"
    there = listing([file.name for file in (*packed, *tables)])
    raise DataError(
        f"{name} has no class folders but {there}: give one of the archives, such as {command}, or unpack them."
    )


class Root(NamedTuple):
    """A folder of class folders, and which of the folders in it are these."""

    path: Path
    classes: Collection[str]


def _check_classes(parts: Sequence[Root], classes: Sequence[str], train: Sequence[Root]) -> None:
    for root in parts:
        if unknown := sorted(set(root.classes) - set(classes)):
            has = f"{root.path} has the class {in_quotes(unknown[0])}, which {train[0].path} has not"
            raise DataError(f"{has}:{did_you_mean(unknown[0], classes)} every class needs training images.")


def _files_of(parts: Sequence[Root], classes: Sequence[str]) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the images of a split, each with its class, and its other files; class by class within each part."""
    folders = [(k, root.path / each) for root in parts for k, each in enumerate(classes) if each in root.classes]
    images: list[tuple[int, str]] = []
    others: list[str] = []
    for k, folder in folders:  # not every split need have every class
        for file in files_in(folder):
            if is_image(file):
                images.append((k, file))
            else:
                others.append(file)
    return images, others


def _unused(parts: Sequence[Root], images: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    """Yield notes on the files of a split that are not used, and on those that only their content tells to be images."""
    where = and_list([root.path for root in parts])
    if others:
        yield f"not used: {counted(len(others), *NO_IMAGES)} in {where}, such as {min(others)}"
    if odd := [file for file in images if not file.lower().endswith(IMAGE_SUFFIXES)]:
        are = (
            "file is an image by its content, not by its name",
            "files are images by their content, not by their names",
        )
        yield f"{counted(len(odd), *are)}: in {where}, such as {odd[0]}"
    for root in parts:
        if stray := image_files(root.path, deep=False):
            yield f"not used: {counted(len(stray), 'image')} in {root.path} itself, outside the class folders"


class _Place(NamedTuple):
    """A folder that may be a split or a class."""

    folders: set[str]  # those in it
    root: Root  # what its class folders would be, were it a split
    loose: bool  # whether it holds images itself, besides folders
    wraps: bool = False  # whether it holds one folder and nothing else, and that folders

    @property
    def inner(self) -> set[str]:
        return set(self.root.classes)


class _Asked(NamedTuple):
    """A data set whose splits are looked for."""

    name: str
    top: Path  # the folder that holds its splits or classes
    said: Said
    groups: bool  # whether the user says what groups are, so that classes may hold folders of the same names

    def asking(self, what: str, likely: Said, otherwise: str = "") -> DataError:
        """Return the error that asks which splits names are."""
        return asking(self.name, what, likely, self.said, otherwise)

    def all_classes(self, besides: str = "") -> str:
        """Return how to say that folders are classes, whatever they look like."""
        which = f"them and {in_quotes(besides)}" if besides else "all of them"
        return f"{option(with_said(self.said, {'train': [HERE]}))} takes {which} for classes"


def split_roots(name: str, path: Path, said: Said, groups: bool = False) -> tuple[dict[str, list[Root]], list[str]]:
    """Return the folders of class folders of each split, and notes on what is not used.

    A folder named as a split is one if the structure agrees: it shares a class with another split, or it holds folders only
    and its name says nothing else. What is built like a split under another name may as well be a class, and is asked about.

    Raises:
        DataError: what is a split and what is a class is in doubt, with the option that says it; or there is no training
            split.
    """
    words = [word for names in said.values() for word in names if word != HERE]
    top = path if any((path / word).is_dir() for word in words) else around(path)
    notes = [f"the only folder is {top}: its folders are taken"] if top != path else []
    _check_said(name, top, words)
    roots = {role: [_place(top / word).root for word in names] for role, names in said.items() if role != "none"}
    taken = {part for word in words for part in PurePath(word).parts[:1]}
    free = {each: _place(top / each) for each in subfolders(top) if each not in taken}
    if HERE in said.get("train", ()):
        return roots | {"train": [Root(top, free), *(root for root in roots["train"] if root.path != top)]}, notes
    data = _Asked(name, top, said, groups)
    if "train" not in roots and (trained := _training(data, free, roots)):
        roots["train"] = [free.pop(trained).root]
    found, more = _beside(data, free, roots) if "train" in roots else _classes(data, free)
    return roots | found, [*notes, *more]


def around(path: Path, *, within: bool = False, deepest: int = 32) -> Path:
    """Return the folder that the splits or classes lie in: further down where a folder holds a folder and nothing else.

    One that is named as a split ends it, unless it is looked for ``within`` a split, and so does the one ``deepest`` further.
    """
    if not deepest:
        return path
    inner = subfolders(path)
    if len(inner) != 1 or has_images(path, deep=False) or (role_of(inner[0]) and not within):
        return path
    deeper = path / inner[0]
    if has_images(deeper, deep=False):
        return path
    further, found = subfolders(deeper), around(deeper, within=within, deepest=deepest - 1)
    splits = [each for each in further if role_of(each)]
    goes_on = found != deeper or len(further) > 1 or inner[0] == path.name or (splits and not within)
    return found if goes_on and further else path


def _place(path: Path) -> _Place:
    inner = subfolders(path)
    top = around(path, within=True) if len(inner) == 1 else path
    root = Root(top, inner if top == path else subfolders(top))
    loose = bool(inner) and has_images(path, deep=False)
    return _Place(set(inner), root, loose, len(inner) == 1 and not loose and bool(subfolders(path / inner[0])))


def _check_said(name: str, top: Path, words: Sequence[str]) -> None:
    for word in words:
        if ".." in PurePath(word).parts or PurePath(word).is_absolute() or not (top / word).is_dir():
            there = subfolders(top)
            has = f"{name} has no folder {in_quotes(word)}, which --data.splits names: it has {listing(there)}"
            raise DataError(f"{has}.{did_you_mean(word, there)}")
    for word in words:
        if inner := next((each for each in words if each != word and PurePath(each).is_relative_to(word)), None):
            lies = f"--data.splits of {name} names {in_quotes(inner)}, which lies in {in_quotes(word)}"
            raise DataError(f"{lies}, so that its images would be in both: give folders that lie beside each other.")


def _training(data: _Asked, free: Mapping[str, _Place], roots: Mapping[str, Sequence[Root]]) -> str | None:
    """Return which of the folders is the training split, None where there is none."""
    others = {each for role in roots.values() for root in role for each in root.classes}
    others |= {
        inner for each, place in free.items() if role_of(each) in ("validation", "test") for inner in place.inner
    }
    trains = [
        each
        for each, place in free.items()
        if role_of(each) == "train" and place.inner and (place.inner & others or (is_plain(each) and not place.loose))
    ]
    if len(trains) > 1:
        raise data.asking("which are all training splits by their names", {"train": trains})
    return trains[0] if trains else None


def _beside(
    data: _Asked, free: Mapping[str, _Place], roots: Mapping[str, Sequence[Root]]
) -> tuple[dict[str, list[Root]], list[str]]:
    """Return the other splits beside a training split, by their names, and notes on what else there is."""
    taught = {each for root in roots["train"] for each in root.classes}
    found: dict[str, list[Root]] = {}
    for role in ("validation", "test"):
        named = [each for each, place in free.items() if role_of(each) == role and _fits(each, place, taught)]
        if len(named) > 1:
            raise data.asking(f"which are all {role} splits by their names", {role: named})
        if named and role not in roots:
            found[role] = [free[named[0]].root]
    used = {root.path for role in found.values() for root in role}
    left = {each: place for each, place in free.items() if place.root.path not in used}
    if like := [each for each, place in left.items() if place.inner & taught or is_close(each)]:
        # a second folder for a split, or one without class folders, can only be left out
        there = {*roots, *found}
        likely = {each: guess(each) if left[each].inner and guess(each) not in there else "none" for each in like}
        raise data.asking("which may be splits too", grouped(likely))
    unlabelled = [each for each in left if is_plain(each) and role_of(each) in ("test", "none")]
    for each in left:
        if is_plain(each) and role_of(each) == "validation":
            has = f"{data.top / each} has no class folders of the names in {roots['train'][0].path}: give it some"
            raise DataError(f"{has}, or leave it out with {option(with_said(data.said, {'none': [each]}))}.")
    others = [each for each in left if each not in unlabelled]
    strangers = [each for each in others if has_images(data.top / each)]
    if strangers and not (found or unlabelled or len(roots) > 1):  # nothing else shows that it is a split
        trained = roots["train"][0].path.name
        what = f"beside {in_quotes(trained)}, which holds folders as a training split does"
        raise data.asking(what, {"none": strangers}, data.all_classes(trained))
    notes = [f"not used: {listing(others)}, not named as a split"] if others else []
    return found, [*notes, *(_unlabelled(data.top / each) for each in unlabelled)]


def _fits(name: str, place: _Place, taught: Collection[str]) -> bool:
    """Tell whether a folder that is named as a split is one, beside a training split of the classes ``taught``."""
    return bool(place.inner & set(taught)) or (len(place.inner) > 1 and not place.loose and is_plain(name))


def _unlabelled(folder: Path) -> str:
    count, where = len(image_files(folder)), f"the {folder.name} folder has no class folders, so it is not used"
    command = f"botzoo predict {shlex.quote(str(folder))} --model RUN"
    return (
        f"{where}: what is in its {counted(count, 'image')}, the trained network says with {command}"
        if count
        else where
    )


def _classes(data: _Asked, free: Mapping[str, _Place]) -> tuple[dict[str, list[Root]], list[str]]:
    """Return the folders as classes, of one training split, and notes on those that are none."""
    plain = {each: role_of(each) for each in free if is_plain(each)}
    roles = set(plain.values())
    if len(plain) > 1 and (len(plain) == len(free) or ("train" in roles and len(roles) > 1)):
        needed = f"{data.name} has the folders {listing(list(plain))}, and needs {data.top / 'train'} with class folders in it"
        raise DataError(f"{needed}: {_LAYOUT} {data.top.name}/train/cat/1.jpg; {data.all_classes()}.")
    _refuse_parts(data, free)
    _refuse_inner_splits(data, free)
    if not data.groups:
        _refuse_versions(data, free)
    notes = []
    if len(free) - len(plain) > 1:  # the other folders are classes enough
        unlabelled = [each for each, role in plain.items() if role == "none"]
        if doubtful := [each for each, role in plain.items() if role in ("validation", "test")]:
            likely = {each: guess(each) if free[each].inner else "none" for each in doubtful}
            raise data.asking("which may be splits beside the classes, or classes", grouped(likely), data.all_classes())
        free = {each: place for each, place in free.items() if each not in unlabelled}
        notes += [_unlabelled(data.top / each) for each in unlabelled]
    notes += [f"{in_quotes(each)} is taken for a class, as it has no class folders" for each in plain if each in free]
    deep = [
        f"{each}/{min(place.folders)}" for each, place in free.items() if len(place.folders) > 1 and not place.loose
    ]
    notes += (
        [f"class folders hold folders, such as {in_quotes(deep[0])}: their images are of the class"] if deep else []
    )
    return {"train": [Root(data.top, sorted(free))]}, notes


def _refuse_parts(data: _Asked, free: Mapping[str, _Place]) -> None:
    """Raise where all folders with images are called as the parts of one data set, such as its folds."""
    if not are_parts(parts := [each for each in free if has_images(data.top / each)]):
        return
    has = f"{data.name} has the folders {listing(parts)}, which are called as parts of one data set"
    inner = {each for part in parts for each in free[part].inner}
    if not inner:
        raise DataError(f"{has}, and hold no class folders: give the labels with --labels FILE; {data.all_classes()}.")
    joined = option(with_said(data.said, {"train": parts}))
    raise DataError(f"{has}: {joined} joins them, and --data.group 2 keeps each in one split; {data.all_classes()}.")


def _refuse_inner_splits(data: _Asked, free: Mapping[str, _Place]) -> None:
    """Raise where classes hold the same splits, whatever else they hold and whatever groups are."""
    counts = Counter(inner for place in free.values() for inner in place.folders)
    repeated = {inner for inner, count in counts.items() if count > 1}
    alike = [each for each, place in free.items() if len(place.folders & repeated) > 1]
    same = sorted({inner for each in alike for inner in free[each].folders & repeated})
    if len(alike) > 1 and all(map(role_of, same)) and len({*map(role_of, same)}) > 1:
        has = (
            f"{data.name} has the folders {listing(alike)}, which all hold {listing(same)}, as splits inside of classes"
        )
        above = f"{data.top.name}/{same[0]}/{alike[0]}/1.jpg"
        raise DataError(f"{has}: {_LAYOUT} {above}; {data.all_classes()}, and joins the splits.")


def _refuse_wrapped(data: _Asked, free: Mapping[str, _Place]) -> None:
    """Raise where each folder holds one of the same name, and that further folders: years or places, each with all classes."""
    inner = {next(iter(place.folders)) if len(place.folders) == 1 else "" for place in free.values()}
    if len(free) < 2 or len(inner) > 1 or "" in inner or not all(place.wraps for place in free.values()):
        return
    within = inner.pop()
    has = f"{data.name} has the folders {listing(list(free))}, which each hold {in_quotes(within)} alone, with folders in it"
    one = f"give one of them, such as --dataset {shlex.quote(str(data.top / next(iter(free)) / within))}"
    joined = option(with_said(data.said, {"train": [f"{each}/{within}" for each in free]}))
    raise DataError(f"{has}: {one}; {joined} joins them; {data.all_classes()}.")


def _refuse_versions(data: _Asked, free: Mapping[str, _Place]) -> None:
    """Raise where folders hold no images but folders of the same names: splits by other names, or the same pictures anew."""
    _refuse_wrapped(data, free)
    folders = {each: place.folders for each, place in free.items() if not place.loose}
    counts = Counter(inner for folder in folders.values() for inner in folder)
    repeated = {inner for inner, count in counts.items() if count > 1}
    alike = [each for each, folder in folders.items() if len(folder & repeated) > 1]
    if len(alike) < 2:
        return _refuse_sets(data, folders)
    same = sorted(folders[alike[0]] & repeated)
    has = f"{data.name} has the folders {listing(alike)}, which all hold {listing(same)}"
    if all(map(role_of, same)):
        above = f"{data.top.name}/{same[0]}/{alike[0]}/1.jpg"
        raise DataError(
            f"{has}, as splits inside of classes: {_LAYOUT} {above}; {data.all_classes()}, and joins the splits."
        )
    if any(role_of(each) or is_close(each) for each in alike):
        raise data.asking(
            f"which all hold {listing(same)}", grouped({each: guess(each) for each in alike}), data.all_classes()
        )
    raise DataError(
        f"{has}: give one of them, such as --dataset {shlex.quote(str(data.top / alike[0]))}; {data.all_classes()}."
    )


def _refuse_sets(data: _Asked, folders: Mapping[str, set[str]]) -> None:
    """Raise where one folder holds nothing but splits, so that it is the data set and the others are beside it."""
    for each, inner in folders.items():
        roles = {role_of(one) for one in inner}
        if "train" in roles and len(roles) > 1 and None not in roles:
            splits = listing(sorted(inner))
            has = f"{data.name} has the folder {in_quotes(each)} with the splits {splits}, and others beside it"
            raise DataError(
                f"{has}: give it, with --dataset {shlex.quote(str(data.top / each))}; {data.all_classes()}."
            )
