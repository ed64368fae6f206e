"""Tables of images and labels: parquet files and what datasets.save_to_disk wrote."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from glob import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import DataError, did_you_mean
from botzoo.sources.base import UNLABELLED, Encoded, ImageData, OwnNames, Source, SourceOptions, Split
from botzoo.sources.cards import check_card
from botzoo.sources.files import inside, named, open_file, own_folders, read_text
from botzoo.sources.folders import IMAGE_SUFFIXES, files_in
from botzoo.sources.labels import element, read_labels, unsaid
from botzoo.sources.layouts.split_names import assigned, by_role
from botzoo.util.outgoing import in_quotes
from botzoo.util.text import brief

LABEL_NAMES = ("label", "labels", "fine_label", "cls", "class", "target")

TEXT = ("string", "large_string", "string_view")
BYTES = ("binary", "large_binary", "binary_view")
"""Names of types of columns, as the library datasets has them."""

MAX_PATH = 4096
"""Bytes that are more are no name and no path."""


class Tables(Source):
    """Folders with parquet files, or with what datasets.save_to_disk wrote."""

    def recognises(self, name: str, path: Path) -> bool:
        return path.is_dir() and (_is_saved(path) or bool(shard_files(path, ".parquet")))

    def open(self, name: str, path: Path, options: SourceOptions) -> ImageData[Split]:
        tables, notes, folders = self._tables(name, path, options)
        data = open_tables(name, tables, options, [*own_folders(path), *folders])
        return replace(data, notes=(*data.notes, *notes))

    def own_names(self, name: str, path: Path, options: SourceOptions) -> OwnNames:
        tables, _, _ = self._tables(name, path, options)
        label = pick_columns(name, tables["train"].features, options, first_cells(tables["train"]))[1]
        named = {}
        for role, table in tables.items():
            if label in table.features:
                feature, cells = table.features[label], table.with_format(None)[label][:]
                if element(feature) is not None:
                    cells = [value for cell in cells for value in cell or ()]
                named[role] = _declared_names(feature) or sorted({str(_as_text(v)) for v in cells if v is not None})
        return named

    def _tables(self, name: str, path: Path, options: SourceOptions) -> tuple[dict[str, Any], list[str], list[Path]]:
        """Return the tables by role, notes on files that are not used, and where else files may lie."""
        if _is_saved(path):
            from datasets.load import load_from_disk

            with library_errors(str(path), bars=False):
                _check_saved(path)
                saved = load_from_disk(str(path))
            return *as_splits(name, saved, options), []
        from pyarrow.parquet import read_metadata

        files = shard_files(path, ".parquet")
        for file in files:
            try:  # the error of datasets does not name the file
                with open_file(path / file) as opened:
                    read_metadata(opened)
            except (OSError, ValueError) as error:
                why = brief(error) if not isinstance(error, ValueError) else "its end is none of parquet"
                raise DataError(
                    f"{path / file} is damaged or no parquet file ({why}): get it again, or remove it."
                ) from error
        if has_configurations(path):
            loaded = load_dataset(str(path))
            return *as_splits(str(path), loaded.tables, options), loaded.folders
        # Named to the library one by one: left to itself, it goes by what most files in the folder are.
        roles, notes = by_role(str(path), files, options.splits)
        escaped = {role: [escape(str((path / file).resolve())) for file in found] for role, found in roles.items()}
        return dict(load_dataset("parquet", escaped, str(path)).tables), notes, []


class Loaded(NamedTuple):
    """What the library has read."""

    tables: Any  # a DatasetDict
    folders: list[Path]  # where files lie that it has taken out of archives


def load_dataset(
    source: str,
    data_files: dict[str, list[str]] | None = None,
    shown: str | None = None,
    *,
    configuration: str | None = None,
    bars: bool = False,
) -> Loaded:
    """Return ``datasets.load_dataset``'s answer, without progress bars unless ``bars``."""
    with library_errors(shown or source, bars):
        builder = open_builder(source, configuration, data_files)
        builder.download_and_prepare()
        return Loaded(builder.as_dataset(), _extracted() if builder.name in MAKES_PATHS else [])


def open_builder(source: str, configuration: str | None, data_files: dict[str, list[str]] | None = None) -> Any:
    """Return what the library ``datasets`` reads a data set with; of foreign files only those that are ``data_files``.

    What a card names lies in the data set's folder, where links are the user's, as in class folders; or in its repository.
    """
    if not data_files:
        check_card(source)
    from datasets.load import load_dataset_builder

    builder = load_dataset_builder(source, configuration, data_files=data_files)
    found: Any = {} if data_files else builder.config.data_files or {}
    folder = Path(source).resolve()
    there = set(files_in(folder)) if found and folder.is_dir() else set()
    for files in found.values():
        for file in map(str, files):
            archive = file.rpartition("::")[2]
            own = archive in there or archive.lower().startswith(f"hf://datasets/{source}@".lower())
            if ".." in archive or not own:
                inside(archive, own_folders(Path(source)) if there else [], f"The card of {source}")
    return builder


MAKES_PATHS = ("imagefolder", "videofolder", "audiofolder")
"""Kinds of data sets whose cells have paths that the library made itself; elsewhere they are foreign text."""


def _extracted() -> list[Path]:
    """Return where the library ``datasets`` keeps what it has taken out of archives."""
    import datasets

    return [Path(datasets.config.EXTRACTED_DATASETS_PATH), Path(datasets.config.DOWNLOADED_DATASETS_PATH)]


@contextmanager
def library_errors(shown: str, bars: bool = True) -> Iterator[None]:
    """Raise what the library raises as ``DataError``, unless network or access are to blame; no ``bars`` of progress."""
    from datasets.exceptions import DatasetNotFoundError
    from datasets.utils.tqdm import disable_progress_bars

    if not bars:
        disable_progress_bars()
    try:
        yield
    except (ConnectionError, DatasetNotFoundError, DataError):
        raise
    except Exception as error:  # the library passes on whatever a file, its cache or the disk leads to
        cause = error.__cause__ or error
        hint = " Give one as owner/name:CONFIGURATION." if "Config name is missing" in str(error) else ""
        raise DataError(f"The data set {shown} cannot be read: {brief(cause)}.{hint}") from error


def _is_saved(path: Path) -> bool:
    return (path / "dataset_dict.json").exists() or (path / "state.json").exists()


def _check_saved(path: Path) -> None:
    """Raise unless all that the JSON files of a saved data set name is in its folder, and are files."""
    folders, parts = own_folders(path), [whole := path.resolve()]
    if (file := path / "dataset_dict.json").exists():
        splits = json.loads(read_text(file))["splits"]
        parts = [inside(str(whole / split), folders, str(file)) for split in splits]
    for part in parts:
        read_text(part / "dataset_info.json")
        file = part / "state.json"
        for data in json.loads(read_text(file))["_data_files"]:
            with named(content := inside(str(part / data["filename"]), folders, str(file))):
                open_file(content).close()


def shard_files(path: Path, suffix: str) -> list[str]:
    """Return the files in ``path`` whose names end so, by their paths inside it."""
    return [str(Path(file).relative_to(path)) for file in files_in(path) if file.lower().endswith(suffix)]


def has_configurations(folder: Path) -> bool:
    """Tell whether the card in a folder says which files belong to which split."""
    try:
        text = read_text(folder / "README.md")
    except FileNotFoundError:
        return False
    return re.match(r"---\n(.*\n)*?(configs|dataset_info):", text) is not None


def as_splits(name: str, loaded: Any, options: SourceOptions) -> tuple[dict[str, Any], list[str]]:
    """Return the tables of a DatasetDict or Dataset by role, and notes on those that are not used.

    Raises:
        DataError: as of ``assigned``.
    """
    tables = {str(split): table for split, table in loaded.items()} if isinstance(loaded, dict) else {"train": loaded}
    roles, notes = assigned(name, list(tables), options.splits)
    return {role: _joined(name, [tables[each] for each in names]) for role, names in roles.items()}, notes


def _joined(name: str, tables: list[Any]) -> Any:
    """Return the tables of one split as one."""
    if len(tables) == 1:
        return tables[0]
    import datasets

    if not all(isinstance(table, datasets.Dataset) for table in tables):
        raise DataError(f"Splits of {name} that are no datasets.Dataset are not joined by +: give each one name.")
    with library_errors(name, bars=False):
        return datasets.concatenate_datasets(tables)


def open_tables(
    name: str,
    tables: dict[str, Any],
    options: SourceOptions,
    folders: Sequence[Path] | None = None,
) -> ImageData[Split]:
    """Return tables of the library datasets, by role, as a data set.

    Paths in cells lead into ``folders`` only, unless that is None: then the tables are the user's own.

    Raises:
        DataError: columns are missing, a choice, or of a type that holds no images or no labels.
    """
    import datasets

    features = tables["train"].features
    image, label = pick_columns(name, features, options, first_cells(tables["train"]))
    if options.group is not None and options.group not in features:
        has = f"{name} has no column {in_quotes(options.group)}: it has {', '.join(features)}"
        raise DataError(f"{has}.{did_you_mean(options.group, features)} Give one of them with --data.group.")
    notes: list[str] = []
    if "test" in tables and label not in tables["test"].features:
        tables = {role: table for role, table in tables.items() if role != "test"}
        notes.append(f"the test split has no column {in_quotes(label)}, so it is not used")
    for role, table in tables.items():
        check_features(name, role, table.features, features, image, label)
        kind = table.features[image]
        if not (isinstance(kind, datasets.Image) or _may_hold_images(kind) or kind.dtype in TEXT):
            what = f"Column {in_quotes(image)} of {name} has type {kind}, which holds no images"
            raise DataError(f"{what}: name another one with --data.image-column.")
    declared = _declared_names(features[label])
    raw: dict[str, Sequence[Any]] = {
        role: list(map(_as_text, table.with_format(None)[label][:])) for role, table in tables.items()
    }
    lists = element(features[label]) is not None
    if lists and all(cell is not None and len(cell) == 1 for cells in raw.values() for cell in cells):
        raw, lists = {role: [cell[0] for cell in cells] for role, cells in raw.items()}, False
        notes.append(f"each list in {in_quotes(label)} has one label, so that an image has one")
    if declared is None:
        notes += unsaid(
            label for cell in raw["train"] for label in (cell if lists else [cell]) or () if label is not None
        )
    class_names, labels = read_labels(name, raw, declared, lists=lists)
    if "test" in labels and len(labels["test"]) and (labels["test"] == UNLABELLED).all():
        del labels["test"]
    if "test" in tables and "test" not in labels:
        notes.append("the test split has no labels, so it is not used")
    splits = {}
    for role, found in labels.items():
        # Rows are read from the Arrow table itself, which knows nothing of formats, nor of a selection of rows.
        encoded = tables[role].with_format(None).select_columns([image]).flatten_indices()
        encoded, describe = _as_images(encoded, image), f"row {{}} of the {role} split".format
        wanted = [column for column in tables[role].features if column == options.group]
        columns = {column: _cells(tables[role], column) for column in wanted}
        # Of the user's own tables nothing tells whether they are parts of their files.
        stored = () if folders is None else tuple(str(file["filename"]) for file in encoded.cache_files)
        read = partial(_cell, encoded, image, folders, describe)
        splits[role] = Split(role, found, read, describe, columns=columns, stored_in=stored)
    parts = splits["train"], splits.get("validation"), splits.get("test")
    return ImageData(name, class_names, *parts, notes=tuple(notes), declared=declared is not None)


def _cells(table: Any, column: str) -> NDArray[np.object_]:
    """Return the cells of a column as they stand, shape (N,)."""
    cells = np.empty(len(table), np.object_)  # filled one by one, as NumPy would make lists of equal lengths an axis
    cells[:] = table.with_format(None)[column][:]
    return cells


def _cell(table: Any, column: str, folders: Sequence[Path] | None, describe: Callable[[int], str], i: int) -> Encoded:
    # Ten times as fast as the data set's own row access; Arrow tables may be read from several threads.
    cell = table.data.column(column)[i].as_py() or {}
    content, path = cell.get("bytes"), cell.get("path")
    if content is not None or not path:
        return content or b""
    return Path(path) if folders is None else inside(path, folders, describe(i).capitalize())


def _as_images(table: Any, column: str) -> Any:
    """Return a table of the library with a column, in whatever type it is stored, as that of encoded images."""
    import datasets

    dtype = getattr(table.features[column], "dtype", "")
    if dtype in BYTES and _is_path(first_cells(table).get(column)):
        table = table.cast_column(column, datasets.Value("large_string"))
    elif dtype.endswith("_view"):  # which the library cannot read as images
        table = table.cast_column(column, datasets.Value(f"large_{dtype.removesuffix('_view')}"))
    return table.cast_column(column, datasets.Image(decode=False))


def _is_path(cell: Any) -> bool:
    return (isinstance(cell, str) or _is_text(cell)) and _as_text(cell).lower().endswith(IMAGE_SUFFIXES)


def _is_text(cell: Any) -> bool:
    if not isinstance(cell, bytes) or len(cell) > MAX_PATH:
        return False
    text = _as_text(cell)
    return "\ufffd" not in text and text.isprintable()


def _as_text(cell: Any) -> Any:
    """Return a label, or a list of them, with text in the place of its bytes."""
    if isinstance(cell, list):
        return list(map(_as_text, cell))
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell


def first_cells(table: Any) -> dict[str, Any]:
    """Return a cell of each column of text or bytes, by its name; they tell paths and pictures apart."""
    texts = [c for c, kind in table.features.items() if getattr(kind, "dtype", None) in (*TEXT, *BYTES)]
    found = {column: table.data.column(column) for column in texts}
    cells = {
        column: next((cell.as_py() for cell in column_ if cell.is_valid), None) for column, column_ in found.items()
    }
    return {column: cell for column, cell in cells.items() if cell is not None}


def pick_columns(
    name: str, features: Any, options: SourceOptions, cells: Mapping[str, Any] = MappingProxyType({})
) -> tuple[str, str]:
    """Return the columns of images and labels: those asked for, or the only ones that their types allow.

    ``cells`` has one of each column of text or bytes, as far as they are known.

    Raises:
        DataError: there is a choice, or none.
    """
    import datasets

    images = [c for c in features if isinstance(features[c], datasets.Image)]
    images = images or [c for c in features if _may_hold_images(features[c])]
    if len(images) > 1:  # bytes may be labels too
        images = [c for c in images if not _is_text(cells.get(c)) or _is_path(cells[c])] or images
    images = images or [c for c, cell in cells.items() if _is_path(cell)]
    image = pick_column(name, "image", options.image_column, features, images)
    by_type = [c for c in features if isinstance(features[c], datasets.ClassLabel)]
    by_element = [c for c in features if isinstance(element(features[c]), datasets.ClassLabel)]
    named = [c for c in LABEL_NAMES if c in features]
    by_name = [c for c in named if isinstance(features[c], datasets.Value)]
    by_name += [c for c in named if element(features[c]) is not None]
    return image, pick_column(name, "label", options.label_column, features, by_type or by_element or by_name[:1])


def _may_hold_images(feature: Any) -> bool:
    """Tell whether a column of no declared type holds what an Image column is stored as, or plain bytes."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return getattr(feature, "dtype", None) in BYTES


def check_features(name: str, role: str, found: Any, features: Any, image: str, label: str) -> None:
    """Raise unless a split's columns are those of the training split and can hold images and labels."""
    for column in (image, label):
        if column not in found:
            raise DataError(f"The {role} split of {name} has no column {in_quotes(column)}: it has {', '.join(found)}.")
    if _declared_names(found[label]) != _declared_names(features[label]):
        raise DataError(f"The {role} split of {name} has other classes than the training split, or another order.")
    inner, trained = element(found[label]), element(features[label])
    if (inner is None) != (trained is None):
        raise DataError(f"Only one of the {role} and training splits of {name} has lists of labels: give both lists.")
    kind = getattr(found[label] if inner is None else inner, "dtype", "")  # a list in a list has none
    if kind.rstrip("0123456789") not in ("int", "uint", "bool", *TEXT, *BYTES):
        what = f"Column {in_quotes(label)} of {name} has type {found[label]}: labels must be whole numbers or text, or lists"
        raise DataError(f"{what} of these, or of 0 and 1 for each class. Name another one with --data.label-column.")


def _declared_names(feature: Any) -> list[str] | None:
    """Return the names that a column of labels, or of lists of labels, declares for its classes."""
    names: list[str] | None = getattr(element(feature) or feature, "names", None)
    return names


def pick_column(name: str, kind: str, asked: str | None, columns: Sequence[str], found: list[str]) -> str:
    """Return the column asked for, or the only one found.

    Raises:
        DataError: there is none, or a choice.
    """
    shown, found_shown = (", ".join(names[:20]) + " ..." * (len(names) > 20) for names in (list(columns), found))
    if asked is not None:
        if asked in columns:
            return asked
        has = f"it has {shown}.{did_you_mean(asked, columns)}"
        raise DataError(f"{name} has no column {in_quotes(asked)}: {has} Give one of them with --data.{kind}-column.")
    if len(found) == 1:
        return found[0]
    if not columns:
        raise DataError(f"{name} has no {kind} column, and no columns but those that are used: add one.")
    which = f"several {kind} columns, {found_shown}" if found else f"no {kind} column among {shown}"
    raise DataError(f"{name} has {which}: name the one to use with --data.{kind}-column.")
