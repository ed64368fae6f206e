"""``botzoo list``: its table holds the truth, and is read without torch and without a network."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from huggingface_hub import constants

from botzoo.errors import ModelError
from botzoo.inference.catalogue import FILE, Entry, as_table, chosen, entries, made


def cached(cache: Path, repository: str, files: dict[str, bytes], commit: str = "a" * 40) -> Path:
    """Write a repository into a Hub cache as the Hub's client lays it out; return its snapshot."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    for place in (snapshot, folder / "refs", folder / "blobs"):
        place.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    for name, content in files.items():
        blob = folder / "blobs" / f"{abs(hash(content)):x}"
        blob.write_bytes(content)
        (snapshot / name).symlink_to(blob)
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_the_table_holds_the_truth() -> None:
    truth = [asdict(entry) for entry in made()]
    assert json.loads(FILE.read_text()) == truth, "python -m botzoo.inference.catalogue makes it anew"


def test_the_papers_figures() -> None:
    by_name = {entry.name: entry for entry in entries()}
    assert round(by_name["resnet50b_bot.gluon_in1k"].params / 1e6, 2) == 25.56
    assert round(by_name["resnet50d_bot.gluon_in1k"].params / 1e6, 2) == 25.58
    assert len(by_name) == len(entries())


@pytest.mark.parametrize(("sort", "sign"), [("accuracy", -1), ("params", 1), ("macs", 1), ("size", 1)])
def test_sorting(sort: str, sign: int) -> None:
    field = {"accuracy": "top1"}.get(sort, sort)
    values = [getattr(entry, field) for entry in chosen("*gluon*", sort)]
    assert values == sorted(values, key=lambda value: sign * value)


def test_names_are_sorted_as_people_do() -> None:
    names = [entry.name for entry in chosen("resnet*c_bot*")]
    assert [name.split("c_")[0] for name in names] == [f"resnet{n}" for n in (10, 18, 34, 50, 101, 152)]


def test_a_pattern_without_a_match_has_a_hint() -> None:
    with pytest.raises(ModelError, match="Did you mean 'resnet50d_bot'"):
        chosen("resnet50d_bott")


def test_cached_is_what_is_there(cache: Path) -> None:
    assert [entry.name for entry in chosen(cached=True)] == ["resnet10d_bot.bot_r64_tin100"]
    cached(cache, "timm/resnet50d.gluon_in1k", {"model.safetensors": b"x"})
    assert [entry.name for entry in chosen("resnet50d", cached=True)] == ["resnet50d_bot.gluon_in1k"]
    assert as_table(chosen("resnet50d_bot.gluon")).endswith("  yes")


def test_without_weights_nothing_is_said_of_them() -> None:
    entry: Entry = chosen("resnet50a_bot")[0]
    assert (entry.top1, entry.license, entry.here) == (None, None, False)
    assert as_table([entry]).endswith("no weights")


def test_listing_needs_no_torch() -> None:
    code = "import sys; from botzoo.cli import _main; _main(['list']); assert not {'torch', 'timm'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resnet50d_bot.gluon_in1k" in done.stdout
