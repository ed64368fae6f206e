"""What a network answered image by image, on the disk: one parquet file a split, one row an image, in the split's order."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from botzoo.errors import CheckpointError
from botzoo.tasks.task import Answers
from botzoo.util.files import own_folder, written_whole
from botzoo.util.text import brief

ANY = -1
"""In the shape of a row: as many as there are."""


def lists(rows: Sequence[NDArray[Any]]) -> NDArray[np.object_]:
    """Return lists of any length, one for each of N images, as an array of shape (N,); all are of one type.

    So an image with very many rows takes no room for the others.
    """
    found = np.empty(len(rows), object)
    for i, each in enumerate(rows):  # one by one, as NumPy would make lists of equal lengths an axis
        found[i] = each
    return found


def write_answers(path: Path, names: Sequence[str], answers: Answers) -> None:
    """Write names and answers as columns, whole or not at all; read back, the arrays are equal to the bit.

    Args:
        path: of the file, whose folder is made where it is missing.
        names: of the N images: file paths or row numbers. They may hold anything, and are no more than text.
        answers: arrays whose first axis is N; a row of more than one axis becomes a list, and its shape is kept if it has
            several, or as many as it likes, see ``lists``.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A file system may hold names that are no UTF-8.
    columns = {"name": pa.array([name.encode(errors="backslashreplace").decode() for name in names], pa.string())}
    shaped: dict[str, str] = {}
    for name, values in answers.items():
        if values.dtype == object:
            flat = np.concatenate(values)
            ends = np.cumsum([0, *(rows.size for rows in values)])
            columns[name] = pa.LargeListArray.from_arrays(ends, pa.array(flat.reshape(-1)))
            shaped[name] = json.dumps((ANY, *flat.shape[1:]))
            continue
        flat, each = pa.array(np.ascontiguousarray(values).reshape(-1)), math.prod(values.shape[1:])
        if each:
            columns[name] = flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, each)
        else:  # lists of no length do not say how many they are
            columns[name] = pa.ListArray.from_arrays(np.zeros(len(values) + 1, np.int32), flat)
        if values.ndim > 2 or not each:
            shaped[name] = json.dumps(values.shape[1:])
    table = pa.table(columns)
    own_folder(path.parent)
    with written_whole(path) as part:
        pq.write_table(table.replace_schema_metadata(shaped) if shaped else table, part)


def read_answers(path: Path) -> tuple[list[str], Answers]:
    """Return the names and the answers that ``write_answers`` wrote.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path).combine_chunks()
        names = table.column("name").to_pylist()
        answers: Answers = {}
        kept = table.schema.metadata or {}
        for name in table.column_names[1:]:
            column = table.column(name).combine_chunks()
            size = getattr(column.type, "list_size", None)  # of an array of two axes; of more the shape is kept
            shape = json.loads(kept[name.encode()]) if name.encode() in kept else [] if size is None else [size]
            flat = (column.flatten() if shape else column).to_numpy(zero_copy_only=False)  # booleans need a copy
            if shape[:1] == [ANY]:
                ends = column.offsets.to_numpy()[1:-1] // math.prod(shape[1:])
                answers[name] = lists(np.split(flat.reshape(-1, *shape[1:]), ends))
            else:
                answers[name] = flat.reshape(len(names), *shape)
        return names, answers
    except Exception as error:  # pyarrow's own, OSError, KeyError and ValueError for a table of another form
        reason, run = brief(error) if path.is_file() else "there is no such file", path.parent.parent
        raise CheckpointError(
            f"The answers in {path} cannot be read ({reason}): remove {run / 'model'} and evaluate by --resume {run}."
        ) from error
