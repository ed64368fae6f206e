"""Whatever a file of a run, of a model folder or of a series has come to hold: what reads it ends in one line, or is right."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from botzoo.errors import BotzooError
from botzoo.experiments.register import Register
from botzoo.experiments.series import Series
from botzoo.hub.package import pack
from botzoo.hub.verify import verify
from botzoo.inference.load import load
from botzoo.inference.sheet import sheet
from botzoo.options.config import TrainConfig
from botzoo.results.report import describe
from botzoo.util.files import write_json
from damage import DAMAGES, damage

TYPES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    1e308,
    10**400,
    "text",
    "\x00\x1b[31m",
    "\ud800",
    [],
    [1],
    {},
    {"a": [None]},
)
"""What may stand in the place of any value."""


def places(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value within JSON, that of itself included."""
    inside = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


def put(values: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return the values with another one at a path."""
    if not path:
        return new
    copied = json.loads(json.dumps(values))
    place = copied
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return copied


def spoilt(content: bytes, seed: int, most: int) -> list[bytes]:
    """Return ``most`` contents with a value of another type at a place of a JSON file, and what is no JSON at all."""
    values, rng = json.loads(content), random.Random(seed)
    every = [(path, new) for path in places(values) for new in TYPES]
    texts = [json.dumps(put(values, path, new)) for path, new in rng.sample(every, min(most, len(every)))]
    deep = [start * n + end * n for n in (60, 900, 100_000) for start, end in (("[", "]"), ('{"a":', "}"))]
    within = [
        json.dumps(put(values, (next(iter(values)),), "HERE")).replace('"HERE"', "[" * n + "]" * n) for n in (60, 900)
    ]
    odd = ["", "\x00", "NaN", '{"a": Infinity}', "1" * 5000, "null", "[]", "{}", '"text"', *deep, *within]
    return [*(text.encode() for text in (*texts, *odd)), b"\xff\xfe{}", b"{" + bytes(99)]


def one_line(read: Callable[[], object]) -> str | None:
    """Return the line that the reader ends with, or None where it takes what it reads."""
    said = None
    try:
        read()
    except BotzooError as error:
        said = str(error)
    assert said is None or said.isprintable()  # a line's end is not
    return said


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints")))


def nothing_is_wrong(read: Callable[[Path], object], run: Path, content: bytes, file: Path) -> None:
    file.write_bytes(content)
    said = one_line(lambda: read(run))
    assert said is None or str(file.parent) in said or "has not finished" in said, (said, content[:200])


READERS: dict[str, Callable[[Path], object]] = {
    "load": load,
    "info": lambda run: list(sheet(str(run))),
    "card": describe,
    "publish": lambda run: pack(run, "me/net", "mit"),
    "verify": lambda run: next(verify(str(run))),
}


@pytest.mark.parametrize(
    "reader", [pytest.param(name, marks=[pytest.mark.slow] * (name != "load")) for name in READERS]
)
def test_whatever_config_json_holds_is_taken_or_one_line(reader: str, run: Path) -> None:
    file = run / "model" / "config.json"
    for content in spoilt(file.read_bytes(), seed=1, most=60):
        nothing_is_wrong(READERS[reader], run, content, file)


def test_a_card_is_never_made_of_another_config_json(run: Path) -> None:
    file = run / "model" / "config.json"
    config = json.loads(file.read_bytes())
    for changed in [put(config, path, 3.5) for path in places(config) if path]:
        file.write_text(json.dumps(changed))
        assert "config.json" in (one_line(lambda: describe(run)) or "taken as it is"), changed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "README.md", "recipe.yaml", "metrics.jsonl"])
def test_what_is_published_is_whole_or_refused_in_one_line(name: str, run: Path) -> None:
    file = run / "model" / name
    before = file.read_bytes()
    for kind in DAMAGES:
        file.write_bytes(before)
        damage(file, kind)
        changed = file.read_bytes() != before
        said = one_line(lambda: pack(run, "me/net", "mit"))
        # words may be added to a card, but no figure of it may change
        assert said is None if not changed else said is not None or name == "README.md", (name, kind, said)


@pytest.mark.parametrize("kind", DAMAGES)
def test_weights_that_are_damaged_are_one_line(kind: str, run: Path) -> None:
    damage(file := run / "model" / "model.safetensors", kind)
    said = one_line(lambda: load(run))
    assert kind in ("flipped", "cut at a line") or "model.safetensors" in str(said) or "weights" in str(said)
    assert file.parent.name in str(one_line(lambda: describe(run)))  # which has their digest


REGISTER = Register("ladder.json", "ladder", "rungs", "its rung {} has")


def claimed(folder: Path) -> object:
    return REGISTER.claim(folder, "mine", {"plain": {"lr": 0.1, "optim": {"momentum": 0.9}}}, "fp32", lambda part: True)


def ended(folder: Path) -> object:
    from accelerate import Accelerator

    runs: Any = Series("mine", TrainConfig(), folder, "botzoo ablate", Accelerator(cpu=True), lambda config: [])
    with runs.opened(REGISTER, {"plain": {"lr": 0.1, "optim": {"momentum": 0.9}}}, "fp32", lambda part: True, "seed-*"):
        return runs.ended


@pytest.mark.parametrize("name", ["ladder.json", "seed-1/cell.json"])
def test_whatever_a_series_has_written_down_is_as_it_was_or_one_line(name: str, tmp_path: Path) -> None:
    claimed(tmp_path)
    (tmp_path / "seed-1").mkdir()
    write_json(tmp_path / "seed-1" / "cell.json", {"options": {"lr": 0.1}, "diverged": "at step 3"}, seal=True)
    right, file = ended(tmp_path), tmp_path / name
    before = file.read_bytes()
    kinds = [DAMAGES[kind](before, random.Random(kind)) for kind in DAMAGES]
    for content in (*spoilt(before, seed=2, most=60), *kinds):
        if content != before and json_of(content) != json_of(before):
            file.write_bytes(content)
            assert f"{file.name} is damaged" in (one_line(lambda: ended(tmp_path)) or "taken as it is"), content[:200]
            assert file.read_bytes() == content
    file.write_bytes(before)
    assert ended(tmp_path) == right


def json_of(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content
