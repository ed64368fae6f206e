"""From a data set's name to the images of a run's splits, read or streamed, by one protocol."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botzoo.data.loader import LoadedSplit
from botzoo.data.open import cut, find, read
from botzoo.data.transforms import EvalTransform
from botzoo.errors import DataError
from botzoo.models.preprocessing import Preprocessing
from botzoo.options.config import DataConfig
from botzoo.sources.base import ImageData
from data.pictures import IMAGENET, noise
from data.streaming.made import write_tars

STREAMING = DataConfig(streaming=True)


def opened(dataset: Any, config: DataConfig, **options: Any) -> tuple[ImageData[Any], dict[str, LoadedSplit]]:
    data, images, _ = read(find(dataset, config), config, split_seed=0, **options)
    return data, {**images}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_tars(tmp_path / "shards", sizes=(3, 2), validation=4)


def test_the_images_of_a_run_are_its_cut_splits(photos: Path) -> None:
    config = DataConfig()
    data, images = opened(photos, config)
    assert {role: len(split) for role, split in images.items()} == {"train": 48, "validation": 12}
    planned = cut(find(photos, config), config, 0)  # from the labels alone, before an image is read
    assert np.array_equal(planned.train.labels, data.train.labels)
    assert (data.set_aside, data.in_memory) == (True, False)


def test_each_fold_is_the_test_split_once(photos: Path) -> None:
    names = [opened(photos, DataConfig(fold=f"{k}/3"))[1]["test"].names() for k in (1, 2, 3)]
    assert len({name for fold in names for name in fold}) == sum(map(len, names)) == 60


def test_validation_images_are_drawn_from_those_that_can_be_read(tmp_path: Path) -> None:
    for i in range(5):
        for name in ("cat", "dog"):
            (tmp_path / name).mkdir(exist_ok=True)
            noise(8, 8, i).save(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "4.png").write_text("no image")
    with pytest.raises(DataError, match="1 of 10 images cannot be read"):
        opened(tmp_path, DataConfig())
    _, images = opened(tmp_path, DataConfig(), skip_corrupt=True)
    assert sorted(name for split in images.values() for name in split.names() if "cat" in name) == [
        f"cat/{i}.png" for i in range(4)
    ]


def test_images_are_named_from_the_folder_on(photos: Path) -> None:
    _, images = opened(photos, DataConfig())
    assert all((photos / name).is_file() for name in images["validation"].names())
    assert images["validation"].describe(0).endswith(images["validation"].names()[0])


def test_streamed_images_are_named_by_shard_and_number(shards: Path) -> None:
    _, images = opened(str(shards), STREAMING)
    assert images["train"].names() == [
        *(f"train-0000.tar/{i}" for i in range(3)),
        *(f"train-0001.tar/{i}" for i in (0, 1)),
    ]
    assert images["validation"].names()[3] == "val-0000.tar/3"
    assert images["train"].describe(3).startswith("image 0 of the shard")


def test_read_and_streamed_images_answer_the_same_questions(photos: Path, shards: Path) -> None:
    transform = EvalTransform(Preprocessing(8, *IMAGENET, 1.0, "bilinear"))
    for dataset, config, depends in ((photos, DataConfig(), False), (str(shards), STREAMING, True)):
        split = opened(dataset, config)[1]["validation"]
        batches = split.eval_batches(transform, 3, rank=0, world_size=1, workers=0, pin=False)
        assert sum(len(labels) for _, labels in batches) == len(split) == len(split.names()) == split.evaluated
        assert split.order_depends_on_processes is depends
        assert (split.labels is None) is depends


def test_an_evaluation_that_passes_over_images_does_not_say_how_many_it_sees(shards: Path) -> None:
    assert opened(str(shards), STREAMING, skip_corrupt=True)[1]["train"].evaluated is None


def test_masks_are_read_where_that_is_said(masks: Path) -> None:
    read_here: list[Any] = []
    find(str(masks), DataConfig(), kind="segment", on_each_node=lambda work: read_here.append(work()) or read_here[0])
    assert [{*seen} for seen in read_here] == [{"train", "validation", "test"}]


def test_images_that_differ_between_processes_are_compared_by_fingerprint(photos: Path) -> None:
    seen: list[Any] = []
    _, images = opened(photos, DataConfig(), same_everywhere=lambda *found: seen.append(found))
    assert seen[0][1:] == ("images", "the data set")
    assert (
        images["train"].fingerprint not in seen[0][0]
    )  # it is of the whole split, before validation images are set aside


def test_data_in_memory_is_not_streamed() -> None:
    with pytest.raises(DataError, match="in memory is not streamed"):
        find(([], []), STREAMING)
