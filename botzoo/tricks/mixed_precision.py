"""Mixed precision (section 3.2, "Low-precision training"): fp16 with fp32 master weights and loss scaling, or bf16."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal

import torch
from torch import nn

from botzoo.errors import ConfigError

Requested = Literal["auto", "bf16", "fp16", "fp32"]


@dataclass(frozen=True)
class Precision:
    """What the arithmetic runs in, and why. Weights and optimizer state are fp32 in any case."""

    name: Literal["bf16", "fp16", "fp32"]
    reason: str  # a few words for the reader of the terminal

    @property
    def accelerate_name(self) -> str:
        """The same as accelerate spells it: "bf16", "fp16" or "no"."""
        return "no" if self.name == "fp32" else self.name


ROUNDS = 10  # of both, the first of which compiles
WORTH = 1.2  # how many times as fast as fp32 bf16 has to be on a CPU before ``auto`` gives up precision for it


def bf16_speedup() -> float:
    """Measure how many times as fast as in fp32 this CPU trains a small convolutional network in bf16.

    Instructions for bf16 promise nothing: there are processors on which they are slower than those for fp32. Both are
    timed in turn on one core, by the seconds that this thread has the processor: what else is at work there does not
    count. The medians are compared; all takes a few tenths of a second.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(32, 64, 16, 16, generator=generator).to(memory_format=torch.channels_last)
    with torch.random.fork_rng([]):  # the run's own random numbers stay what they would be
        convs = [nn.Conv2d(64, 64, 3, padding=1, bias=False) for _ in range(2)]
        net = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.BatchNorm2d(64), nn.ReLU())))
    net.to(memory_format=torch.channels_last)

    def seconds(bf16: bool) -> float:
        began = time.thread_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = net(images).float().square().mean()
        loss.backward()
        return time.thread_time() - began

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other on a busy machine, and spend time on it
    try:
        times = [(seconds(False), seconds(True)) for _ in range(ROUNDS)][1:]
    finally:
        torch.set_num_threads(threads)
    return median(fp32 for fp32, _ in times) / median(bf16 for _, bf16 in times)


def mixed_precision(
    requested: Requested, device: torch.device, speedup: Callable[[], float] = bf16_speedup
) -> Precision:
    """Choose the fastest precision that is sound on ``device``, or check the one asked for.

    On CUDA bf16 where the GPU multiplies it natively, else fp16 with loss scaling; on a CPU bf16 where ``speedup``
    finds it at least ``WORTH`` times as fast; else fp32.

    Raises:
        ConfigError: fp16 is asked for on a device other than a GPU.
    """
    if requested == "fp16" and device.type != "cuda":
        cure = "use bf16, or auto, which takes the faster of bf16 and fp32"
        raise ConfigError(f"--mixed-precision fp16 needs a CUDA GPU and this is a {device.type.upper()}: {cure}.")
    native = _has_native_bf16(device)
    if requested != "auto":
        slow = requested == "bf16" and not native
        return Precision(requested, "as asked; emulated on this processor, so slow" if slow else "as asked")
    if device.type == "cuda":
        fp16 = Precision("fp16", "this GPU has no bf16; the loss is scaled")
        return Precision("bf16", "native to this GPU") if native else fp16
    if not native:  # emulation would only lose time, so nothing is measured
        return Precision("fp32", f"this {device.type.upper()} has no native bf16")
    gain = speedup()
    measured = f"bf16 trains {gain:.1f} times as fast here"
    return Precision("bf16", measured) if gain >= WORTH else Precision("fp32", f"{measured}, too little to round for")


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere
    if device.type == "cpu":
        able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return False
