"""Mixed precision (section 3.2, "Low-precision training"): fp16 with fp32 master weights and loss scaling, or bf16."""

from dataclasses import dataclass
from typing import Literal

import torch

from botzoo.errors import ConfigError

Requested = Literal["auto", "bf16", "fp16", "fp32"]


@dataclass(frozen=True)
class Precision:
    """What the arithmetic runs in, and why.

    Attributes:
        name: "bf16", "fp16" or "fp32". Weights and optimizer state are fp32 with each of them.
        reason: a few words for the reader of the terminal.
    """

    name: Literal["bf16", "fp16", "fp32"]
    reason: str

    @property
    def accelerate_name(self) -> str:
        """The same as accelerate spells it: "bf16", "fp16" or "no"."""
        return "no" if self.name == "fp32" else self.name


def mixed_precision(requested: Requested, device: torch.device) -> Precision:
    """Choose a precision that is sound on ``device`` and mostly the fastest, or check the one asked for.

    bf16 where the processor multiplies it natively, else fp16 with loss scaling on CUDA, else fp32.

    Raises:
        ConfigError: fp16 is asked for on a device other than a GPU.
    """
    native = _has_native_bf16(device)
    if requested == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"--mixed-precision fp16 needs a CUDA GPU and this is a {device.type.upper()}: use bf16, or auto, which "
            f"takes {'bf16' if native else 'fp32'} here."
        )
    if requested != "auto":
        slow = requested == "bf16" and not native
        return Precision(requested, "as asked; emulated on this processor, so slow" if slow else "as asked")
    if native:
        return Precision("bf16", f"this {device.type.upper()} multiplies bf16 natively")
    if device.type == "cuda":
        return Precision("fp16", "this GPU has no bf16; the loss is scaled")
    return Precision("fp32", f"this {device.type.upper()} has no native bf16")


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return False
