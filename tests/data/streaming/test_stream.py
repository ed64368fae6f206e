"""Streamed images: divided among processes, resumed, and read in flat memory."""

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from botzoo.data.order import Order, share
from botzoo.data.streaming.stream import Stream, drawn
from botzoo.data.transforms import EvalTransform
from botzoo.errors import ConfigError, DataError
from botzoo.models.preprocessing import Preprocessing
from botzoo.tasks.answers import read_answers
from botzoo.util.files import write_json
from data.streaming.made import GREY, TRANSFORM, numbers, samples, stream, table, write_tar
from running import TINY, finetune, run, run_distributed

pytestmark = pytest.mark.slow


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
    opened = tarfile.TarFile.extractfile
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda tar, file: read.append(file.name) or opened(tar, file))
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


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine of one core
def test_batches_do_not_depend_on_the_number_of_workers(tars: Path) -> None:
    order = Order(40, 8, 3, accumulate=2)
    none, two = (
        [
            t
            for step in stream(tars).train_batches(TRANSFORM, order, 2, 7, workers=w, pin=False)
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
    parts = [found.eval_batches(transform, 3, rank=r, world_size=world, workers=0, pin=False) for r in range(world)]
    seen = [(int(x[1, 0, 0]), int(y)) for part in parts for xs, ys in part for x, y in zip(xs, ys, strict=True)]
    assert seen == [(i, i % 3) for i in range(10)]
    assert [len(share(10, r, world)) for r in range(world)] == [
        len(list(found.in_order(r, world))) for r in range(world)
    ]


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


@pytest.mark.slow
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


def test_what_is_streamed_is_in_log_and_card(uninterrupted: Path) -> None:
    assert "images streamed from 5 shards, shuffled in a buffer of 5" in (uninterrupted / "log.txt").read_text()
    assert (
        "SHA-256 of the names, sizes and image counts of its shards"
        in (uninterrupted / "model" / "README.md").read_text()
    )


def stream_and_record(options: dict[str, Any], folder: str) -> None:
    """Train, and write down the numbers of the images that this process trained on."""
    from botzoo.data.streaming import stream as streams
    from botzoo.options.command_line import made
    from botzoo.options.config import TrainConfig
    from botzoo.training.run import train

    trained: list[int] = []
    micro_batches = streams.Stream.micro_batches

    def recorded(self: Stream, *args: Any) -> Any:
        for rows in micro_batches(self, *args):
            trained.extend(row.key[1] for row in rows)
            yield rows

    streams.Stream.micro_batches = recorded  # type: ignore[method-assign]
    train(made(options, TrainConfig))
    Path(folder, f"rank{os.environ['RANK']}.json").write_text(json.dumps(trained))


def test_two_processes_train_on_each_image_once_and_evaluate_each_once(tars: Path, tmp_path: Path) -> None:
    options = {**options_for(tars, tmp_path / "run", epoch_images=16), "epochs": 5}
    assert run_distributed(2, stream_and_record, options, str(tmp_path)) == [0, 0]
    first, second = (json.loads((tmp_path / f"rank{r}.json").read_text()) for r in range(2))
    for k in range(2):  # 5 epochs of 16 images are 2 passes over 40
        assert sorted(first[20 * k : 20 * k + 20] + second[20 * k : 20 * k + 20]) == list(range(40))
    assert len(first) + len(second) == 80
    assert read_answers(tmp_path / "run/evaluation/validation.parquet")[1]["label"].tolist() == [
        i % 3 for i in range(10)
    ]


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
    config.write_text(config.read_text().partition("\n")[2].replace(str(tars), str(tmp_path / "data")))
    with pytest.raises(DataError, match="have changed since"):
        finetune({}, str(output))


def test_another_number_of_processes_does_not_go_on(tars: Path, uninterrupted: Path, tmp_path: Path) -> None:
    output = unfinished(uninterrupted, tmp_path / "run")
    facts = json.loads((output / "run.json").read_text())
    facts = {k: v for k, v in facts.items() if k != "sha256"} | {"processes": 2 * facts["processes"]}
    write_json(output / "run.json", facts, seal=True)
    with pytest.raises(ConfigError, match=r"began with 2 processes, .* resume it with as many"):
        finetune({}, str(output))
