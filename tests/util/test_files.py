"""What is written is whole or not there."""

import json
from pathlib import Path

import pytest

from botzoo.util.files import differing_from, digests_of, free_name, sha256_of, write_json, write_text, written_whole


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with written_whole(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_what_fails_leaves_the_old_one_and_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError), written_whole(tmp_path / "a.txt") as part:
        part.write_text("half \udcff", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    with written_whole(tmp_path / "a") as part:
        part.mkdir()
        (part / "new").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["new"]


def test_json_is_read_back_as_it_was(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "Köln", "images": [1, 2]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "Köln", "images": [1, 2]}


def test_a_digest_is_that_of_the_standard_tool(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_name_in_use_gets_a_number(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    assert free_name(tmp_path / "run") == tmp_path / "run-2"


def test_a_folder_may_be_named_by_way_of_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "sub").mkdir()
    around, digests = tmp_path / "sub" / "..", digests_of([tmp_path / "a"], tmp_path)
    assert differing_from(digests, around) is None
    assert differing_from({"../a": digests["a"]}, tmp_path / "sub") == "../a"
