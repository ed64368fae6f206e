"""Shards in folders, behind patterns, on the Hub and other machines, and the classes that they have."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from botzoo.data.order import Order
from botzoo.data.streaming import forms, shards
from botzoo.data.streaming.find import find_shards
from botzoo.sources.base import SourceOptions
from data.streaming.made import (
    find,
    numbers,
    png,
    refusal,
    stream,
    table,
    write_numbers,
    write_tar,
    write_tars,
)


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
    assert find_shards(str(tmp_path), SourceOptions(label_column="kind")).class_names == ("0", "1")


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
    shutil.copytree(tables, tmp_path / "data")
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
    monkeypatch.setattr(shards, "RETRY_SECONDS", (0, 0, 0))
    files = fsspec.filesystem("memory")
    for path in tables.iterdir():
        files.pipe_file(f"/flaky/{path.name}", path.read_bytes())
    found = stream(f"memory://flaky/{{{','.join(path.name for path in tables.iterdir())}}}")
    cells, failures = forms.ParquetForm.cells, [3]

    def flaky(*args: Any) -> Any:
        for cell in cells(*args):
            if failures[0] and cell[0] % 3 == 2:
                failures[0] -= 1
                raise ConnectionError("reset by peer")
            yield cell

    monkeypatch.setattr(forms.ParquetForm, "cells", flaky)
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
from botzoo.data.streaming.find import find_shards
data = find_shards("someone/cats")
train = data.train
labels = [label for k, size in enumerate(train.images) for _, _, label in train.cells(k, np.ones(size, bool), 0)]
print(json.dumps([data.class_names, data.license, len(data.splits["validation"]), labels]))
"""


@pytest.mark.slow
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


def test_shards_of_other_names_are_the_splits_that_the_user_says(tmp_path: Path) -> None:
    write_tars(tmp_path)
    for file in tmp_path.glob("val*"):
        file.rename(tmp_path / file.name.replace("val", "vaild", 1))
    said = "may be splits too: say what is what, such as --data.splits validation=vaild"
    for name in (tmp_path, f"{tmp_path}/*.tar"):
        assert said in refusal(name)
        assert len(find(name, splits={"validation": ["vaild"]}).splits["validation"]) == 10
