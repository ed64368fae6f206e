"""Training images that are more than may be kept: checked by their headers, and replaced where they turn out to be broken."""

import json
import logging
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from botzoo.data import images as module
from botzoo.data.decode import REDUCED, TRANSPARENT, decoding, header_of
from botzoo.data.images import Images, read_images
from botzoo.data.open import cut, find, read
from botzoo.data.order import Order
from botzoo.data.transforms import TrainTransform
from botzoo.errors import DataError
from botzoo.models.preprocessing import Decoding
from botzoo.options.config import DataConfig
from botzoo.sources.base import Encoded, Split
from botzoo.training.recording import replaced as replaced_module
from botzoo.training.recording.features import PLACE
from botzoo.training.recording.predict import Predict
from botzoo.training.recording.replaced import ListReplaced
from data.pictures import encode, noise, split_of
from data.test_large import FORMS
from running import TINY, bare

HOW = Decoding(side=20)
TRANSFORM = TrainTransform(8, "bilinear", 0.3, 0.5, 1)


@pytest.mark.parametrize("how", [Decoding(), HOW, Decoding(1, side=33)])
@pytest.mark.parametrize("size", [(61, 47), (40, 90), (12, 8)])
@pytest.mark.parametrize("form", FORMS)
def test_a_header_says_what_decoding_shows(form: str, size: tuple[int, int], how: Decoding) -> None:
    kind, mode, options = FORMS[form]
    encoded = encode(noise(*size).convert(mode), kind, **options)
    said, seen = set[str](), set[str]()
    shape = header_of(encoded, how, said.add)
    with decoding(encoded, how, seen.add) as picture:
        assert shape == (picture.height, picture.width)
    assert said - {TRANSPARENT} == seen - {TRANSPARENT}
    assert (TRANSPARENT in said) == (mode == "RGBA")
    assert (REDUCED in said) == (how.side is not None and min(size) > how.side)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_no_more_than_the_header_is_read(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode(noise(61, 47), form)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("it was decoded"))
    assert header_of(encoded, HOW) == (20, 26)


def broken_ones(count: int, broken: set[int]) -> Split:
    """JPEGs, some of which end too early."""
    encoded: list[Encoded] = [encode(noise(64, 48, i), "JPEG", quality=95) for i in range(count)]
    return split_of([content[: len(content) // 2] if i in broken else content for i, content in enumerate(encoded)])  # type: ignore[index]


def by_header(split: Split) -> Images:
    return read_images(split, HOW, by_header=True, cache_bytes=0)[0]


def batches(images: Images, first: int = 0, workers: int = 0) -> list[list[Tensor]]:
    found = images.train_batches(TRANSFORM, Order(12, 4, 0), first, 6, workers=workers, pin=False)
    return [list(batch) for step in found for batch in step]


def test_a_broken_image_is_listed_once_and_the_next_one_takes_its_place(caplog: pytest.LogCaptureFixture) -> None:
    images = by_header(broken_ones(12, {5, 6}))
    with caplog.at_level(logging.WARNING, "botzoo"):
        labels = np.concatenate([batch[1] for batch in batches(images)[:3]])
    assert sorted(labels) == sorted(images.labels[[0, 1, 2, 3, 4, 7, 7, 7, 8, 9, 10, 11]])
    assert sorted(images.replaced) == [5, 6]
    assert len([record for record in caplog.records if "takes its place" in record.getMessage()]) == 2


@pytest.mark.parametrize(("first", "workers"), [(4, 0), pytest.param(1, 2, marks=pytest.mark.slow)])
def test_a_run_that_is_resumed_trains_on_the_same_images(first: int, workers: int) -> None:
    split = broken_ones(12, {0, 11})
    whole, rest = batches(by_header(split)), batches(by_header(split), first, workers)
    assert all(
        one.equal(other) for a, b in zip(whole[first:], rest, strict=True) for one, other in zip(a, b, strict=True)
    )


def test_what_is_evaluated_is_never_replaced() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(by_header(broken_ones(12, {5})).eval_batches(TRANSFORM, 5, rank=0, world_size=1, workers=0, pin=False))


def test_too_many_broken_images_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 2)
    with pytest.raises(DataError, match=r"3 of 12 images cannot be read: .*--skip-corrupt"):
        batches(by_header(broken_ones(12, {2, 5, 7})))


def test_one_after_the_other_they_end_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 2)
    with pytest.raises(DataError, match="--skip-corrupt"):
        batches(by_header(broken_ones(12, {2, 3, 4})))


def test_what_headers_say_is_never_taken_for_more() -> None:
    split = broken_ones(6, {3})
    assert len(by_header(split)) == 6
    assert by_header(split).decoded.index.by_header
    images, bad = read_images(split, HOW, skip_corrupt=True, cache_bytes=0)
    assert (len(images), len(bad)) == (5, 1)


def test_a_check_of_all_leaves_a_run_by_header_as_it_began() -> None:
    split = broken_ones(6, {3})
    before = by_header(split).fingerprint
    read_images(split, HOW, skip_corrupt=True, cache_bytes=0)
    assert by_header(split).fingerprint == before


@pytest.mark.parametrize(("few", "goes_on"), [(10, True), (0, False)])
def test_a_run_by_header_goes_on_after_a_check_as_it_would_have_before(
    few: int, goes_on: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "FEW", few)
    split = broken_ones(12, {5, 6})
    fresh = by_header(split) if goes_on else None
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path))
    read_images(split, HOW, skip_corrupt=True, cache_bytes=0)
    if fresh is None:
        with pytest.raises(DataError, match="2 of 12 images cannot be read"):  # which an epoch would end with
            by_header(split)
        return
    checked = by_header(split)
    assert checked.fingerprint == fresh.fingerprint
    assert np.array_equal(checked.shapes, fresh.shapes)
    for one, other in zip(batches(checked), batches(fresh), strict=True):
        assert all(a.equal(b) for a, b in zip(one, other, strict=True))


def test_a_file_without_a_header_is_named_at_once() -> None:
    split = split_of([encode(noise(9, 9), "JPEG"), b"no image"])
    with pytest.raises(DataError, match=r"1 of 2 images cannot be read: .*it is not an image"):
        by_header(split)


def test_images_that_may_be_kept_are_checked_whole() -> None:
    with pytest.raises(DataError, match="1 of 6 images"):
        read_images(broken_ones(6, {3}), HOW, by_header=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Class folders of a training split, of which one file is broken, and of a validation split."""
    for role in ("train", "val"):
        for i in range(12):
            path = tmp_path / role / "ab"[i % 2] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise(64, 48, i).save(path)
    path = tmp_path / "train" / "a" / "4.jpg"
    path.write_bytes(path.read_bytes()[:900])
    return tmp_path


def opened(folder: Path, skip_corrupt: bool = False) -> tuple[dict[str, Any], int]:
    config = DataConfig(cache_gib=0)
    how = {"split_seed": 0, "skip_corrupt": skip_corrupt, "by_header": True}
    _, images, left_out = read(find(folder, config), config, HOW, **how)  # type: ignore[arg-type]
    return images, len(left_out)


@pytest.mark.parametrize(("skip_corrupt", "expected"), [(False, (12, 0)), (True, (11, 1))])
def test_who_leaves_broken_files_out_has_all_of_them_decoded_beforehand(
    folder: Path, skip_corrupt: bool, expected: tuple[int, int]
) -> None:
    images, left_out = opened(folder, skip_corrupt)
    assert (len(images["train"]), left_out) == expected


@pytest.mark.parametrize("fold", [None, "1/2"])
def test_of_images_that_are_cut_those_that_are_evaluated_are_checked_whole(folder: Path, fold: str | None) -> None:
    broken = folder / "train" / "a" / "4.jpg"
    config, said = DataConfig(cache_gib=0, fold=fold), set[str]()
    for seed in range(4):  # of a class one image is set aside, or half of them are a fold
        found = find(folder / "train", config)
        evaluated = [split for role, split in cut(found, config, seed).splits.items() if role != "train"]
        names = [split.describe(i) for split in evaluated for i in range(len(split))]
        said.add("refused" if str(broken) in names else "trained on")
        with pytest.raises(DataError, match=r"4\.jpg: ") if str(broken) in names else nullcontext():
            _, images, _ = read(found, config, HOW, split_seed=seed, by_header=True)
            assert images["train"].decoded.index.by_header  # type: ignore[union-attr]
            assert not images["validation"].decoded.index.by_header  # type: ignore[union-attr]
    assert said == {"refused", "trained on"}


def test_images_that_are_evaluated_are_checked_whole(folder: Path) -> None:
    (folder / "train" / "a" / "4.jpg").replace(folder / "val" / "a" / "4.jpg")
    with pytest.raises(DataError, match="1 of 23 images"):
        opened(folder)


def test_processes_tell_each_other_what_they_met(monkeypatch: pytest.MonkeyPatch) -> None:
    images, listed = by_header(broken_ones(12, {5, 6})), ListReplaced()
    run: Any = SimpleNamespace(images={"train": images}, accelerator=SimpleNamespace(num_processes=2))
    listed.on_train_start(run)
    monkeypatch.setattr(replaced_module, "gather_object", lambda mine: [*mine, {6: "cut"}])
    listed.on_log(run, {})
    assert listed.state() == {"6": "cut"}


def test_what_a_rehearsal_has_met_is_not_said_again() -> None:
    images, listed = by_header(broken_ones(12, {5, 6})), ListReplaced()
    batches(images)
    listed.on_train_start(SimpleNamespace(images={"train": images}))  # type: ignore[arg-type]
    assert sorted(listed.state()) == ["5", "6"]


@pytest.mark.slow
def test_a_run_with_broken_images_ends_and_lists_them(folder: Path, tmp_path: Path) -> None:
    options = {"dataset": str(folder), "data": {"cache_gib": 0}, "output": str(tmp_path / "run"), "report": False}
    run = bare({**TINY, **options, "auto": False, "lp_ft": False, "epochs": 1})
    assert list(run.facts["data"]["replaced"]) == ["train/a/4.jpg"]
    assert (tmp_path / "run" / PLACE).exists()


def test_a_checkpoint_knows_what_was_replaced() -> None:
    images, again = by_header(broken_ones(12, {5, 6})), by_header(broken_ones(12, {5, 6}))
    first, second = ListReplaced(), ListReplaced()
    first.on_train_start(SimpleNamespace(images={"train": images}))  # type: ignore[arg-type]
    batches(images)
    second.load_state(json.loads(json.dumps(first.state())))
    second.on_train_start(SimpleNamespace(images={"train": again}))  # type: ignore[arg-type]
    assert again.replaced == images.replaced
    assert sorted(again.replaced) == [5, 6]


def test_who_looks_at_some_images_gets_those_that_can_be_read() -> None:
    images = by_header(broken_ones(12, {5, 6}))
    labels = [label for _, label, _ in images.readable(range(4, 9), TRANSFORM)]
    assert labels == images.labels[[4, 7, 8]].tolist()


@pytest.mark.parametrize(("wanted", "whole"), [(("train", "new"), True), (("new",), False)])
def test_answers_for_training_images_need_all_of_them(wanted: tuple[str, ...], whole: bool) -> None:
    assert Predict(wanted).looks_at_train == whole
