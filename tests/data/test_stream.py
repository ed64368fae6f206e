"""Shards: found, counted, divided among processes, resumed, and read in flat memory; every way in which they can be wrong."""

import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from botzoo.data.order import Order, share
from botzoo.data.sources import shards as module
from botzoo.data.sources.find import open_images
from botzoo.data.sources.shards import find_shards
from botzoo.data.stream import Stream, drawn, stream_eval_batches, stream_train_batches
from botzoo.data.transforms import EvalTransform, TrainTransform
from botzoo.errors import BotzooError, ConfigError, DataError
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.config import DataConfig, TrainConfig
from running import SIGKILLED, TINY, final_weights, finetune, finetune_and_signal, run, run_distributed

GREY = 30


def png(value: int, size: int = 16) -> bytes:
    """An image of one colour, another one for each value, so that it tells which one it is."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (value // 256, value % 256, GREY)).save(file, "PNG")
    return file.getvalue()


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(first: int, count: int, classes: int = 3) -> list[tuple[str, bytes]]:
    pairs = [((f"{i:05}.cls", str(i % classes).encode()), (f"{i:05}.png", png(i))) for i in range(first, first + count)]
    return [member for pair in pairs for member in pair]


def write_tars(folder: Path, sizes: tuple[int, ...] = (7, 1, 12, 9, 11), validation: int = 10) -> Path:
    """Tar shards of so many images each, coloured by their numbers, and one for validation."""
    firsts = np.cumsum((0, *sizes))
    for i, size in enumerate(sizes):
        write_tar(folder / f"train-{i:04}.tar", samples(int(firsts[i]), size))
    write_tar(folder / "val-0000.tar", samples(0, validation))
    return folder


def table(first: int, count: int, **columns: Any) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    rows = range(first, first + count)
    cells = [{"bytes": png(i), "path": None} for i in rows]
    return datasets.Dataset.from_dict({"image": cells, "label": [i % 3 for i in rows]}, features)


def write_tables(folder: Path, sizes: tuple[int, ...] = (7, 1, 12, 9, 11), validation: int = 10) -> Path:
    folder.mkdir(parents=True)
    firsts = np.cumsum((0, *sizes))
    for i, size in enumerate(sizes):
        rows = table(int(firsts[i]), size)
        rows.to_parquet(folder / f"train-{i:05}-of-{len(sizes):05}.parquet", batch_size=4)
    table(0, validation).to_parquet(folder / "validation-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images in five uneven tar files, and 10 for validation."""
    return write_tars(tmp_path_factory.mktemp("tars"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images in five uneven parquet files, and 10 for validation."""
    return write_tables(tmp_path_factory.mktemp("tables") / "data")


@pytest.fixture(params=["tars", "tables"])
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def stream(folder: Path | str, buffer: int = 6, role: str = "train", **options: Any) -> Stream:
    return Stream(find_shards(str(folder), **options).splits[role], buffer)


def numbers(stream: Stream, order: Order, first: int, last: int) -> list[list[int]]:
    """The numbers of the images of each micro-batch of the steps [first, last)."""
    return [[row.key[1] for row in rows] for rows in stream.micro_batches(order, first, last)]


def refusal(name: Path | str, **options: Any) -> str:
    """The one line with which streaming ``name`` is refused."""
    with pytest.raises(BotzooError) as caught:
        find_shards(str(name), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Order


@pytest.mark.parametrize("buffer", [1, 3, 50, 1000])
def test_a_shuffle_buffer_loses_and_repeats_nothing(buffer: int) -> None:
    order = drawn(200, buffer, np.random.default_rng(0)).tolist()
    assert sorted(order) == list(range(200))
    assert all(at >= place - buffer + 1 for place, at in zip(order, range(200), strict=True))
    assert (order == list(range(200))) == (buffer == 1)


def test_a_large_buffer_shuffles_evenly() -> None:
    orders = [drawn(20, 100, np.random.default_rng(seed)) for seed in range(2000)]
    assert np.abs(np.mean(orders, 0) - 9.5).max() < 4 * 5.8 / 2000**0.5 + 0.1


@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_pass_sees_each_image_once_whatever_the_shards(folder: Path, world: int) -> None:
    orders = [Order(40, 8, 3, rank, world) for rank in range(world)]
    seen = [n for order in orders for rows in numbers(stream(folder), order, 0, 5) for n in rows]
    assert sorted(seen) == list(range(40))


def test_the_images_left_out_of_a_pass_are_fewer_than_a_batch_and_change(tars: Path) -> None:
    order = Order(40, 12, 3)
    missing = []
    for number in range(4):
        seen = [n for rows in numbers(stream(tars), order, 3 * number, 3 * number + 3) for n in rows]
        missing.append(frozenset(range(40)) - set(seen))
        assert (len(seen), len(set(seen))) == (36, 36)
    assert len(set(missing)) > 1


def test_passes_and_seeds_differ(tars: Path) -> None:
    first, second = (numbers(stream(tars), Order(40, 8, 3), 5 * k, 5 * k + 5) for k in range(2))
    assert first != second
    assert numbers(stream(tars), Order(40, 8, 4), 0, 5) != first


@pytest.mark.parametrize("first", [0, 1, 4, 5, 7, 12])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_from_any_step_on_the_rows_are_those_of_an_uninterrupted_run(folder: Path, first: int, accumulate: int) -> None:
    order = Order(40, 8, 3, rank=1, world_size=2, accumulate=accumulate)
    whole = numbers(stream(folder), order, 0, 13)
    assert numbers(stream(folder), order, first, 13) == whole[first * accumulate :]


def test_what_was_trained_on_is_not_read_again(tars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    content = module._content
    monkeypatch.setattr(module, "_content", lambda tar, member: read.append(member.name) or content(tar, member))
    found = stream(tars)
    read.clear()
    numbers(found, Order(40, 8, 3), 4, 5)
    assert len([name for name in read if name.endswith(".png")]) == 8


def test_images_come_with_their_own_labels_and_keys(folder: Path) -> None:
    for rows in stream(folder).micro_batches(Order(40, 8, 3), 5, 10):
        for row in rows:
            pixel = Image.open(io.BytesIO(row.encoded)).getpixel((0, 0))
            assert pixel == (0, row.key[1], GREY)
            assert (row.label, row.key[0]) == (row.key[1] % 3, 1)


TRANSFORM = TrainTransform(8, "bilinear", 0.3, 0.5, 1)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of one core
def test_batches_do_not_depend_on_the_number_of_workers(tars: Path) -> None:
    order = Order(40, 8, 3, accumulate=2)
    none, two = (
        [
            t
            for step in stream_train_batches(stream(tars), TRANSFORM, order, 2, 7, workers=w, pin=False)
            for b in step
            for t in b
        ]
        for w in (0, 2)
    )
    assert len(none) == 5 * 2 * 2
    assert none[0].shape == (4, 3, 8, 8)
    assert all(torch.equal(a, b) for a, b in zip(none, two, strict=True))


@pytest.mark.parametrize("world", [1, 2, 3, 12])
def test_evaluation_sees_each_image_once_and_in_order(folder: Path, world: int) -> None:
    transform = EvalTransform(Preprocessing(8, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear"))
    found = stream(folder, role="validation")
    parts = [
        stream_eval_batches(found, transform, 3, rank=r, world_size=world, workers=0, pin=False) for r in range(world)
    ]
    seen = [(int(x[1, 0, 0]), int(y)) for part in parts for xs, ys in part for x, y in zip(xs, ys, strict=True)]
    assert seen == [(i, i % 3) for i in range(10)]
    assert [len(share(10, r, world)) for r in range(world)] == [
        len(list(found.in_order(r, world))) for r in range(world)
    ]


# What can be named


def test_classes_are_counted_where_the_shards_do_not_name_them(tars: Path) -> None:
    data = find_shards(str(tars))
    assert data.class_names == ("0", "1", "2")
    assert data.notes == ("the shards do not name the classes: they are called by their numbers",)
    counts = data.train.class_counts(3)
    assert counts is not None
    assert counts.tolist() == [14, 13, 13]


def test_classes_are_those_that_the_columns_declare(tables: Path) -> None:
    data = find_shards(str(tables))
    assert (data.class_names, data.notes) == (("a", "b", "c"), ())
    assert [len(split) for split in data.splits.values()] == [40, 10]


def test_class_names_are_those_of_the_column_asked_for(tmp_path: Path) -> None:
    rows = table(0, 6).add_column("kind", [0, 1] * 3)
    for split in ("train", "validation"):
        rows.to_parquet(tmp_path / f"{split}.parquet")
    files = [{"split": split, "path": f"{split}.parquet"} for split in ("train", "validation")]
    features = rows.features._to_yaml_list()
    card = {"configs": [{"config_name": "default", "data_files": files}], "dataset_info": {"features": features}}
    (tmp_path / "README.md").write_text(f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n")
    assert find_shards(str(tmp_path)).class_names == ("a", "b", "c")
    assert find_shards(str(tmp_path), label_column="kind").class_names == ("0", "1")


def write_numbers(folder: Path, labels: list[int | None], name: str = "train") -> None:
    """A parquet file whose labels are plain numbers, and 3 images for validation."""
    folder.mkdir(exist_ok=True)
    for file, values in ((name, labels), ("validation", [0, 1, 2])):
        plain = {"image": [{"bytes": png(i), "path": None} for i in range(len(values))], "label": values}
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        datasets.Dataset.from_dict(plain, features).to_parquet(folder / f"{file}.parquet")


def test_numbers_are_classes_where_each_of_them_occurs(tmp_path: Path) -> None:
    write_numbers(tmp_path, [2, 0, 1])
    assert find_shards(str(tmp_path)).class_names == ("0", "1", "2")
    write_numbers(tmp_path, [2, 0, 3])
    assert "not the numbers from 0 on without a gap, but 3 from 0 to 3" in refusal(tmp_path)
    assert "--data.classes" in refusal(tmp_path)
    assert find_shards(str(tmp_path), classes="4").class_names == ("0", "1", "2", "3")


def test_numbers_with_a_gap_in_tar_files_are_refused(tmp_path: Path) -> None:
    write_tar(write_tars(tmp_path) / "train-0009.tar", [("1.cls", b"1900"), ("1.png", png(1))])
    assert "but 4 from 0 to 1900" in refusal(tmp_path)


def test_classes_can_be_given(tars: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\neel\nfly\n")
    data = find_shards(str(tars), classes=str(tmp_path / "names.txt"))
    assert data.class_names == ("cat", "dog", "eel", "fly")
    assert data.notes == ("no training images of 'fly', which the data declares: classes that are never learned",)
    assert find_shards(str(tars), classes="3").class_names == ("0", "1", "2")


def test_patterns_name_shards(tars: Path) -> None:
    for pattern in ("{train-{0000..0004},val-0000}.tar", "*.tar", "{train,val}-*.tar"):
        data = find_shards(f"{tars}/{pattern}")
        assert {role: len(split) for role, split in data.splits.items()} == {"train": 40, "validation": 10}


def test_labels_may_be_in_json_and_endings_be_asked_for(tmp_path: Path) -> None:
    for split in ("train", "val"):
        members = [
            (f"dir.d/{i}.{kind}", content)
            for i in range(4)
            for kind, content in (
                ("json", json.dumps({"label": i % 2, "kind": 1 - i % 2}).encode()),
                ("left.png", png(i)),
                ("right.png", png(9)),
            )
        ]
        write_tar(tmp_path / f"{split}.tar", members)
    rows = list(stream(tmp_path, image_column="left.png").in_order(0, 1))
    assert [(row.encoded, row.label) for row in rows] == [(png(i), i % 2) for i in range(4)]
    assert [row.label for row in stream(tmp_path, image_column="left.png", label_column="kind").in_order(0, 1)] == [
        1,
        0,
    ] * 2


def test_text_labels_are_names_given(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    for split in ("train", "val"):
        members = [(f"{i}.{k}", c) for i in range(4) for k, c in (("cls", [b"cat", b"dog"][i % 2]), ("png", png(i)))]
        write_tar(tmp_path / f"{split}.tar", members)
    found = stream(tmp_path, classes=str(tmp_path / "names.txt"))
    assert [row.label for row in found.in_order(0, 1)] == [1, 0, 1, 0]
    assert "--data.classes" in refusal(tmp_path)


def test_the_card_of_a_folder_names_its_shards_and_classes(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tables)
    files = "  - {split: train, path: data/train-*}\n  - {split: validation, path: data/validation-*}"
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}\n---\n")
    data = find_shards(str(tmp_path))
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 40, "validation": 10}


def test_shards_on_another_machine_are_read_there(tables: Path) -> None:
    files = fsspec.filesystem("memory")
    for path in tables.iterdir():
        files.pipe_file(f"/tables/{path.name}", path.read_bytes())
    names = ",".join(path.name for path in tables.iterdir())
    found = stream(f"memory://tables/{{{names}}}")
    assert sorted(n for rows in numbers(found, Order(40, 8, 3), 0, 5) for n in rows) == list(range(40))


def test_tar_files_on_another_machine_need_their_counts(tars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fsspec.filesystem("memory")
    for path in tars.iterdir():
        files.pipe_file(f"/tars/{path.name}", path.read_bytes())
    pattern = "memory://tars/{train-{0000..0004},val-0000}.tar"
    assert "is not known" in refusal(pattern)
    lengths = {"train": [7, 1, 12, 9, 11], "val": [10]}
    info = {
        s: {"filenames": [f"{s}-{i:04}.tar" for i in range(len(n))], "shard_lengths": n} for s, n in lengths.items()
    }
    files.pipe_file("/tars/_info.json", json.dumps({"splits": info}).encode())
    assert "--data.classes" in refusal(pattern)
    found = stream(pattern, classes="3")
    assert sorted(n for rows in numbers(found, Order(40, 8, 3), 0, 5) for n in rows) == list(range(40))
    for wrong in (10**12, -1):
        info["train"]["shard_lengths"][1] = wrong
        files.pipe_file("/tars/_info.json", json.dumps({"splits": info}).encode())
        assert f"holds {wrong:,} images, which cannot be" in refusal(pattern, classes="3")


def test_shards_that_change_on_another_machine_are_counted_again(tables: Path) -> None:
    files = fsspec.filesystem("memory")
    for name in ("train", "val"):
        table(0, 4).to_parquet(f"memory://changing/{name}.parquet", storage_options={})
    assert len(stream("memory://changing/{train,val}.parquet")) == 4
    files.pipe_file("/changing/train.parquet", (tables / "train-00002-of-00005.parquet").read_bytes())
    assert len(stream("memory://changing/{train,val}.parquet")) == 12


def test_a_shard_on_another_machine_is_opened_again_where_it_fails(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", (0, 0, 0))
    files = fsspec.filesystem("memory")
    for path in tables.iterdir():
        files.pipe_file(f"/flaky/{path.name}", path.read_bytes())
    found = stream(f"memory://flaky/{{{','.join(path.name for path in tables.iterdir())}}}")
    group, failures = module.ParquetForm._group, [3]

    def flaky(*args: Any) -> Any:
        for cell in group(*args):
            if failures[0] and cell[0] % 3 == 2:
                failures[0] -= 1
                raise ConnectionError("reset by peer")
            yield cell

    monkeypatch.setattr(module.ParquetForm, "_group", flaky)
    assert sorted(n for rows in numbers(found, Order(40, 8, 3), 0, 5) for n in rows) == list(range(40))
    assert not failures[0]


class OneDataSet(http.server.BaseHTTPRequestHandler):
    """A Hub that has one data set, ``someone/cats``: the files below ``root``."""

    root: Path
    commit = "a" * 40

    def do_GET(self) -> None:
        path, _, _ = self.path.partition("?")
        if path.startswith("/datasets/someone/cats/resolve/"):
            self.send_file(self.root / path.split("/", 6)[6])
        elif path.startswith("/api/datasets/someone/cats/tree/"):
            self.send_json([self.entry(file) for file in sorted(self.root.rglob("*"))])
        else:
            files = [{"rfilename": self.entry(file)["path"]} for file in self.root.rglob("*.parquet")]
            self.send_json(
                {"id": "someone/cats", "sha": self.commit, "cardData": {"license": "mit"}, "siblings": files}
            )

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_json([self.entry(self.root / path) for path in body.get("paths", []) if (self.root / path).exists()])

    def entry(self, file: Path) -> dict[str, Any]:
        kind = "directory" if file.is_dir() else "file"
        return {"type": kind, "path": str(file.relative_to(self.root)), "oid": "0" * 40, "size": file.stat().st_size}

    def send_json(self, answer: Any) -> None:
        self.send(200, json.dumps(answer).encode(), {})

    def send_file(self, file: Path) -> None:
        if not file.is_file():
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = file.read_bytes()
        first, _, last = self.headers.get("Range", f"bytes=0-{len(content)}").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1]
        return self.send(206, part, {"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {
            **headers,
            "Content-Length": str(len(content)),
            "ETag": '"0"',
            "X-Repo-Commit": self.commit,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None: ...


FROM_HUB = """
import json
import numpy as np
from botzoo.data.sources.shards import find_shards
data = find_shards("someone/cats")
train = data.train
labels = [label for k, size in enumerate(train.images) for _, _, label in train.cells(k, np.ones(size, bool), 0)]
print(json.dumps([data.class_names, data.license, len(data.splits["validation"]), labels]))
"""


def test_a_data_set_on_the_hub_is_read_there(tables: Path, tmp_path: Path) -> None:
    handler = type("Handler", (OneDataSet,), {"root": tables.parent})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        env = {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        command = [sys.executable, "-c", FROM_HUB]
        done = subprocess.run(
            command, env=os.environ | env | {"HF_HOME": str(tmp_path)}, capture_output=True, text=True, check=False
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["a", "b", "c"], "mit", 10, [i % 3 for i in range(40)]]
    assert not list(tmp_path.rglob("*.parquet"))


# What can be wrong


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
    with pytest.raises(DataError, match=r"read them with --data\.streaming true"):
        open_images(str(tars))


def test_options_of_streaming_are_refused_without_it() -> None:
    with pytest.raises(ConfigError, match=r"--data\.epoch-images 5 counts with --data\.streaming only"):
        TrainConfig(data=DataConfig(epoch_images=5))


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
    assert "gives 4 classes, and" in refusal(tables, classes="4")
    assert "must be a number or a text file" in refusal(tables, classes="names.csv")


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
    batches = stream_train_batches(stream(broken(tmp_path)), TRANSFORM, Order(42, 6, 3), 0, 7, workers=0, pin=False)
    with pytest.raises(DataError, match=r"image \d of the shard .*train-0009.tar: .*--skip-corrupt"):
        list(batches)


def test_unreadable_images_are_replaced_in_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = stream(broken(tmp_path))
    found.skip_corrupt = True
    order = Order(42, 6, 3)
    batches = [batch for (batch,) in stream_train_batches(found, TRANSFORM, order, 0, 14, workers=0, pin=False)]
    assert [len(images) for images, _ in batches] == [6] * 14
    values = Counter(int(value) for images, _ in batches[:7] for value in images[:, 1, 0, 0])
    assert values.total() == 42
    assert set(values) == set(range(40))
    assert caplog.text.count("left out") == 2


def test_unreadable_images_are_left_out_of_evaluation(tmp_path: Path) -> None:
    found = stream(broken(tmp_path))
    found.skip_corrupt = True
    transform = EvalTransform(Preprocessing(8, (0.5,) * 3, (0.5,) * 3, 1.0, "bilinear"))
    batches = stream_eval_batches(found, transform, 1, rank=0, world_size=1, workers=0, pin=False)
    assert sum(len(labels) for _, labels in batches) == 40


def test_names_that_lead_out_of_the_folder_are_only_names(tmp_path: Path) -> None:
    for split in ("train", "val"):
        members = [(f"../../{i}.{k}", c) for i in range(3) for k, c in (("cls", b"%d" % i), ("png", png(i)))]
        write_tar(tmp_path / "in" / f"{split}.tar", members)
    assert len(list(stream(tmp_path / "in").in_order(0, 1))) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


# Memory

STREAM_MUCH = 100 << 20


def stream_and_measure(folder: str, result: str) -> None:
    """Stream a large data set; write down by how many MiB the resident memory has grown since the first batches."""
    found = stream(folder, buffer=100)
    order = Order(len(found), 10, 0)
    steps = len(found) // 10
    seen, before = 0, 0
    for k, rows in enumerate(found.micro_batches(order, 0, steps)):
        seen += sum(len(row.encoded) for row in rows)
        if k == steps // 10:
            before = resident()
    Path(result).write_text(json.dumps([seen, resident() - before]))


def resident() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_memory_stays_flat_on_data_larger_than_the_bound(kind: str, tmp_path: Path) -> None:
    block = np.random.default_rng(0).bytes(100 << 10)
    for i in range(4):
        if kind == "tar":
            members = [
                (f"{k}.{e}", c)
                for k in range(STREAM_MUCH // len(block) // 4)
                for e, c in (("cls", b"%d" % (k % 2)), ("png", block))
            ]
            write_tar(tmp_path / f"train-{i}.tar", members)
        else:
            count = STREAM_MUCH // len(block) // 4
            features = table(0, 1).features
            cells = [{"bytes": block, "path": None}] * count
            rows = datasets.Dataset.from_dict({"image": cells, "label": [k % 2 for k in range(count)]}, features)
            rows.to_parquet(tmp_path / f"train-{i}.parquet")
    (write_tar if kind == "tar" else lambda path, _: table(0, 4).to_parquet(path))(
        tmp_path / f"val.{kind}", samples(0, 4, 2)
    )
    assert run(stream_and_measure, str(tmp_path), str(tmp_path / "result.json")) == 0
    seen, grown = json.loads((tmp_path / "result.json").read_text())
    assert seen > 0.95 * STREAM_MUCH
    assert grown < 30 << 20


# The whole job

OPTIONS = {**TINY, "epochs": 2, "lr": 0.1, "checkpoint_every": 2, "keep_checkpoints": 9}


def options_for(folder: Path, output: Path, **data: Any) -> dict[str, Any]:
    return {
        **OPTIONS,
        "dataset": str(folder),
        "output": str(output),
        "data": {"streaming": True, "shuffle_buffer": 5, **data},
    }


@pytest.fixture(scope="module")
def uninterrupted(tars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "whole"
    assert run(finetune, options_for(tars, output)) == 0
    return output


def test_killed_and_resumed_weights_are_identical_to_the_bit(tars: Path, uninterrupted: Path, tmp_path: Path) -> None:
    options = {**options_for(tars, tmp_path / "run"), "engine": {"workers": 2}}
    assert run(finetune_and_signal, options, signal.SIGKILL, 8) == SIGKILLED  # in the second pass
    assert run(finetune, options, options["output"]) == 0
    ours, theirs = final_weights(tmp_path / "run"), final_weights(uninterrupted)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_is_streamed_is_in_log_and_card(uninterrupted: Path) -> None:
    assert "images streamed from 5 shards, shuffled in a buffer of 5" in (uninterrupted / "log.txt").read_text()
    assert (
        "SHA-256 of the names, sizes and image counts of its shards"
        in (uninterrupted / "model" / "README.md").read_text()
    )


def stream_and_record(options: dict[str, Any], folder: str) -> None:
    """Train, and write down the numbers of the images that this process trained on and how many were evaluated."""
    from botzoo.data import stream as streams
    from botzoo.options.command_line import made
    from botzoo.training.run import train

    trained: list[int] = []
    micro_batches = streams.Stream.micro_batches

    def recorded(self: Stream, *args: Any) -> Any:
        for rows in micro_batches(self, *args):
            trained.extend(row.key[1] for row in rows)
            yield rows

    streams.Stream.micro_batches = recorded  # type: ignore[method-assign]
    result = train(made(options, TrainConfig))
    rows = [trained, result.evaluation.labels.tolist()]
    Path(folder, f"rank{os.environ['RANK']}.json").write_text(json.dumps(rows))


def test_two_processes_train_on_each_image_once_and_evaluate_each_once(tars: Path, tmp_path: Path) -> None:
    options = {**options_for(tars, tmp_path / "run", epoch_images=16), "epochs": 5}
    assert run_distributed(2, stream_and_record, options, str(tmp_path)) == [0, 0]
    first, second = (json.loads((tmp_path / f"rank{r}.json").read_text()) for r in range(2))
    for k in range(2):  # 5 epochs of 16 images are 2 passes over 40
        assert sorted(first[0][20 * k : 20 * k + 20] + second[0][20 * k : 20 * k + 20]) == list(range(40))
    assert len(first[0]) + len(second[0]) == 80
    assert first[1] == second[1] == [i % 3 for i in range(10)]


def unfinished(run: Path, copy: Path) -> Path:
    """A copy of a run that lacks its last file."""
    shutil.copytree(run, copy)
    (copy / "model" / "README.md").unlink()
    return copy


def test_changed_shards_are_not_resumed(tars: Path, uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(tars, tmp_path / "data")
    write_tar(tmp_path / "data" / "train-0001.tar", samples(8, 2))
    output = unfinished(uninterrupted, tmp_path / "run")
    config = output / "config.yaml"
    config.write_text(config.read_text().replace(str(tars), str(tmp_path / "data")))
    with pytest.raises(DataError, match="have changed since"):
        finetune({}, str(output))


def test_another_number_of_processes_does_not_go_on(tars: Path, uninterrupted: Path, tmp_path: Path) -> None:
    output = unfinished(uninterrupted, tmp_path / "run")
    facts = json.loads((output / "run.json").read_text())
    (output / "run.json").write_text(json.dumps(facts | {"processes": 2 * facts["processes"]}))
    with pytest.raises(ConfigError, match=r"began with 2 process\(es\), .* resume it with 2 instead of 1"):
        finetune({}, str(output))
