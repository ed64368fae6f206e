"""The choice of the arithmetic: what torch says of this CPU, and of GPUs that are made up here."""

import pytest
import torch

from botzoo.errors import ConfigError
from botzoo.tricks.mixed_precision import Precision, Requested, bf16_speedup, mixed_precision

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


def cpu_that_can(monkeypatch: pytest.MonkeyPatch, **able: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)


def gpu_of(monkeypatch: pytest.MonkeyPatch, *capability: int) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)


@pytest.mark.parametrize(("gain", "name"), [(2.5, "bf16"), (1.2, "bf16"), (1.1, "fp32"), (0.7, "fp32")])
def test_auto_takes_bf16_on_a_cpu_where_it_is_measured_to_be_faster(
    monkeypatch: pytest.MonkeyPatch, gain: float, name: str
) -> None:
    cpu_that_can(monkeypatch, avx512_bf16=True)
    assert mixed_precision("auto", CPU, lambda: gain).name == name


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16", "bf16", "sve_bf16"])
def test_any_bf16_instructions_of_a_cpu_are_tried(monkeypatch: pytest.MonkeyPatch, instructions: str) -> None:
    cpu_that_can(monkeypatch, **{instructions: True})
    assert "2.0 times" in mixed_precision("auto", CPU, lambda: 2.0).reason


def test_measuring_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(3)
    assert bf16_speedup() > 0
    assert torch.equal(torch.rand(4), torch.rand(4, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize(
    ("capability", "name"), [((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_a_gpu_takes_bf16_from_8_0_on(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str) -> None:
    gpu_of(monkeypatch, *capability)
    assert mixed_precision("auto", CUDA).name == name


@pytest.mark.parametrize("device", [CPU, MPS])
def test_fp16_without_a_gpu_is_an_error_that_names_bf16(device: torch.device) -> None:
    with pytest.raises(ConfigError, match=r"--mixed-precision fp16 needs a CUDA GPU .* use bf16, or auto"):
        mixed_precision("fp16", device)


@pytest.mark.parametrize("requested", ["bf16", "fp32"])
def test_what_is_asked_for_is_taken(requested: Requested) -> None:
    assert mixed_precision(requested, CPU).name == requested


def test_emulated_bf16_is_called_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_that_can(monkeypatch)
    assert "slow" in mixed_precision("bf16", CPU).reason


@pytest.mark.parametrize(("name", "theirs"), [("bf16", "bf16"), ("fp16", "fp16"), ("fp32", "no")])
def test_accelerates_names(name: Requested, theirs: str) -> None:
    assert Precision(name, "").accelerate_name == theirs  # type: ignore[arg-type]
