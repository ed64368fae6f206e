"""Wrong values in the environment end in one line that names the variable, before anything heavy is imported."""

import re
from pathlib import Path

import accelerate
import pytest

from botzoo.errors import ConfigError
from botzoo.util.environment import NUMBERS, RANKS, SIZES, SWITCHES, check_environment, number, user_path
from botzoo.util.guard import guarded

ODD = ["", " ", "much", "-1", "nan", "inf", "1e999", "0x10", "1,5", "10 GiB", "--", "\x1b[2J"]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_is_none_is_named_with_its_unit(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} is .* it must be a number of {NUMBERS[name].unit}") as refused:
        check_environment()
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(("name", "value"), [("BOTZOO_CACHE_GIB", "0"), ("BOTZOO_MAX_MEGAPIXELS", "5e-6")])
def test_a_number_in_its_range_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert number(name) == float(value)


@pytest.mark.parametrize("name", [name for name in NUMBERS if not NUMBERS[name].zero])
def test_no_room_and_no_patience_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0")
    with pytest.raises(ConfigError, match=f"{name} is '0'"):
        number(name)


@pytest.mark.parametrize("value", ["garbage", "", "-2", "1.5", "None"])
@pytest.mark.parametrize("name", [*SIZES, *RANKS, *SWITCHES, "ACCELERATE_LOG_LEVEL"])
def test_what_launchers_set_is_looked_at_too(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} is {value!r}: it must be .*; or unset it"):
        check_environment()


@pytest.mark.parametrize("value", ["True", "false", "1", "no", "ON"])
@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_may_be_said_in_any_way_that_accelerate_knows(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    check_environment()


def test_every_switch_that_accelerate_reads_for_all_is_known() -> None:
    """Those of its plugins are read where they are in use, which they are not."""
    folder = Path(accelerate.__file__).parent
    files = [folder / "state.py", folder / "accelerator.py", *(folder / "utils").glob("*.py")]
    read = r"""(?:parse_flag_from_env\(|str_to_bool\(os\.environ\.get\()\s*"([A-Z_0-9]+)\""""
    found = {name for file in files for name in re.findall(read, file.read_text(encoding="utf-8"))}
    plugins = ("FSDP_", "ACCELERATE_DEEPSPEED_", "PARALLELISM_CONFIG_", "MEGATRON_LM_")
    assert {name for name in found if not name.startswith(plugins)} <= set(SWITCHES)


@pytest.mark.parametrize("path", ["~no-such-user", "~no-such-user/photos", Path("~no-such-user/photos")])
def test_the_home_of_nobody_is_named(path: str | Path) -> None:
    with pytest.raises(ConfigError, match="there is no user no-such-user"):
        user_path(path)


def test_a_cache_in_the_home_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTZOO_CACHE", "~no-such-user/cache")
    with pytest.raises(ConfigError, match="BOTZOO_CACHE: ~no-such-user in '~no-such-user/cache'"):
        check_environment()


@pytest.mark.parametrize(("argv", "status"), [([], 2), (["--help"], 0)])
def test_commands_look_first_and_help_comes_anyway(
    argv: list[str], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOTZOO_CACHE_GIB", "much")
    assert guarded("prog", print, argv) == status
    assert capsys.readouterr().err.count("\n") == (1 if status else 0)
