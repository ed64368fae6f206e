"""Parquet files, as the library datasets and the Hub write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from os import SEEK_END
from typing import Any, BinaryIO, ClassVar

from botzoo.data.sources.label_lists import element
from botzoo.data.sources.tables import check_features, pick_columns
from botzoo.data.streaming.shards import Cell, Count, refuse_lists, tally


@dataclass(frozen=True)
class ParquetForm:
    """Shards of parquet files.

    Attributes:
        image, label: the columns of images and of labels.
        counted: whether each label is to be counted, where their least and greatest do not suffice.
    """

    image: str
    label: str
    counted: bool = False
    read_whole: ClassVar[bool] = False

    def cells(self, file: BinaryIO, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        """See ``Form``; groups of rows without a wanted one are passed over unread."""
        from pyarrow.parquet import ParquetFile

        parquet = ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
        for group, begin in enumerate(accumulate(sizes, initial=0)):
            rows = range(begin, min(begin + sizes[group], end)) if group < len(sizes) else range(0)
            if any(map(wanted, rows)):
                yield from self._group(parquet, group, begin, wanted, end)

    def _group(self, parquet: Any, group: int, begin: int, wanted: Callable[[int], bool], end: int) -> Iterator[Cell]:
        number = begin
        for batch in parquet.iter_batches(32, [group], [self.image, self.label], use_threads=False):
            for image, label in zip(batch.column(self.image), batch.column(self.label), strict=True):
                if number < end and wanted(number):
                    cell = image.as_py()
                    content = cell.get("bytes") if isinstance(cell, dict) else cell
                    yield number, content or b"", label.as_py()
                number += 1

    def count(self, file: BinaryIO) -> Count:
        """See ``Form``; of labels, what stands at the file's end, or their column where that does not tell enough."""
        from pyarrow.parquet import ParquetFile

        parquet = ParquetFile(file)
        rows, size = parquet.metadata.num_rows, file.seek(0, SEEK_END)
        if not 0 <= rows <= size:
            raise ValueError(f"it claims to hold {rows:,} rows in {size:,} bytes")
        if self.label not in parquet.schema_arrow.names:
            return Count(rows, {None: rows})
        if not self.counted and (bounds := self._bounds(parquet.metadata)):
            return Count(rows, bounds=bounds)
        batches = parquet.iter_batches(1 << 16, columns=[self.label], use_threads=False)
        return Count(rows, tally(label for batch in batches for label in batch.column(0).to_pylist()))

    def _bounds(self, metadata: Any) -> tuple[int, int] | None:
        """Return the least and the greatest label, where the file states them."""
        place = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path == self.label)
        found = [metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups)]
        known = all(s is not None and s.has_min_max and isinstance(s.min, int) and not s.null_count for s in found)
        return (min(s.min for s in found), max(s.max for s in found)) if known and found else None


def look(
    name: str, file: BinaryIO, image_column: str | None, label_column: str | None
) -> tuple[ParquetForm, tuple[str, ...] | None]:
    """Return how parquet files are read, and the class names that they declare, by the columns of the first."""
    import datasets
    from pyarrow.parquet import read_schema

    features = datasets.Features.from_arrow_schema(read_schema(file))
    image, label = pick_columns(name, features, image_column, label_column)
    if element(features[label]) is not None:
        raise refuse_lists(name, label)
    check_features(name, "train", features, features, image, label)
    names = getattr(features[label], "names", None)
    return ParquetForm(image, label), tuple(names) if names else None
