"""Parquet files, as the library datasets and the Hub write them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import SEEK_END
from typing import BinaryIO, ClassVar

from botzoo.data.sources.labels import element
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

        parquet, begin = ParquetFile(file, buffer_size=1 << 20, pre_buffer=False), 0
        for group in range(parquet.num_row_groups):
            first, begin = begin, begin + parquet.metadata.row_group(group).num_rows
            if not any(map(wanted, range(first, min(begin, end)))):
                continue
            batches = parquet.iter_batches(32, [group], [self.image, self.label], use_threads=False)
            rows = (row for b in batches for row in zip(b.column(self.image), b.column(self.label), strict=True))
            for number, (image, label) in enumerate(rows, first):
                if number < end and wanted(number):
                    cell = image.as_py()
                    content = cell.get("bytes") if isinstance(cell, dict) else cell
                    yield number, content or b"", label.as_py()

    def count(self, file: BinaryIO) -> Count:
        """See ``Form``; of labels, what stands at the file's end, or their column where that does not tell enough."""
        from pyarrow.parquet import ParquetFile

        parquet = ParquetFile(file)
        known, size = parquet.metadata, file.seek(0, SEEK_END)
        if not 0 <= known.num_rows <= size:
            raise ValueError(f"it claims to hold {known.num_rows:,} rows in {size:,} bytes")
        if self.label not in parquet.schema_arrow.names:
            return Count(known.num_rows, {None: known.num_rows})
        place = next(i for i in range(known.num_columns) if known.schema.column(i).path == self.label)
        stated = [known.row_group(group).column(place).statistics for group in range(known.num_row_groups)]
        plain = all(s is not None and s.has_min_max and isinstance(s.min, int) and not s.null_count for s in stated)
        if not self.counted and stated and plain:
            return Count(known.num_rows, bounds=(min(s.min for s in stated), max(s.max for s in stated)))
        batches = parquet.iter_batches(1 << 16, columns=[self.label], use_threads=False)
        return Count(known.num_rows, tally(label for batch in batches for label in batch.column(0).to_pylist()))


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
