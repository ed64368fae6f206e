"""Whatever stands in a YAML file, each of its readers takes it as meant or refuses it in one line."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from botzoo import recipes
from botzoo.errors import BotzooError, ConfigError
from botzoo.experiments.ablation import rung_options
from botzoo.options.command import Command
from botzoo.options.command_line import check_options, load_config, parse
from botzoo.options.config import TrainConfig
from botzoo.options.facts import options_of
from botzoo.recipes.ladders import KEYS, RUNG_KEYS, load_ladder
from botzoo.results.card.beside import read_recipe
from botzoo.results.card.claim import read_card
from botzoo.results.record import RunRecord
from botzoo.util.nested import nested
from botzoo.util.yaml_files import parse_yaml, read_yaml

pytestmark = pytest.mark.slow  # all of them together

COMMAND = Command("prog", "What it does.", TrainConfig)


def as_record(file: Path) -> Any:
    run = file.parent
    (run / "model").mkdir()
    (run / "model" / "config.json").write_text("{}")
    file.rename(run / "config.yaml")
    return RunRecord.load(run)


def as_card(file: Path) -> Any:
    file.write_bytes(b"---\n" + file.read_bytes() + b"\n---\n\n# A card\n")
    return read_card(file)


READERS: dict[str, Callable[[Path], Any]] = {
    "--config": lambda file: parse(COMMAND, ["--config", str(file)]),
    "--recipe": lambda file: recipes.load(str(file)),
    "--ladder": lambda file: load_ladder(str(file)),
    "config.yaml": lambda file: load_config(file, TrainConfig),
    "record": as_record,
    "recipe.yaml": read_recipe,
    "card": as_card,
}


def bomb(width: int) -> str:
    """Return lines that stand for 9 ** width values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, width)]
    return "\n".join(lines)


DEEP = {f"{start!r} x {n}": "a:\n " + start * n for start in ("[", "{a: ", "- ", "? ") for n in (40, 3_000)}
WRONG_TAGS = [f"a: !!{tag} {text}" for tag in ("int", "float", "bool", "timestamp") for text in ("x", "''", "[1]")]
REFUSED: dict[str, str | bytes] = {
    **{f"a bomb of {n}": bomb(n) for n in (2, 9, 50)},
    **DEEP,
    **{text: text for text in (*WRONG_TAGS, "a: !!python/object/apply:os.system [ls]")},
    **{text: text for text in ("a: 1\na: 2", 'a: 1\n"a": 2', "b:\n  a: 1\n  a: 1", "b: [{a: 1, c: 2, a: 3}]")},
    **{text: text for text in ("a: &b 1\nc: *b", "a: &b {d: 1}\nc: {<<: *b}", "a: &b [*b]")},
    **{
        text: text
        for text in ("1: a", "null: a", "b: {true: a}", "[a]: b", "{a: b}: c", '"a\\e[2J": 1', "2001-01-01: a")
    },
    **{text: text for text in ("- a\n- b", "words", "a: 1\n--- {a: 2}", "a: [", "a: b: c", "\ta: 1")},
    "a value of 1:1:1": "a: " + "1:" * 60_000 + "1",
    "a large file": "# " + "x" * (2 << 20) + "\na: 1",
    "NUL": "a: \0",
    "Latin-1": "a: é".encode("latin-1"),
    "UTF-16": "a: b".encode("utf-16"),
}


def said(read: Callable[..., Any], *given: Any) -> str | None:
    """Return what is said where ``read`` refuses what it is given, None where it does not."""
    try:
        read(*given)
    except BotzooError as error:
        return str(error)
    return None


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_it_in_one_line(reader: str, tmp_path: Path) -> None:
    for k, (name, text) in enumerate(REFUSED.items()):
        (file := tmp_path / str(k) / "mine.yaml").parent.mkdir()
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        line = said(READERS[reader], file)
        assert line is not None, name
        assert line.isprintable(), name
        assert len(line) < 1200, name


def test_a_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(ConfigError, match="at most 1,048,576 bytes are read"):
        read_yaml(Path("/dev/zero"))


def test_a_file_of_very_many_values_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 50,000 values"):
        parse_yaml(f"a: [{'x,' * 60_000}]")


def test_what_is_written_is_read_as_it_was() -> None:
    options = asdict(TrainConfig()) | {"dataset": "größe\x07\n: '\"#", "classes": [f"n{k:08d}" for k in range(2000)]}
    assert parse_yaml(yaml.safe_dump(options)) == options


OPTION_READERS: dict[str, Callable[[Path, dict[str, Any]], Any]] = {
    "--config": lambda file, options: (file.write_text(yaml.safe_dump(options)), READERS["--config"](file)),
    "config.yaml": lambda file, options: (file.write_text(yaml.safe_dump(options)), READERS["config.yaml"](file)),
}


def in_a_recipe(file: Path, options: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump({"options": options}))
    check_options(recipes.load(str(file)).resolved(), TrainConfig, str(file))


def in_a_ladder(file: Path, options: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump({"rungs": [{"name": "a", "options": options}]}))
    rung_options(load_ladder(str(file)), {}, 1, None)


GROUPS = sorted({name.partition(".")[0] for name in options_of(TrainConfig) if "." in name})


@pytest.mark.parametrize("read", [*OPTION_READERS.values(), in_a_recipe, in_a_ladder])
@pytest.mark.parametrize("value", [[1], [{"a": 1}], [], 3, "x", None], ids=repr)
@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_names_and_values(read: Callable[..., Any], value: Any, group: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{group} is a group of options: give {group}"):
        read(tmp_path / "mine.yaml", {group: value})


MACHINE = [name for name, own in options_of(TrainConfig).items() if own.machine]


@pytest.mark.parametrize("read", [in_a_recipe, in_a_ladder])
@pytest.mark.parametrize("name", MACHINE)
def test_recipes_and_ladders_do_not_choose_where_a_run_goes(
    read: Callable[..., Any], name: str, tmp_path: Path
) -> None:
    own = options_of(TrainConfig)[name]
    with pytest.raises(ConfigError, match=rf"cannot hold {name}, which is of one run"):
        read(tmp_path / "mine.yaml", nested({name: own.default}))


@pytest.mark.parametrize(
    "name", ["a\x07b", "a\x1b[2J", "a\nb", "\u202eb", "", ".", "..", "a/b", "x" * 300, " a"], ids=ascii
)
def test_a_rung_has_a_name_that_can_be_shown_and_be_a_folders(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"rungs": [{"name": name, "options": {}}]}))
    line = said(READERS["--ladder"], tmp_path / "mine.yaml")
    assert line is not None
    assert "each rung needs a name that can be a folder's" in line
    assert line.isprintable()


VALUES = [None, 3, -1.5, True, "x", "a\x1b[2J", [], [1], [[]], {}, {"a": 1}, {"a": {"b": [1]}}]


@pytest.mark.parametrize("key", recipes.KEYS)
def test_any_value_of_a_key_of_a_recipe_is_read_or_refused_in_one_line(key: str, tmp_path: Path) -> None:
    for value in VALUES:
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump({key: value}))
        line = said(READERS["--recipe"], tmp_path / "mine.yaml")
        assert line is None or line.isprintable(), value


@pytest.mark.parametrize("key", [*KEYS, *RUNG_KEYS])
def test_any_value_of_a_key_of_a_ladder_is_read_or_refused_in_one_line(key: str, tmp_path: Path) -> None:
    for value in VALUES:
        rung = {"name": "a", "options": {}} | ({key: value} if key in RUNG_KEYS else {})
        ladder = {"rungs": [rung]} | ({key: value} if key in KEYS else {})
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(ladder))
        line = said(READERS["--ladder"], tmp_path / "mine.yaml")
        assert line is None or line.isprintable(), value


@pytest.mark.parametrize("reader", ["--recipe", "--ladder"])
def test_what_is_shown_of_a_file_moves_no_cursor(reader: str, tmp_path: Path) -> None:
    rungs = {"rungs": [{"name": "a", "options": {}}]} if reader == "--ladder" else {}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"about": "a\x1b[2J\nb"} | rungs))
    assert READERS[reader](tmp_path / "mine.yaml").about == "a [2J b"
