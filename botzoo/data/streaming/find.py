"""Finding the shards of a data set, by what the user calls it, and the names of its classes."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from botzoo.data.streaming.forms import ParquetForm, form_of
from botzoo.data.streaming.shards import Shards, count, file_of, is_remote, opened
from botzoo.errors import DataError, did_you_mean
from botzoo.sources.base import (
    CHARACTERS,
    NOTHING_SAID,
    UNLABELLED,
    ImageData,
    SourceOptions,
    missing_classes,
)
from botzoo.sources.files import MAX_TEXT, read_file
from botzoo.sources.hub import HUB_ID, HUB_NAMES, LABEL_COLUMNS, from_hub
from botzoo.sources.layouts.split_names import Said, assigned, by_role
from botzoo.sources.tables import has_configurations, library_errors, open_builder, shard_files
from botzoo.util.environment import user_path
from botzoo.util.outgoing import in_quotes, without_secrets
from botzoo.util.text import brief, listing


def find_shards(name: str, options: SourceOptions = NOTHING_SAID, *, classes: str | None = None) -> ImageData[Shards]:
    """Find the shards of the data set ``name`` and count their images.

    Args:
        name: a folder, a pattern of paths or addresses with ``{0000..1023}``, ``{a,b}`` or ``*``, a key of
            ``HUB_NAMES`` or a Hub id. Names tell the splits: train, validation and test, or words for them.
        options: what the user says of it. Its columns are those of parquet files, or endings of names in tar files (``jpg``,
            ``cls``), or a key in the JSON of ``NAME.json``.
        classes: number of classes, or a file with the name of one on each line, where the shards do not name them.

    Returns:
        The splits, of which ``validation`` is always there.

    Raises:
        DataError: no shards, a missing or damaged one, no validation split, labels out of range, or too little known.
        NetworkError: it is on the Hub, and that cannot be reached.
    """
    source = _find(name, options.splits)
    urls = source.urls["train"]
    options = replace(options, label_column=options.label_column or LABEL_COLUMNS.get(source.hub_id or ""))
    with opened(urls[0]) as file:
        form, declared = form_of(name, file_of(urls[0]), file, options)
    declared = source.class_names.get(form.label, declared)
    if isinstance(form, ParquetForm):  # nothing else would say how many classes there are
        form = replace(form, counted=declared is None and classes is None)
    notes = list(source.notes)
    splits: dict[str, Shards] = {}
    for role, found in source.urls.items():
        split = count(name, role, found, form)
        known = [counted.labels if counted.labels is not None else counted.bounds for counted in split.counts]
        # a test split often has none, or the number that stands for none
        if role == "test" and all(labels is not None and set(labels) <= {None, UNLABELLED} for labels in known):
            notes.append("the test split has no labels, so it is not used")
        elif not len(split):
            raise DataError(f"The {role} split of {name} is empty: it has no images.")
        else:
            splits[role] = split
    if "validation" not in splits:
        cure = f"name some shards val-0000{Path(file_of(urls[0])).suffix} and so on"
        raise DataError(f"{name} has no validation split, and none can be cut from a stream, class by class: {cure}.")
    class_names = _class_names(name, splits["train"], declared, classes)
    if declared is None and classes is None:
        notes.append("the shards do not name the classes: they are called by their numbers")
    by_name = {label: i for i, label in enumerate(class_names)}
    splits = {role: replace(split, label_of=by_name, classes=len(class_names)) for role, split in splits.items()}
    parts = splits["train"], splits["validation"], splits.get("test")
    shown = without_secrets(source.folder or name)
    data = ImageData(shown, class_names, *parts, hub_id=source.hub_id, license=source.license, declared=True)
    for role, split in splits.items():  # before the first step, as a label out of range would end the run in its midst
        for url, counted in zip(split.urls, split.counts, strict=True):
            for label in (*(counted.labels or ()), *(counted.bounds or ())):
                try:
                    split.index_of(label)
                except ValueError as error:
                    raise DataError(f"The shard {url} of {name} holds an image with {error}.") from error
        notes += missing_classes(data, role, split, class_names)
    return replace(data, notes=tuple(notes), mirrored=(data.hub_id or name) not in CHARACTERS)


@dataclass(frozen=True)
class _Source:
    """What is known of a data set before a shard is opened."""

    urls: dict[str, list[str]]  # of the shards, by the role of their split
    notes: tuple[str, ...] = ()
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)  # those that the columns declare
    hub_id: str | None = None
    license: str | None = None
    folder: str | None = None


def _find(name: str, said: Said) -> _Source:
    """Return the shards of each split, by their names; a data set is opened where only it knows them."""
    path = user_path(name)
    if path.is_dir():
        tars, tables = shard_files(path, ".tar"), shard_files(path, ".parquet")
        if tars and tables:
            raise DataError(f"{name} holds both .tar and .parquet files: give a folder, or a pattern, of one kind.")
        if not tars and not tables:
            raise DataError(f"{name} holds no .tar or .parquet shards: leave --data.streaming out for other folders.")
        if tables and has_configurations(path):
            return _built(name, said, str(path))
        roles, notes = by_role(name, tars or tables, said)
        seen: dict[tuple[str, int], set[int]] = {}
        for file in tars or tables:  # 00003-of-00008 tells how many there should be
            if found := re.fullmatch(r"(.*?)(\d+)-of-(\d+)(.*)", file):
                seen.setdefault((found[1] + "{}" + found[4], int(found[3])), set()).add(int(found[2]))
        for (pattern, total), numbers in seen.items():
            if missing := sorted(set(range(total)) - numbers):
                first = pattern.format(f"{missing[0]:05}-of-{total:05}")
                raise DataError(f"{name} lacks {len(missing)} of {total} shards, such as {first}: get the rest.")
        return _Source({role: [str(path / file) for file in files] for role, files in roles.items()}, tuple(notes))
    if is_remote(name) or name.endswith((".tar", ".parquet")) or any(c in name for c in "{*"):
        return _behind_pattern(name, said)
    if name in HUB_NAMES or (HUB_ID.fullmatch(name) and not path.exists()):
        hub_id, license, source = from_hub(name, HUB_NAMES.get(name, name), partial(_built, name, said))
        return replace(source, hub_id=hub_id, license=license)
    raise DataError(
        f"There are no shards {in_quotes(name)} to stream: give a folder of .tar or .parquet files, a pattern such as "
        f"data/{{train,val}}-{{0000..0127}}.tar, or a Hub id (owner/name).{did_you_mean(name, HUB_NAMES)}"
    )


def _behind_pattern(name: str, said: Said) -> _Source:
    """Return the shards whose names fit a pattern; on another machine they are taken to be there."""
    name = name if is_remote(name) else str(user_path(name))
    found: list[str] = []
    for pattern in _expanded(name):  # braces first: a name that they spell out has to be there
        globs = not is_remote(pattern) and any(c in pattern for c in "*?[")
        found += sorted(glob(pattern)) if globs else [pattern]  # noqa: PTH207
    found = list(dict.fromkeys(found))
    missing = [file for file in found if not is_remote(file) and not Path(file).is_file()]
    if missing or not found:
        which = f"{len(missing)} of its {len(found)} shards are" if missing else "there is not one of its shards"
        raise DataError(f"{name}: {which} missing{f', such as {missing[0]}' if missing else ''}; check the pattern.")
    if len(kinds := {Path(file_of(file)).suffix for file in found}) > 1:
        raise DataError(f"{name} holds files of several kinds, {listing(sorted(kinds))}: name those of one.")
    # words in the folders above the pattern, such as test, say nothing of a split
    named = {file_of(file): file for file in found}  # nor do those of a query
    if len(named) < len(found):
        raise DataError(
            f"{name}: its shards differ in what follows '?' only, and their names have to: give other addresses."
        )
    fixed = len(re.split(r"[{*?\[]", file_of(name))[0].rpartition("/")[0])
    parts, notes = by_role(name, [file[fixed:] for file in named], said)
    folder = next(iter(named))[:fixed]
    urls = {role: [named[folder + part] for part in files] for role, files in parts.items()}
    return _Source(urls, tuple(notes), folder=folder or ".")


def _expanded(pattern: str) -> list[str]:
    """Return the names that ``{a,b}`` and ``{00..31}`` stand for."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    names = [f"{i:0{len(span[1])}}" for i in range(int(span[1]), int(span[2]) + 1)] if span else found[1].split(",")
    return [name for choice in names for name in _expanded(pattern[: found.start()] + choice + pattern[found.end() :])]


def _built(name: str, said: Said, where: str, configuration: str | None = None) -> _Source:
    """Return the shards that the library ``datasets`` finds in a folder or on the Hub."""
    with library_errors(name):
        builder = open_builder(where, configuration)
    if builder.name not in ("parquet", "webdataset"):
        kind = f"{builder.name}, and only parquet and tar files are streamed"
        raise DataError(f"{name} is stored as {kind}: leave --data.streaming out.")
    data_files: dict[str, Any] = {str(split): files for split, files in (builder.config.data_files or {}).items()}
    roles, notes = assigned(name, list(data_files), said)
    urls = {role: [str(file) for split in splits for file in data_files[split]] for role, splits in roles.items()}
    features: dict[str, Any] = builder.info.features or {}
    return _Source(
        urls, tuple(notes), {column: tuple(f.names) for column, f in features.items() if hasattr(f, "names")}
    )


def _class_names(name: str, train: Shards, declared: tuple[str, ...] | None, classes: str | None) -> tuple[str, ...]:
    """Return the names: those that ``classes`` gives, else the declared ones, else the numbers of the labels."""
    give = "give the number of classes, or a file with one name on each line, with --data.classes"
    labels, names = set(train.labels or ()) - {None}, declared or ()
    if classes is not None:
        try:
            path = user_path(classes)
            text = "" if classes.isdecimal() else read_file(path, MAX_TEXT).decode("utf-8")
            lines = map(str, range(int(classes))) if classes.isdecimal() else text.split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"--data.classes is {in_quotes(classes)}: give a number or a text file ({brief(error)})."
            ) from error
        names = tuple(line.strip() for line in lines if line.strip())
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise DataError(f"--data.classes {classes} names {in_quotes(twice)} twice: give each class one line.")
        if declared is not None and len(names) != len(declared):
            raise DataError(f"{name} declares {len(declared)} classes, not {len(names)}: leave --data.classes out.")
    if not names:
        if not labels or not all(isinstance(label, int) for label in labels):
            raise DataError(f"{name} does not say how many classes it has: {give}.")
        if labels != set(range(len(labels))):  # a class may have images in no shard, or a label be a mistake
            found = f"{len(labels)} from {min(labels)} to {max(labels)}"
            raise DataError(f"The labels of {name} are not the numbers from 0 on without a gap, but {found}: {give}.")
        names = tuple(map(str, range(len(labels))))
    if len(names) < 2:
        raise DataError(f"{name} has {len(names)} class: a classifier needs two or more.")
    return names
