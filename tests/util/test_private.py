"""What other libraries keep to themselves is still as we need it."""

import socket

import huggingface_hub
import pytest
import timm
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from torch import nn

from botzoo.util.hub import Watch
from botzoo.util.private import forget_prepared, has_matrix_unit, reset_precision, timms_filter, watched_client


@pytest.fixture
def accelerator() -> Accelerator:
    PartialState(cpu=True)
    reset_precision()
    return Accelerator(cpu=True, mixed_precision="bf16")


def test_a_forgotten_network_is_wrapped_anew_with_autocast(accelerator: Accelerator) -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    accelerator.prepare_model(model)
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    forget_prepared(accelerator, model)
    seen: list[torch.dtype] = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    accelerator.prepare_model(model)(torch.zeros(1, 4))
    assert seen == [torch.bfloat16]


def test_a_forgotten_network_is_no_longer_listed(accelerator: Accelerator) -> None:
    accelerator.prepare_model(nn.Linear(4, 2))
    forget_prepared(accelerator)
    assert not accelerator._models


def test_the_next_accelerator_has_a_precision_of_its_own(accelerator: Accelerator) -> None:
    reset_precision()
    assert Accelerator(cpu=True, mixed_precision="no").mixed_precision == "no"
    assert AcceleratorState().mixed_precision == "no"


def test_timm_translates_other_peoples_names_where_it_has_a_function_for_it() -> None:
    vit, resnet = (timm.create_model(name, num_classes=3) for name in ("test_vit", "test_resnet"))
    tensors = dict(vit.state_dict())
    assert set(timms_filter(vit, {"model": tensors}) or ()) == set(tensors)  # which timm unpacks
    assert timms_filter(vit, {"model": torch.ones(1)}) is None
    assert timms_filter(resnet, tensors) is None


def test_whether_there_is_a_matrix_unit_can_be_asked() -> None:
    assert has_matrix_unit() in (True, False)


def test_the_hubs_client_waits_for_nobody_longer_than_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as silent, watched_client(0.05, Watch("the Hub")):
        api = huggingface_hub.HfApi(f"http://127.0.0.1:{silent.getsockname()[1]}", token=False)
        with pytest.raises(Exception, match="timed out"):
            api.model_info("owner/name")
