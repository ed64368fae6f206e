"""Loader processes are as many as the shared memory has room for."""

from types import SimpleNamespace

import pytest
from accelerate import Accelerator

from botzoo.data.loader import PREFETCH
from botzoo.models.preprocessing import Decoding, Preprocessing
from botzoo.options.config import EngineConfig, TrainConfig
from botzoo.training.distributed import SHARED_MEMORY, worker_count

pytestmark = pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="this system has no /dev/shm")

BATCH = 96 * 224 * 224
"""Bytes of 96 grey images of 224 x 224 px."""


@pytest.mark.parametrize("free", [0, 1 << 16, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 34])
@pytest.mark.parametrize("ranks", [1, 4])
@pytest.mark.parametrize("channels", [1, 3, 60])
def test_workers_never_fill_the_shared_memory(
    free: int, ranks: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    prepared = Preprocessing(224, (0.5,), (0.5,), 1.0, "bilinear", decoding=Decoding(channels))
    workers = worker_count(TrainConfig(engine=EngineConfig(workers=8)), Accelerator(cpu=True), 96, prepared)
    assert ranks * workers * PREFETCH * channels * BATCH <= free
    assert workers == 8 or ranks * (workers + 1) * (PREFETCH + 2) * channels * BATCH > free
