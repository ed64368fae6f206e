"""A run of a data set whose address has a secret in it: nothing that is written or said has it, and the run still goes on."""

import json
import tempfile
from itertools import product
from pathlib import Path

import fsspec
import pytest

from botzoo.data.streaming.find import find_shards
from botzoo.errors import ConfigError
from botzoo.options.command_line import parse
from botzoo.tasks.answers import read_answers
from botzoo_finetune import finetune
from botzoo_finetune.cli import command
from data.streaming.made import write_tables, write_tars
from running import final_weights, quick_command

pytestmark = pytest.mark.slow  # all of them together

SECRET = "S3CR3T"
USERS, QUERIES = ("", f"alice:{SECRET}@", f"AK:x/{SECRET}@", f"{SECRET}@"), ("", f"?sig={SECRET}", f"#{SECRET}")
ADDRESSES = [
    f"memory://{user}box/photos/{{train,validation}}.parquet{query}"
    for user, query in product(USERS, QUERIES)
    if user + query
]


def put(address: str) -> None:
    """Put shards where an address leads to."""
    with tempfile.TemporaryDirectory() as folder:
        write_tables(Path(folder) / "data", (16,), 6)
        for file in (Path(folder) / "data").iterdir():
            place = address.replace("{train,validation}", file.name.split("-")[0])
            fsspec.filesystem("memory").pipe(place, file.read_bytes())


def told(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return all that was written below a folder and said: names of files and contents."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    contents = [path.read_bytes().decode("latin-1") for path in files]
    names = [name for path in files if path.suffix == ".parquet" for name in read_answers(path)[0]]
    return "\n".join([*map(str, folder.rglob("*")), *contents, *names, *capsys.readouterr()])


def train(*words: object) -> int:
    return quick_command("--data.streaming", "--dataset", *words)


@pytest.mark.slow
@pytest.mark.parametrize("address", ADDRESSES[3::4])
def test_a_run_keeps_no_secret_and_goes_on_when_it_is_given_again(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    put(address)
    assert train(address, "--tracker", "tensorboard") == 0
    folder = next((tmp_path / "runs").iterdir())
    said = told(tmp_path, capsys)
    assert SECRET not in said
    assert "memory://" in said
    weights = final_weights(folder)["fc.weight"]
    (folder / "model" / "README.md").unlink()
    with pytest.raises(ConfigError, match="give the whole address again, with --dataset"):
        parse(command(), ["--resume", str(folder)])
    new = address.replace(SECRET, f"{SECRET}2")  # as signatures are made anew
    put(new)
    assert parse(command(), ["--resume", str(folder), "--dataset", new]).config.dataset == new
    finetune(new, resume=folder)
    assert SECRET not in told(tmp_path, capsys)
    assert final_weights(folder)["fc.weight"].equal(weights)


FLAGS = ("--model", "--pretrained", "--distillation", "--data.classes", "--config", "--lr", "--resume", "--push-to")


@pytest.mark.parametrize("scheme", ["memory", "http", "unheard-of"])
@pytest.mark.parametrize("address", ADDRESSES[::3])
def test_a_refusal_names_no_secret(
    address: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    address = address.replace("memory", scheme)
    assert train(address.replace("box", "nowhere.invalid")) == 2
    assert train(address, "--no-data.streaming") == 2
    assert {quick_command(flag, address) for flag in FLAGS} == {2}
    assert SECRET not in told(tmp_path, capsys)


def test_an_address_with_a_space_is_refused_without_being_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(f"http://alice:my {SECRET}@host/x.tar") == 2
    assert "--dataset has a space" in (said := capsys.readouterr().err)
    assert SECRET not in said


def test_a_new_signature_is_no_other_data_set() -> None:
    found = []
    for signature in ("one", "two"):
        put(address := f"memory://box/signed/{{train,validation}}.parquet?sig={signature}")
        found.append(find_shards(address).train)
    assert found[0].fingerprint() == found[1].fingerprint()
    assert found[0].names() == found[1].names()
    assert found[0].names()[0] == "train.parquet/0"


def test_counts_beside_tar_files_are_asked_for_with_the_same_query(tmp_path: Path) -> None:
    memory, folder = fsspec.filesystem("memory"), write_tars(tmp_path, (4,), 2)
    counts = {role: {"filenames": [f"{role}-0000.tar"], "shard_lengths": [n]} for role, n in (("train", 4), ("val", 2))}
    for name in ("train-0000.tar", "val-0000.tar"):
        memory.pipe(f"memory://box/tars/{name}?sig={SECRET}", (folder / name).read_bytes())
    memory.pipe(f"memory://box/tars/_info.json?sig={SECRET}", json.dumps({"splits": counts}).encode())
    data = find_shards(f"memory://box/tars/{{train,val}}-0000.tar?sig={SECRET}", classes="3")
    assert {role: len(split) for role, split in data.splits.items()} == {"train": 4, "validation": 2}
