"""Every way in which shards can be wrong, before the first step and after."""

import os
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest

from botzoo.data.order import Order
from botzoo.data.streaming.find import find_shards
from botzoo.data.streaming.shards import named_errors
from botzoo.data.transforms import EvalTransform
from botzoo.errors import ConfigError, DataError
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.config import DataConfig, TrainConfig
from data.pictures import open_images
from data.streaming.made import (
    TRANSFORM,
    numbers,
    png,
    refusal,
    samples,
    stream,
    table,
    write_numbers,
    write_tables,
    write_tar,
    write_tars,
)


def test_a_test_split_without_labels_is_not_used(tmp_path: Path) -> None:
    write_tars(tmp_path)
    write_tar(tmp_path / "test-0000.tar", [("1.png", png(1)), ("2.png", png(2))])
    data = find_shards(str(tmp_path))
    assert data.test is None
    assert data.notes[0] == "the test split has no labels, so it is not used"


@pytest.mark.parametrize("labels", [[-1, -1], [None, None], None])
def test_a_test_split_of_a_table_without_labels_is_not_used(tmp_path: Path, labels: list[int | None] | None) -> None:
    write_tables(tmp_path / "data")
    write_numbers(tmp_path / "other", labels or [0, 0], "test")
    rows = datasets.Dataset.from_parquet(str(tmp_path / "other" / "test.parquet"), cache_dir=str(tmp_path / "cache"))
    (rows if labels else rows.remove_columns("label")).to_parquet(tmp_path / "data" / "test.parquet")
    data = find_shards(str(tmp_path / "data"))
    assert data.test is None
    assert data.notes[0] == "the test split has no labels, so it is not used"


def test_without_a_validation_split_streaming_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "train-0000.tar", samples(0, 3))
    assert "has no validation split" in refusal(tmp_path)


def test_a_folder_without_shards_is_refused(photos: Path) -> None:
    assert "leave --data.streaming out" in refusal(photos)
    assert "There are no shards 'nothing'" in refusal("nothing")


def test_tar_files_are_refused_without_streaming(tars: Path) -> None:
    with pytest.raises(DataError, match=r"read them with --data.streaming"):
        open_images(str(tars))


def test_options_of_streaming_are_refused_without_it() -> None:
    with pytest.raises(ConfigError, match=r"--data\.epoch-images 5 counts with --data\.streaming"):
        TrainConfig(dataset="digits", data=DataConfig(epoch_images=5))


def test_missing_shards_are_named(tars: Path, tables: Path, tmp_path: Path) -> None:
    assert "1 of its 7 shards are missing, such as" in refusal(f"{tars}/{{train-{{0000..0005}},val-0000}}.tar")
    for path in sorted(tables.iterdir())[1:]:
        os.link(path, tmp_path / path.name)
    assert "lacks 1 of 5 shards, such as train-00000-of-00005.parquet" in refusal(tmp_path)


def test_unknown_columns_are_refused_with_close_matches(tars: Path, tables: Path) -> None:
    assert "Did you mean 'image'?" in refusal(tables, image_column="imag")
    assert "Did you mean 'cls'?" in refusal(tars, label_column="clss")


@pytest.mark.parametrize("keep", [0, 700, 3000, -512 * 3, -10240])
def test_a_tar_file_cut_off_anywhere_is_named(tmp_path: Path, keep: int) -> None:
    path = write_tars(tmp_path) / "train-0002.tar"
    content = path.read_bytes()
    end = len(content) if keep >= 0 else len(content.rstrip(b"\0")) // 512 * 512 + 512
    path.write_bytes(content[: keep if keep >= 0 else end + keep + 512])
    assert f"The shard {path} cannot be read" in refusal(tmp_path)


def test_a_tar_file_damaged_in_the_middle_is_named(tmp_path: Path) -> None:
    path = write_tars(tmp_path) / "train-0002.tar"
    content = bytearray(path.read_bytes())
    content[2048:2560] = b"x" * 512
    path.write_bytes(content)
    assert f"The shard {path} cannot be read (it is cut off or damaged at byte 2,048)" in refusal(tmp_path)


def header(name: str, size: int, **pax: str) -> bytes:
    """The head of a file in a tar file, which may claim anything."""
    info = tarfile.TarInfo(name)
    info.size, info.pax_headers = size, pax
    return info.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "1.cls"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header("1.cls", 512, **SPARSE, **{"GNU.sparse.realsize": str(1 << 40)}) + b"0\n".ljust(512, b"\0"), "sparse"),
        (header("1.cls", 1 << 40), "claims to have 1,099,511,627,776 bytes"),
        (header("1.cls", -512), "damaged at byte 0"),
        (header("1.cls", 1200) + b"x" * 1536, "1,200 characters"),
    ],
)
def test_a_tar_file_that_would_fill_the_memory_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = write_tars(tmp_path) / "train-0009.tar"
    path.write_bytes(content + bytes(10240))
    message = refusal(tmp_path)
    assert f"The shard {path} cannot be read" in message
    assert reason in message


def thrift(number: int) -> bytes:
    """A whole number as it stands in a parquet file's footer, behind the mark of its type."""
    rest, digits = 2 * number, [0x16]
    while rest > 127:
        digits.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*digits, rest])


def test_a_parquet_file_that_claims_more_rows_than_it_has_bytes_is_refused(tmp_path: Path) -> None:
    path = write_tables(tmp_path / "data") / "train-00002-of-00005.parquet"
    whole = path.read_bytes()
    begin = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    footer = whole[begin:-8].replace(thrift(12) + b"\x19", thrift(10**15) + b"\x19", 1)  # its number of rows
    path.write_bytes(whole[:begin] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert f"The shard {path} cannot be read (it claims to hold 1,000,000,000,000,000 rows" in refusal(
        tmp_path / "data"
    )


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    path = write_tables(tmp_path / "data") / "train-00003-of-00005.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    assert f"The shard {path} cannot be read" in refusal(tmp_path / "data")


@pytest.mark.parametrize("label", [b"-1", b"cat", b""])
def test_a_label_that_is_no_class_is_named(tmp_path: Path, label: bytes) -> None:
    write_tar(write_tars(tmp_path) / "train-0009.tar", [("1.cls", label), ("1.png", png(1))])
    assert "train-0009.tar" in refusal(tmp_path, classes="3")
    assert "out of range for 3 classes" in refusal(tmp_path, classes="3")


def test_an_image_without_a_label_is_named(tmp_path: Path) -> None:
    write_tar(write_tars(tmp_path) / "train-0009.tar", [("1.png", png(1))])
    assert "train-0009.tar" in refusal(tmp_path, classes="3")


def test_a_label_beyond_the_classes_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    write_tables(tmp_path / "data")
    wide = table(0, 4).cast_column("label", datasets.Value("int64")).map(lambda row: {"label": 3})
    wide.to_parquet(tmp_path / "data" / "train-extra.parquet")
    assert "holds an image with label 3, which is out of range for 3 classes" in refusal(tmp_path / "data")


def test_class_names_that_do_not_fit_are_refused(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ncat\n")
    assert "names 'cat' twice" in refusal(tables, classes=str(tmp_path / "names.txt"))
    assert "declares 3 classes, not 4: leave --data.classes out" in refusal(tables, classes="4")
    assert "give a number or a text file" in refusal(tables, classes="names.csv")


@pytest.mark.parametrize("change", [Path.unlink, lambda path: write_tar(path, samples(0, 1))])
def test_a_shard_that_changes_after_counting_is_named(tmp_path: Path, change: Any) -> None:
    found = stream(write_tars(tmp_path))
    change(tmp_path / "train-0002.tar")
    with pytest.raises(DataError, match=r"train-0002\.tar (is missing|holds fewer images than the 12)"):
        numbers(found, Order(40, 8, 3), 0, 5)


def broken(folder: Path) -> Path:
    """Shards of which one image is cut off and another one is empty."""
    write_tar(
        write_tars(folder) / "train-0009.tar",
        [("7.cls", b"1"), ("7.png", png(1)[:60]), ("8.cls", b"1"), ("8.png", b"")],
    )
    return folder


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    batches = stream(broken(tmp_path)).train_batches(TRANSFORM, Order(42, 6, 3), 0, 7, workers=0, pin=False)
    with pytest.raises(DataError, match=r"image \d of the shard .*train-0009.tar: .*--skip-corrupt"):
        list(batches)


def test_unreadable_images_are_replaced_in_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = stream(broken(tmp_path))
    found.skip_corrupt = True
    order = Order(42, 6, 3)
    batches = [batch for (batch,) in found.train_batches(TRANSFORM, order, 0, 14, workers=0, pin=False)]
    assert [len(images) for images, _ in batches] == [6] * 14
    values = Counter(int(value) for images, _ in batches[:7] for value in images[:, 1, 0, 0])
    assert values.total() == 42
    assert set(values) == set(range(40))
    assert caplog.text.count("left out") == 2


def test_unreadable_images_are_left_out_of_evaluation(tmp_path: Path) -> None:
    found = stream(broken(tmp_path))
    found.skip_corrupt = True
    transform = EvalTransform(Preprocessing(8, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear"))
    batches = found.eval_batches(transform, 1, rank=0, world_size=1, workers=0, pin=False)
    assert sum(len(labels) for _, labels in batches) == 40


def test_names_that_lead_out_of_the_folder_are_only_names(tmp_path: Path) -> None:
    for split in ("train", "val"):
        members = [(f"../../{i}.{k}", c) for i in range(3) for k, c in (("cls", b"%d" % i), ("png", png(i)))]
        write_tar(tmp_path / "in" / f"{split}.tar", members)
    assert len(list(stream(tmp_path / "in").in_order(0, 1))) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def unreachable() -> FileNotFoundError:
    """What a client of another machine raises where it has no answer from it."""
    error = FileNotFoundError("http://host/a.tar")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ImportError("it requires aiohttp"),
            r"takes another package \(it requires aiohttp\): pip install 'fsspec\[http\]'",
        ),
        (FileNotFoundError(), "is missing: put it back"),
        (unreachable(), r"cannot be read \(.*Connection refused\)"),
    ],
)
def test_what_another_machine_lacks_is_said(error: Exception, said: str) -> None:
    with pytest.raises(DataError, match=f"^The shard https://host/a.tar {said}"), named_errors("https://host/a.tar"):
        raise error
