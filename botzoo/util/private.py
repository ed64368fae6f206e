"""What we need of other libraries and they keep to themselves: it is here, and a test fails where it changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn


def forget_prepared(accelerator: Accelerator, model: nn.Module | None = None) -> None:
    """Let ``accelerator`` forget the networks that it has wrapped, so that ``model`` can be wrapped anew.

    The hooks of the old wrapper would go on averaging gradients otherwise, and a network that is marked as wrapped would be
    left without autocast.
    """
    accelerator._models.clear()
    if model is not None:
        vars(model).pop("_is_accelerate_prepared", None)


def reset_precision() -> None:
    """Let the next Accelerator of this process choose its precision anew, as a second run in a notebook may."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()


def has_matrix_unit() -> bool:
    """Return whether this CPU multiplies matrices of bf16 in a unit of their own (AMX)."""
    import torch

    found: bool = torch.cpu._is_amx_tile_supported()
    return found


class Watching(Protocol):
    """Whoever is told of calls of the Hub that run, of answers and of other progress."""

    def running(self) -> AbstractContextManager[None]: ...
    def answered(self, response: Any) -> None: ...
    def heard(self) -> None: ...


@contextmanager
def watched_client(seconds: float, watch: Watching) -> Iterator[Callable[[], None]]:
    """Within the block, let the Hub's client wait for no server longer than ``seconds``, where it would wait for ever.

    ``watch`` hears of answers, of bytes that have gone to the storage Xet or come from it, and runs while a file comes from
    there. This takes the place of the progress bars of uploads. What the block is given ends both at once, with an error.
    """
    import huggingface_hub
    from huggingface_hub.utils import _http, _xet, _xet_progress_reporting

    reporting: Any = _xet_progress_reporting
    utils: Any = huggingface_hub.utils
    usual, disabled = _http._GLOBAL_CLIENT_FACTORY, utils.are_progress_bars_disabled
    bars, loading = reporting.XetUploadProgressReporter, reporting.XetDownloadProgressReporter

    class Upload:
        done = 0

        def update_progress(self, group: Any, each: Any = None) -> None:
            before, self.done = self.done, group.total_bytes_completed + group.total_transfer_bytes_completed
            if self.done != before:
                watch.heard()

        def close(self) -> None:
            pass

    class Download(loading):  # type: ignore[misc, valid-type]
        done, count = 0, Upload.update_progress

        def __enter__(self) -> Any:
            self.on_its_way = watch.running()
            self.on_its_way.__enter__()
            return super().__enter__()

        def update_progress(self, group: Any, each: Any = None) -> None:
            self.count(group)
            super().update_progress(group, each)

        def __exit__(self, *error: Any) -> None:
            super().__exit__(*error)
            self.on_its_way.__exit__(*error)

    def limit(request: Any) -> None:  # some calls ask for no limit by themselves
        given = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            what: seconds if given.get(what) is None else given[what] for what in ("connect", "read", "write", "pool")
        }

    def client() -> Any:
        made = usual()
        made.event_hooks["request"].append(limit)
        made.event_hooks["response"].append(watch.answered)
        return made

    huggingface_hub.set_client_factory(client)
    reporting.XetUploadProgressReporter, reporting.XetDownloadProgressReporter = Upload, Download
    utils.are_progress_bars_disabled = lambda *_: False
    try:
        yield _xet.abort_xet_session
    finally:
        reporting.XetUploadProgressReporter, reporting.XetDownloadProgressReporter = bars, loading
        utils.are_progress_bars_disabled = disabled
        huggingface_hub.set_client_factory(usual)


def timms_filter(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return ``tensors`` by timm's names and shapes, of a checkpoint that others made of the same network.

    timm passes each checkpoint of its table through a function of the network's module; of a file it is not asked to. None
    where there is no such function, or it makes nothing of these tensors.
    """
    module = sys.modules.get(type(model).__module__)
    translate = getattr(module, "checkpoint_filter_fn", None)
    if translate is None:
        return None
    try:
        return {name: value for name, value in translate(dict(tensors), model).items() if hasattr(value, "shape")}
    except Exception:  # of names that it does not expect almost any
        return None
