"""What we need of other libraries and they keep to themselves: it is here, and a test fails where it changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


@contextmanager
def watched_client(seconds: float, sent: Callable[[int], None]) -> Iterator[Callable[[], None]]:
    """Within the block, let the Hub's client wait for no server longer than ``seconds``, where it would wait for ever.

    While it sends large files to the storage Xet it calls ``sent`` with the bytes that have been read and taken so far, in
    the place of progress bars; what the block is given ends that at once, with an error.
    """
    import huggingface_hub
    from huggingface_hub.utils import _http, _xet, _xet_progress_reporting

    reporting: Any = _xet_progress_reporting
    utils: Any = huggingface_hub.utils
    usual, bars, disabled = (
        _http._GLOBAL_CLIENT_FACTORY,
        reporting.XetUploadProgressReporter,
        utils.are_progress_bars_disabled,
    )

    class Reporter:
        def update_progress(self, all_files: Any, each: Any) -> None:
            sent(all_files.total_bytes_completed + all_files.total_transfer_bytes_completed)

        def close(self) -> None:
            pass

    def limit(request: Any) -> None:  # some calls ask for no limit by themselves
        given = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            what: seconds if given.get(what) is None else given[what] for what in ("connect", "read", "write", "pool")
        }

    def client() -> Any:
        made = usual()
        made.event_hooks["request"].append(limit)
        return made

    huggingface_hub.set_client_factory(client)
    reporting.XetUploadProgressReporter, utils.are_progress_bars_disabled = Reporter, lambda *_: False
    try:
        yield _xet.abort_xet_session
    finally:
        reporting.XetUploadProgressReporter, utils.are_progress_bars_disabled = bars, disabled
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
