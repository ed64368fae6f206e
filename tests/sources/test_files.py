"""What a data set may read: regular files, and of those that foreign text names, only its own."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow.parquet
import pytest

from botzoo.data.images import read_images
from botzoo.data.streaming.find import find_shards
from botzoo.errors import DataError, printable
from botzoo.inference.images import read_image
from botzoo.sources.files import inside, own_folders, read_file
from botzoo.sources.find import find_images
from botzoo.sources.tables import open_builder
from data.streaming.made import png, write_tars
from sources.made import table, write

pytestmark = pytest.mark.slow  # all of them together


def read_all(folder: Path) -> None:
    for split in find_images(str(folder)).splits.values():
        read_images(split)


def refusal(folder: Path, read: Callable[[Path], object] = read_all) -> str:
    with pytest.raises(DataError) as caught:
        read(folder)
    assert not {"\n", "\0"} & set(str(caught.value))
    return str(caught.value)


def pictures(count: int = 6) -> datasets.Dataset:
    features = table().features
    cells = [{"bytes": png(i), "path": None} for i in range(count)]
    return datasets.Dataset.from_dict({"image": cells, "label": [i % 2 for i in range(count)]}, features)


def class_folders(path: Path) -> None:
    write(path, "cat dog")


def parquet(path: Path) -> None:
    path.mkdir()
    pictures().to_parquet(path / "train.parquet")
    pictures().to_parquet(path / "test.parquet")


def carded(path: Path) -> None:
    parquet(path)
    (path / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files: train.parquet\n---\n")


def saved(path: Path) -> None:
    datasets.DatasetDict({"train": pictures(), "test": pictures()}).save_to_disk(path)


def tars(path: Path) -> None:
    write_tars(path, (3, 4), 3)


# Each kind of data set, and one file of each kind in it.
FILES = [
    (class_folders, "cat/1.png"),
    (parquet, "test.parquet"),
    (carded, "README.md"),
    (saved, "dataset_dict.json"),
    (saved, "train/state.json"),
    (saved, "test/dataset_info.json"),
    (saved, "train/data-00000-of-00001.arrow"),
    (tars, "train-0001.tar"),
]


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)  # a socket's own path has a short limit
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


@pytest.mark.parametrize("special", [os.mkfifo, device])
@pytest.mark.parametrize(("make", "file"), FILES)
def test_what_is_no_regular_file_is_refused_and_not_opened(
    tmp_path: Path, make: Callable[[Path], None], file: str, special: Callable[[Path], None]
) -> None:
    make(tmp_path / "data")
    (tmp_path / "data" / file).unlink()
    special(tmp_path / "data" / file)
    said = refusal(tmp_path / "data", (lambda path: find_shards(str(path))) if make is tars else read_all)
    assert Path(file).name in said
    assert "only regular files are read" in said or "is not in the data set" in said


@pytest.mark.parametrize("special", [os.mkfifo, device, bound_socket])
def test_a_special_file_is_no_image_to_predict(tmp_path: Path, special: Callable[[Path], None]) -> None:
    special(tmp_path / "1.png")
    with pytest.raises(ValueError, match="no file"):
        read_image(tmp_path / "1.png").__enter__()


@pytest.fixture
def outside(tmp_path: Path) -> list[str]:
    """Names, as they may stand in foreign text, of what is not in the folder ``data``."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data-2").mkdir()
    for name in ("private.png", "data-2/private.png"):
        (tmp_path / name).write_bytes(png(1))
    (tmp_path / "data" / "own.png").write_bytes(png(2))
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "private.png")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    within = ("../private.png", "x/../../private.png", "../data-2/private.png", "link.png", "up/private.png")
    absolute = [str(tmp_path / "data" / name) for name in within]
    elsewhere = ["/dev/zero", "/proc/self/environ", "https://127.0.0.1/x.png", "file:///etc/hostname"]
    return [*within, *absolute, *elsewhere, str(tmp_path / "private.png"), "a\0.png", "/dev/zero\0.png"]


def test_foreign_text_names_nothing_outside(tmp_path: Path, outside: list[str]) -> None:
    for name in outside:
        refused = refusal(tmp_path / "data", lambda path, name=name: inside(name, [path], "A cell"))  # type: ignore[misc]
        assert "is not in the data set" in refused


def test_foreign_text_names_what_lies_inside(tmp_path: Path) -> None:
    write(tmp_path / "data", "cat")
    (tmp_path / "data" / "own").symlink_to("cat")
    for name in ("cat/0.png", "own/0.png", "cat/../cat/0.png", str(tmp_path / "data" / "cat" / "0.png")):
        assert inside(name, [tmp_path / "data"], "A cell") == (tmp_path / "data/cat/0.png").resolve()


def with_paths(folder: Path, paths: list[str]) -> None:
    """A parquet file with the paths of images in its cells."""
    plain = pictures(len(paths)).data.table
    cells = [{"bytes": None, "path": path} for path in paths]
    arrow = plain.set_column(0, plain.schema.field("image"), pyarrow.array(cells, plain.schema.field("image").type))
    pyarrow.parquet.write_table(arrow, folder / "train.parquet")


def test_cells_name_only_files_of_the_data_set(tmp_path: Path, outside: list[str]) -> None:
    for name in outside:
        with_paths(tmp_path / "data", [*["own.png"] * 5, name])
        assert f"Row 5 of the train split names {printable(name)!r}" in refusal(tmp_path / "data")


@pytest.mark.parametrize("start", ["", "data/", "{}/data/"])
def test_cells_may_name_files_of_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    write(tmp_path / "data", "images", each=6)
    monkeypatch.chdir(tmp_path)
    with_paths(tmp_path / "data", [f"{start.format(tmp_path)}images/{i}.png" for i in range(6)])
    read_all(Path("data"))


def test_a_saved_data_set_names_only_its_own_files(tmp_path: Path, outside: list[str]) -> None:
    pictures().save_to_disk(tmp_path / "data")
    state = json.loads((tmp_path / "data" / "state.json").read_text())
    for name in outside:
        (tmp_path / "data" / "state.json").write_text(json.dumps(state | {"_data_files": [{"filename": name}]}))
        assert refusal(tmp_path / "data")
    pictures().save_to_disk(tmp_path / "private")
    (tmp_path / "data" / "dataset_dict.json").write_text(json.dumps({"splits": ["../private"]}))
    assert "is not in the data set" in refusal(tmp_path / "data")


@pytest.mark.parametrize("name", ["../private.parquet", "{}/private.parquet", "up/private.parquet"])
def test_a_card_names_only_files_of_the_data_set(tmp_path: Path, name: str) -> None:
    parquet(tmp_path / "data")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    pictures().to_parquet(tmp_path / "private.parquet")
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {name.format(tmp_path)}\n---\n"
    (tmp_path / "data" / "README.md").write_text(card)
    for read in (read_all, lambda path: find_shards(str(path))):
        assert "is not in the data set" in refusal(tmp_path / "data", read)


@pytest.mark.parametrize(
    "name",
    [
        "https://127.0.0.1/x.parquet",
        "zip://x.parquet::https://127.0.0.1/x.zip",
        "https://127.0.0.1/x::train.parquet",
        "file:///etc/x.parquet",
        "hf://datasets/another/one/x.parquet",
        "s3:/bucket/x.parquet",
        "data/../../x.parquet",
        "/etc/x.parquet",
    ],
)
def test_what_a_card_names_elsewhere_is_refused_before_it_is_opened(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("datasets.load.load_dataset_builder")
    parquet(tmp_path / "data")
    forms = f"{name!r}", f"[train.parquet, {name!r}]", f"[{{split: train, path: [train.parquet, {name!r}]}}]"
    for form in forms:
        card = f"---\nconfigs:\n- config_name: default\n  data_files: {form}\n---\n"
        (tmp_path / "data" / "README.md").write_text(card)
        assert "is not in the data set" in refusal(tmp_path / "data")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(tmp_path / "data" / "README.md"))
    with pytest.raises(DataError, match="The card of owner/name names"):
        open_builder("owner/name", None)


def test_a_parquet_file_that_a_card_names_may_be_a_link_of_the_users(tmp_path: Path) -> None:
    carded(tmp_path / "data")
    (tmp_path / "data" / "train.parquet").rename(tmp_path / "elsewhere.parquet")
    (tmp_path / "data" / "train.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    read_all(tmp_path / "data")


def test_cells_name_nothing_that_was_downloaded_for_another_data_set(tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / "private.png").write_bytes(png(1))
    carded(tmp_path / "data")
    with_paths(tmp_path / "data", [str(downloads / "private.png")] * 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", downloads)
        assert "is not in the data set" in refusal(tmp_path / "data")


def test_links_in_the_hubs_cache_lead_beside_the_snapshot(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "datasets--a--b" / "blobs", tmp_path / "datasets--a--b" / "snapshots" / "0123"
    blobs.mkdir(parents=True), snapshot.mkdir(parents=True)
    carded(tmp_path / "made")
    for file in (tmp_path / "made").iterdir():
        (snapshot / file.name).symlink_to(file.rename(blobs / file.name))
    read_all(snapshot)
    assert own_folders(tmp_path / "made") == [tmp_path / "made"]


def test_more_than_may_be_read_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="1,099,511,627,776 bytes"):
        read_file(tmp_path / "sparse.png")


@pytest.mark.parametrize("links", [["self"], ["one", "two"], ["cat/self"], ["cat/one", "cat/two"], ["cat/in/deep"]])
@pytest.mark.parametrize("target", ["data", "data/cat", "."])
def test_links_that_lead_back_multiply_nothing(tmp_path: Path, links: list[str], target: str) -> None:
    write(tmp_path / "data", "cat dog cat/in")
    for link in links:
        (tmp_path / "data" / link).symlink_to(tmp_path / target)
    if target == "data/cat" and "/" not in links[0]:
        return  # a class by another name
    data = find_images(str(tmp_path / "data"))
    assert (data.class_names, len(data.train)) == (("cat", "dog"), 9)
