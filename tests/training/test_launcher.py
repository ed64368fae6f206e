"""Whatever launchers leave in the environment, a run begins, or says in one line which variable is in its way."""

import json
import os
import re
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch

from botzoo.errors import BotzooError, ConfigError
from botzoo.training.distributed import choose_device
from botzoo.training.launcher import OTHER, PROCESS, check_launcher, not_followed
from running import run

Variables = dict[str, str]


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name in PROCESS or name.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.delenv(name)


def set_all(monkeypatch: pytest.MonkeyPatch, variables: Variables) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", OTHER)
def test_another_parallelism_is_refused_by_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "true")
    with pytest.raises(ConfigError, match=rf"{OTHER[name]} \({name}\): only plain data parallelism"):
        check_launcher()


@pytest.mark.parametrize("precision", ["fp8", "garbage", "", "BF16"])
def test_a_precision_that_is_none_of_ours_is_refused(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    with pytest.raises(ConfigError, match=f"ACCELERATE_MIXED_PRECISION is {precision!r}: it must be no, fp16 or bf16"):
        check_launcher()


WHOLE = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize("missing", WHOLE)
def test_processes_that_do_not_know_each_other_are_refused(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, {name: value for name, value in WHOLE.items() if name != missing})
    with pytest.raises(ConfigError, match=f"{missing} not set: start with torchrun"):
        check_launcher()


@pytest.mark.parametrize("wrong", [{"RANK": "2"}, {"RANK": "-1"}, {"LOCAL_RANK": "-1"}])
def test_a_rank_beyond_the_processes_is_refused(wrong: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, WHOLE | wrong)
    with pytest.raises(ConfigError, match="ranks go from 0 to one below WORLD_SIZE"):
        check_launcher()


SOUND: list[Variables] = [
    *({}, WHOLE, {"WORLD_SIZE": "1"}, {"RANK": "0", "WORLD_SIZE": "1"}, {"LOCAL_RANK": "-1"}),
    *({"MASTER_ADDR": "host"}, {"ACCELERATE_MIXED_PRECISION": "bf16"}, {"ACCELERATE_USE_FSDP": "false"}),
]


@pytest.mark.parametrize("variables", SOUND)
def test_what_asks_for_nothing_else_passes(variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, variables)
    check_launcher()


IGNORED = {
    "ACCELERATE_MIXED_PRECISION": "fp16",
    "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR",
    "FSDP_VERSION": "2",
    "ACCELERATE_CONFIG_FILE": "/nowhere.yaml",
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_not_followed_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, IGNORED[name])
    (line,) = not_followed("no")
    assert name in line


def test_what_accelerate_launch_always_sets_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    always = {"USE_CPU": "True", "MIXED_PRECISION": "no", "DYNAMO_BACKEND": "NO", "DYNAMO_MODE": "default"}
    set_all(monkeypatch, {f"ACCELERATE_{name}": value for name, value in always.items()})
    assert list(not_followed("no")) == []


def test_hidden_gpus_are_named_where_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "garbage")
    with pytest.raises(ConfigError, match=r"none here \(CUDA_VISIBLE_DEVICES is 'garbage'\)"):
        choose_device("cuda")


# The real thing: accelerate itself, begun in each environment


def every_variable() -> list[str]:
    """Return the names that accelerate looks for in the environment, and some that it makes of parts."""
    folder = Path(accelerate.__file__).parent
    files = [folder / "state.py", folder / "accelerator.py", *(folder / "utils").glob("*.py")]
    read = (
        r"""(?:environ\.get\(|environ\[|from_env\()\s*\[?\s*"((?:ACCEL|FSDP|LOCAL|RANK|WORLD|MASTER|PMI)[A-Z_0-9]*)\""""
    )
    found = {name for file in files for name in re.findall(read, file.read_text(encoding="utf-8"))}
    made = {f"ACCELERATE_DYNAMO_{part}" for part in ("BACKEND", "MODE", "USE_FULLGRAPH", "USE_DYNAMIC")}
    return sorted(found | made | {"CUDA_VISIBLE_DEVICES", "ACCELERATE_CONFIG_FILE"})


def begin_in_each(cases: list[Variables], kept: str) -> None:
    """Write down what the beginning of a run says in each environment, each in a process of its own."""
    from botzoo.options.config import TrainConfig
    from botzoo.training.distributed import make_accelerator
    from botzoo.util.environment import check_environment

    config = TrainConfig(mixed_precision="fp32")
    for k, variables in enumerate(cases):
        if pid := os.fork():
            os.waitpid(pid, 0)
            continue
        os.environ.update(variables)
        try:
            check_environment()
            said = str(make_accelerator(config)[0].distributed_type)
        except BotzooError as error:
            said = str(error)
        except BaseException as error:
            said = f"traceback: {error!r}"
        Path(kept, str(k)).write_text(json.dumps(said))
        os._exit(0)


@pytest.mark.slow
def test_no_environment_ends_in_a_traceback(tmp_path: Path) -> None:
    cases: list[Variables] = [{name: "garbage"} for name in every_variable()]
    cases += [{name: "true"} for name in every_variable() if "USE" in name]
    cases += [WHOLE | {"MASTER_PORT": "x"}, {"ACCELERATE_TORCH_DEVICE": "meta"}, {"ACCELERATE_TORCH_DEVICE": "cpu"}]
    cases += [{"ACCELERATE_USE_CPU": "true", "ACCELERATE_MIXED_PRECISION": "fp16", "FSDP_VERSION": "9"}]
    assert run(begin_in_each, cases, str(tmp_path)) == 0
    said: list[Any] = [json.loads((tmp_path / str(k)).read_text()) for k in range(len(cases))]
    for variables, line in zip(cases, said, strict=True):
        assert line == "DistributedType.NO" or any(name in line for name in variables), (variables, line)
        assert not line.startswith("traceback"), (variables, line)
