"""BatchNorm folded into convolutions: the same logits, fewer layers; a temperature folded into classifiers."""

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

import botzoo  # noqa: F401  (registers the models)
from botzoo.errors import ModelError
from botzoo.models.fold import fold_batch_norm, fold_temperature


def used(model: nn.Module, size: int) -> tuple[nn.Module, Tensor]:
    """Give BatchNorm statistics and weights of its own, as training would; return an image too."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model.eval(), torch.randn(2, 3, size, size, generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet10d_bot", "resnet10b_bot", "mobilenet_v1_bot", "inception_v3_bot", "test_resnet", "test_efficientnet"],
)
@torch.no_grad()
def test_every_batch_norm_is_folded_and_the_logits_stay(name: str) -> None:
    torch.manual_seed(0)
    model, images = used(timm.create_model(name, num_classes=5), 96)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    folded, count = fold_batch_norm(model, images[:1])
    assert count == norms > 0
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    expected = model(images)
    torch.testing.assert_close(folded(images), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


class Odd(nn.Module):
    """Networks whose BatchNorm must not be folded, or not all of it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.conv, self.bn = kind, nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.kind == "read twice":
            return (self.bn(y) + y).mean((2, 3))
        if self.kind == "changed in place":
            return self.bn(y.relu_()).mean((2, 3))
        if self.kind == "called twice":
            return (self.bn(y) + self.bn(self.conv(x.flip(-1)))).mean((2, 3))
        return self.bn(y + 1).mean((2, 3))


@pytest.mark.parametrize("kind", ["read twice", "changed in place", "called twice", "between"])
@torch.no_grad()
def test_what_cannot_be_folded_is_left(kind: str) -> None:
    torch.manual_seed(0)
    model, images = used(Odd(kind), 8)
    folded, count = fold_batch_norm(model, images)
    assert (count, folded) == (0, model)


@torch.no_grad()
def test_an_activation_inside_the_norm_stays() -> None:
    torch.manual_seed(0)
    model, images = used(nn.Sequential(nn.Conv2d(3, 4, 3), BatchNormAct2d(4), nn.Flatten()), 8)
    folded, count = fold_batch_norm(model, images)
    assert count == 1
    assert float(folded(images).min()) == 0
    torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_network_itself_is_left_as_it_is() -> None:
    model, images = used(timm.create_model("test_resnet"), 32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fold_batch_norm(model, images)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


class Headed(nn.Module):
    """A network that is a classifier and what comes after it."""

    def __init__(self, head: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.head, self.after = head, after

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.head(x)).flatten(1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("temperature", [0.01, 0.885, 100])
def test_a_temperature_is_folded_into_a_linear_classifier(temperature: float, bias: bool) -> None:
    for head, shape in ((nn.Linear(48, 5, bias), (2, 48)), (nn.Conv2d(3, 5, 4, bias=bias), (2, 3, 4, 4))):
        model, x = Headed(head, nn.Identity()), torch.randn(shape)
        expected = (model(x) / temperature).detach()
        divided = fold_temperature(model, dict(model.state_dict()), temperature, x)
        assert divided.keys() == model.state_dict().keys()
        torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Headed(nn.Sequential(nn.Linear(8, 3), nn.Tanh()), nn.Identity()), "no linear layer"),
        (Headed(nn.Identity(), nn.Identity()), "no linear layer"),
        (Headed(nn.Linear(8, 3), nn.Tanh()), "other answers"),
        (Headed(nn.Linear(8, 3), nn.BatchNorm1d(3).eval()), "other answers"),
    ],
)
def test_a_temperature_that_the_logits_would_not_follow_is_refused(model: nn.Module, why: str) -> None:
    model.after.register_buffer("running_mean", torch.ones(3))  # as training would leave that of BatchNorm
    with pytest.raises(ModelError, match=why):
        fold_temperature(model, dict(model.state_dict()), 0.4, torch.randn(2, 8))
