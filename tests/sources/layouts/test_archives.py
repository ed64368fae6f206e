"""Archives: read like the folder that was packed, and refused in one line where they are not what they should be."""

import io
import multiprocessing
import os
import shutil
import stat
import tarfile
import zipfile
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from botzoo.data.images import read_images
from botzoo.errors import DataError
from botzoo.inference.cached import cached_images, remove
from botzoo.inference.images import find_images as find_places
from botzoo.inference.images import read_encoded
from botzoo.sources.find import find_images, names_by_split
from botzoo.sources.layouts import unpacking
from botzoo.sources.layouts.archives import place_of
from botzoo.sources.layouts.unpacking import unpacked
from botzoo.util import cache
from data.pictures import RED, encode
from sources.made import refusal, table, write

PNG = encode(RED)
KINDS = {"zip": ".zip", "tar": ".tar", "gztar": ".tar.gz", "bztar": ".tar.bz2", "xztar": ".tar.xz"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BOTZOO_CACHE", str(folder))
    monkeypatch.setattr(unpacking, "SMALL", 1 << 20)  # bombs of 2 MB will do
    return folder / "unpacked"


def let_go() -> None:
    """Forget what is in use, as a process does that ends."""
    unpacking._unpacked.cache_clear()
    for held in cache._IN_USE.values():
        os.close(held)
    cache._IN_USE.clear()


def pack(folder: Path, kind: str = "zip") -> Path:
    return Path(shutil.make_archive(str(folder), kind, folder))


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def tarred(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as file:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), "cat/1.png" if kind in b"12" else ""
            file.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_read_as_its_folder(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "photos", "my/train/cat my/train/dog my/val/cat my/test __MACOSX .git")
    archive = pack(tmp_path / "photos", kind)
    packed, plain = find_images(str(archive)), find_images(str(tmp_path / "photos"))
    assert packed.class_names == plain.class_names
    for role, split in plain.splits.items():
        assert [packed.splits[role].describe(i) for i in range(len(split))] == [
            split.describe(i).replace(str(tmp_path / "photos"), str(archive)) for i in range(len(split))
        ]
        assert read_images(packed.splits[role])[0].fingerprint == read_images(split)[0].fingerprint
    assert packed.notes == (
        f"{archive} is unpacked in the cache",
        *(note.replace(str(tmp_path / "photos"), str(archive)) for note in plain.notes),
    )


@pytest.mark.slow
def test_an_archive_of_tables_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table().to_parquet(tmp_path / "data" / "train.parquet")
    assert len(find_images(str(pack(tmp_path / "data"))).train) == 10


def test_a_folder_with_an_archive_alone_is_that_archive(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "down" / "photos", "cat dog"))
    shutil.rmtree(tmp_path / "down" / "photos")
    (tmp_path / "down" / ".DS_Store").touch()
    assert find_images(str(tmp_path / "down")).train.describe(0) == f"{archive}/cat/0.png"
    (tmp_path / "down" / "second.zip").touch()
    assert "no class folders" in refusal(tmp_path / "down")


def test_it_is_unpacked_once_until_it_changes(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "photos", "cat dog")
    first = unpacked(pack(tmp_path / "photos"))
    write(tmp_path / "photos", "eel")
    second = unpacked(pack(tmp_path / "photos"))
    assert first != second
    monkeypatch.setattr(unpacking, "_unpack", pytest.fail)
    unpacking._unpacked.cache_clear()
    assert unpacked(tmp_path / "photos.zip") == second
    assert {path for path, _ in cache.trees("unpacked")} == {first.parent, second.parent}


def test_its_files_are_unpacked_again_where_one_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive = pack(write(tmp_path / "photos", "cat dog"))
    (unpacked(archive) / "cat" / "0.png").unlink()
    let_go()
    assert (unpacked(archive) / "cat" / "0.png").is_file()
    assert "they are unpacked again" in caplog.text


def _hold(archive: Path, ready: Connection) -> None:
    ready.send(str(unpacked(archive)))
    ready.recv()


def test_what_another_process_reads_is_not_removed(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "photos", "cat dog"))
    here, there = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=_hold, args=(archive, there))
    other.start()
    tree = Path(here.recv()).parent
    assert not cache.remove_tree(tree)
    here.send("done")
    other.join()
    assert cache.remove_tree(tree)
    assert not list(tree.parent.iterdir())


def test_old_ones_go_when_new_ones_need_the_room(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = unpacked(pack(write(tmp_path / "one", "cat dog")))
    let_go()
    monkeypatch.setenv("BOTZOO_CACHE_GIB", str(600 / (1 << 30)))
    second = unpacked(pack(write(tmp_path / "two", "cat eel")))
    assert (first.exists(), second.exists()) == (False, True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_a_cut_archive_is_refused(kind: str, share: float, tmp_path: Path, own_cache: Path) -> None:
    archive = pack(write(tmp_path / "photos", "cat dog", each=8), kind)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    assert f"{archive} is cut off or damaged" in refusal(archive)
    assert not list(own_cache.iterdir())


LINK = zipfile.ZipInfo("cat/1.png")
LINK.create_system, LINK.external_attr = 3, (stat.S_IFLNK | 0o777) << 16

BAD = {
    "holds no files": [[], [(".hidden", PNG)], [("__MACOSX/._1.png", PNG)]],
    "which does not lie in it": [
        [(name, PNG)] for name in ("../1.png", "/1.png", "cat/../../1.png", "C:\\1.png", "C:/1", "a/b\\..\\1.png")
    ],
    "32 folders in each other are the most": [[(f"{'a/' * 32}1.png", PNG)], [(f"b/{'a' + chr(92)}" * 40, PNG)]],
    "is a link or no plain file": [[(LINK, b"/etc/passwd")]],
    "holds 'cat/1.png' twice": [[("cat", PNG), ("cat/1.png", PNG)]],
    "holds the archive 'b.tar.gz', which is not unpacked": [
        [("a.zip", PNG[1:]), ("b.tar.gz", b"x"), ("read.me", b"x")]
    ],
    "grows to more than 200 times its size": [[("cat/1.png", bytes(2 << 20))]],
    "has no class folders": [[("1.png", PNG)]],
}


@pytest.mark.parametrize(
    ("message", "members"), [(message, members) for message, cases in BAD.items() for members in cases]
)
def test_a_bad_archive_is_refused_in_one_line(
    message: str, members: list[tuple[str | zipfile.ZipInfo, bytes]], tmp_path: Path
) -> None:
    said = refusal(zipped(tmp_path / "bad.zip", *members))
    assert message in said
    assert f"{tmp_path}/bad.zip" in said
    assert "unpacked/" not in said


def test_folders_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_FILES", 40)
    members = [(f"cat/{i}/{'a/' * 25}1.png", PNG) for i in range(2)]
    assert "holds more than 40 files and folders" in refusal(zipped(tmp_path / "bad.zip", *members))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_tar_holds_plain_files_only(kind: bytes, tmp_path: Path, own_cache: Path) -> None:
    bad = tarred(tmp_path / "bad.tar", ("cat/1.png", tarfile.REGTYPE, PNG), ("cat/2.png", kind, b""))
    assert "holds 'cat/2.png', which is a link or no plain file" in refusal(bad)
    assert not list(own_cache.iterdir())


def test_a_tar_of_zeros_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    member = tarfile.TarInfo("cat/1.png")
    member.size = 1 << 50
    (tmp_path / "bomb.tar").write_bytes(member.tobuf() + bytes(1 << 20))
    assert "is cut off or damaged" in refusal(tmp_path / "bomb.tar")
    bomb = tarred(tmp_path / "bomb.tar.gz", ("cat/1.png", tarfile.REGTYPE, bytes(2 << 20)))
    assert "grows to more than 200 times its size" in refusal(bomb)


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", ("cat/1.png", PNG)).read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert "is protected by a password" in refusal(tmp_path / "a.zip")


def test_a_list_of_files_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_LISTED", 100)
    archive = zipped(tmp_path / "a.zip", *((f"cat/{i}.png", PNG) for i in range(9)))
    assert "lists more files than are read at once" in refusal(archive)


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("cat/1.png")
    member.type, member.size = tarfile.XHDTYPE, 1 << 50
    (tmp_path / "a.tar").write_bytes(member.tobuf() + bytes(1 << 16))
    assert f"{tmp_path}/a.tar" in refusal(tmp_path / "a.tar")


def test_what_is_unpacked_is_shown_and_cleared_with_the_images(tmp_path: Path, own_cache: Path) -> None:
    unpacked(pack(write(tmp_path / "photos", "cat dog")))
    let_go()
    shown = cached_images()
    assert [item.about for item in shown] == ["files of an archive"]
    remove(shown)
    assert not list(own_cache.iterdir())


def test_more_than_the_cache_takes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_CACHE_GIB", "1e-7")
    assert "set BOTZOO_CACHE_GIB to more" in refusal(pack(write(tmp_path / "photos", "cat dog")))


@pytest.mark.parametrize(("name", "class_name"), [("犬/1.png", "犬"), ("Žaba\\1.png", "Žaba"), ("cat\\1.png", "cat")])
def test_names_are_spelt_as_they_were_meant(name: str, class_name: str, tmp_path: Path) -> None:
    raw = zipfile.ZipInfo("x" * len(name.encode()))
    zipped(tmp_path / "a.zip", (raw, PNG), ("dog/1.png", PNG))
    content = (tmp_path / "a.zip").read_bytes().replace(raw.filename.encode(), name.encode())  # UTF-8 without its flag
    (tmp_path / "a.zip").write_bytes(content)
    assert class_name in find_images(str(tmp_path / "a.zip")).class_names


def test_a_shard_is_no_archive_of_class_folders(tmp_path: Path) -> None:
    plain = [(f"{i}.{kind}", tarfile.REGTYPE, PNG) for i in range(3) for kind in ("png", "cls")]
    shard = tarred(tmp_path / "data-0.tar", *plain)
    assert "read it with --data.streaming" in refusal(shard)
    assert "read them with --data.streaming" in refusal(tmp_path)
    boxes = [(f"{c}/{i}.{kind}", tarfile.REGTYPE, PNG) for c in ("a", "b") for i in range(3) for kind in ("png", "txt")]
    assert find_images(str(tarred(tmp_path / "boxes.tar", *boxes))).class_names == ("a", "b")


def test_doubt_about_its_layout_is_told_as_of_a_folder(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "photos", "train/cat train/dog vaild/cat"))
    for read in (find_images, names_by_split):
        with pytest.raises(DataError, match=f"{archive} has 'vaild', which may be splits too"):
            read(str(archive))


def test_predict_reads_what_is_in_an_archive(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "photos", "train/cat train/dog test"))
    said: list[str] = []
    found = find_places([f"{archive}/test"], said.append)
    assert found == [f"{archive}/test/{i}.png" for i in range(3)]
    assert read_encoded(found[0]) == place_of(Path(found[0]))
    assert Path(read_encoded(found[0])).read_bytes() == (tmp_path / "photos/test/0.png").read_bytes()  # type: ignore[arg-type]
    assert len(find_places([str(archive)])) == 9
    assert not said


def test_the_folder_in_an_archive_that_is_suggested_is_taken(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "both", "color/cat color/dog gray/cat gray/dog"))
    assert f"--dataset {archive / 'color'};" in refusal(archive)
    data = find_images(str(archive / "color"))
    assert (len(data.train), data.train.describe(0)) == (6, str(archive / "color" / "cat" / "0.png"))
    for outside in ("nosuch", "color/../../x"):
        assert "which has 'color', 'gray': give one of these" in refusal(archive / outside)


@pytest.mark.parametrize("kind", ["gztar", "bztar", "xztar"])
def test_what_an_archive_is_its_content_says(tmp_path: Path, kind: str) -> None:
    packed = pack(write(tmp_path / "photos", "cat dog"), kind)
    assert len(find_images(str(packed.rename(tmp_path / "named.zip"))).train) == 6
    zipped = pack(tmp_path / "photos")
    assert len(find_images(str(zipped.rename(tmp_path / "named.tar.gz"))).train) == 6
