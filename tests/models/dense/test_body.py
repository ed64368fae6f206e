"""Bodies of all kinds of timm's networks have the maps that the classifier has, from the same weights."""

import pytest
import timm
import torch

from botzoo.errors import ModelError
from botzoo.models.create import create_model
from botzoo.models.dense.body import Body, body_of

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def body(name: str, output_stride: int = 32, *, pyramid: bool = True) -> Body:
    return body_of(create_model(name, 5, scratch=True), output_stride, pyramid=pyramid)


@pytest.mark.parametrize(
    "name",
    ["test_resnet", "test_efficientnet", "test_convnext", "resnet10d_bot", "mobilenet_v1_bot", "test_nfnet"],
)
def test_maps_have_the_strides_and_channels_that_are_said(name: str) -> None:
    own = body(name).eval()
    with torch.no_grad():
        maps = own(IMAGES)
    assert own.strides == sorted(set(own.strides))
    assert own.strides[0] >= 4
    wanted = [
        (2, channels, 64 // stride, 96 // stride) for stride, channels in zip(own.strides, own.channels, strict=True)
    ]
    assert [tuple(each.shape) for each in maps] == wanted


@pytest.mark.parametrize("name", ["resnet10d_bot", "test_convnext", "test_efficientnet"])
def test_the_last_map_is_that_of_the_classifier(name: str) -> None:
    """The classifier pools its last map: through timm's own head the body's answers are the classifier's."""
    network = create_model(name, 5, scratch=True)
    own = body_of(network).eval()
    whole = network.model.eval()
    with torch.no_grad():
        last = whole.forward_intermediates(IMAGES, intermediates_only=True)[-1]
        torch.testing.assert_close(own(IMAGES)[-1], last)


def test_our_weights_are_all_in_the_body() -> None:
    network = create_model("resnet10d_bot", 5)
    tensors = network.model.state_dict()
    for name, tensor in body_of(network).net.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


@pytest.mark.parametrize("stride", [8, 16])
def test_a_dilated_body_has_the_weights_and_finer_maps(stride: int) -> None:
    network = create_model("resnet10d_bot", 5)
    own = body_of(network, stride, pyramid=False).eval()
    assert own.strides == [stride]
    with torch.no_grad():
        assert own(IMAGES)[-1].shape == (2, 512, 64 // stride, 96 // stride)
    assert torch.equal(
        own.net.state_dict()["layer4.0.conv1.weight"], network.model.state_dict()["layer4.0.conv1.weight"]
    )


@pytest.mark.parametrize(
    ("name", "stride", "says"),
    [
        ("test_mambaout", 16, "has no output stride of 16"),
        ("test_mambaout", 8, "has no output stride of 8"),
        ("test_vit", 32, "takes images of one size, here 160 px"),
    ],
)
def test_what_a_network_cannot_do_is_said_in_a_line(name: str, stride: int, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        body(name, stride)


def test_frozen_norms_keep_statistics_and_parameters_in_training() -> None:
    own = body("resnet10d_bot").freeze_norms().train()
    before = {name: tensor.clone() for name, tensor in own.state_dict().items() if "bn" in name}
    own(IMAGES)[-1].sum().backward()
    assert all(torch.equal(tensor, own.state_dict()[name]) for name, tensor in before.items())
    assert own.net.bn1.weight.grad is None
    assert own.net.conv1[0].weight.grad is not None


def test_norms_that_are_not_frozen_follow_the_images() -> None:
    own = body("resnet10d_bot").train()
    before = own.net.bn1.running_mean.clone()
    own(IMAGES)
    assert not torch.equal(before, own.net.bn1.running_mean)


def test_the_classifier_stays_as_it_is() -> None:
    network = create_model("resnet10d_bot", 5)
    names = list(network.model.state_dict())
    body_of(network).freeze_norms()
    assert list(network.model.state_dict()) == names
    assert all(parameter.requires_grad for parameter in network.model.parameters())
    assert isinstance(network.model, timm.models.resnet.ResNet)
