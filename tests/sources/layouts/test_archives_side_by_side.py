"""Archives side by side, one for each split: read like the folders of their names."""

import shutil
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from botzoo.data.images import read_images
from botzoo.errors import DataError
from botzoo.inference.images import find_images as find_places
from botzoo.inference.images import read_encoded
from botzoo.sources.base import SourceOptions
from botzoo.sources.find import find_images, names_by_split
from botzoo.sources.layouts import unpacking
from botzoo.sources.layouts.archives import folder_of
from sources.layouts.test_archives import own_cache, pack
from sources.made import refusal, write

__all__ = ["own_cache"]


def packed(folder: Path, kind: str = "zip", *, whole: bool = False) -> Path:
    """Pack each folder in ``folder`` alone, ``whole`` with itself, and leave nothing else."""
    for part in sorted(folder.iterdir()):
        if part.is_dir():
            shutil.make_archive(str(part), kind, *((folder, part.name) if whole else (part,)))
            shutil.rmtree(part)
    return folder


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("kind", "folders"),
    [
        ("zip", "train/cat train/dog test/cat"),
        ("tar", "train/cat train/dog val/dog"),
        ("gztar", "my_train/cat my_train/dog validation/cat test/dog"),
        ("zip", "train/cat train/dog test unlabeled"),
    ],
)
def test_they_are_read_as_the_folders_that_were_packed(kind: str, folders: str, whole: bool, tmp_path: Path) -> None:
    plain = find_images(str(write(tmp_path / "plain", folders)))
    found = find_images(str(packed(write(tmp_path / "packed", folders), kind, whole=whole)))
    assert found.class_names == plain.class_names
    assert list(found.splits) == list(plain.splits)
    for role, split in plain.splits.items():
        assert read_images(found.splits[role])[0].fingerprint == read_images(split)[0].fingerprint


def test_images_are_called_by_their_archives_and_predicted_from_there(tmp_path: Path) -> None:
    folder = packed(write(tmp_path / "photos", "train/cat train/dog test"))
    data = find_images(str(folder))
    assert data.train.describe(0) == str(folder / "train.zip" / "cat" / "0.png")
    assert data.notes[0] == "test.zip and train.zip are unpacked in the cache, and read as folders of these names"
    assert Path(read_encoded(data.train.describe(0))).is_file()  # type: ignore[arg-type]
    assert any(f"botzoo predict {folder / 'test'} --model RUN" in note for note in data.notes)
    for name in ("test.zip", "test"):  # the note names the second
        places = find_places([str(folder / name)])
        assert places == [str(folder / name / f"{i}.png") for i in range(3)]
        assert Path(read_encoded(places[0])).is_file()  # type: ignore[arg-type]


def test_a_table_beside_them_has_the_labels(tmp_path: Path) -> None:
    write(tmp_path / "photos", "train test")
    for image in (tmp_path / "photos" / "test").iterdir():
        image.rename(image.with_name(f"t{image.name}"))
    folder = packed(tmp_path / "photos")
    (folder / "train.csv").write_text("id,breed\n0,pug\n1,beagle\n2,pug\n")
    assert find_images(str(folder)).class_names == ("beagle", "pug")
    assert find_images(str(folder), SourceOptions(labels="train.csv")).class_names == ("beagle", "pug")
    assert (folder_of(folder) / "train.csv").is_file()


def test_doubt_is_told_as_of_folders(tmp_path: Path) -> None:
    folder = packed(write(tmp_path / "photos", "train/cat train/dog vaild/cat"))
    for read in (find_images, names_by_split):
        with pytest.raises(DataError, match=f"{folder} has 'vaild', which may be splits too"):
            read(str(folder))
    said = SourceOptions(splits={"validation": ["vaild"]})
    assert list(find_images(str(folder), said).splits) == ["train", "validation"]


def test_two_archives_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", "train/cat train/dog")
    for kind in ("zip", "gztar"):
        pack(folder / "train", kind)
    shutil.rmtree(folder / "train")
    assert "holds 'train.tar.gz', 'train.zip', which are one split by their names" in refusal(folder)


@pytest.mark.parametrize("folders", ["cat dog", "part1/cat part1/dog part2/cat part2/dog"])
def test_others_are_asked_about(folders: str, tmp_path: Path) -> None:
    assert "give one of the archives" in refusal(packed(write(tmp_path / "photos", folders)))


def test_folders_beside_them_come_first(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", "train/cat train/dog test/cat")
    for split in ("train", "test"):
        pack(folder / split)
    assert len(find_images(str(folder)).train) == 6


def test_together_they_take_no_more_than_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packed(write(tmp_path / "photos", "train/cat train/dog test/cat test/dog", each=20))
    size = sum(len(path.read_bytes()) for path in (folder_of(folder)).rglob("*.png"))
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(unpacking, "cache_limit", lambda: 0.75 * size)
    assert "the cache takes" in refusal(folder)


def test_a_tar_of_a_great_many_folders_takes_little_memory(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a")
    member.type = tarfile.DIRTYPE
    (tmp_path / "train.tar").write_bytes(member.tobuf() * 5000)
    tracemalloc.start()
    assert not unpacking.is_shard(tmp_path / "train.tar")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
