"""Stages of networks of many families, and which of them a map is made of."""

import pytest
import timm
import torch
from torch import Tensor, nn

from botzoo.explain.stages import Stage, choose, stages, watched


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("test_resnet", 224, "layer4"),
        ("test_resnet", 112, "layer3"),
        ("test_vit", 160, "blocks.4"),  # the last block is read by its class token alone
        ("test_vit2", 64, "blocks.7"),  # all of its tokens are read, and no map has 7 x 7
        ("test_byobnet", 224, "stages"),
        ("test_convnext", 160, "stages.2"),
        ("test_efficientnet", 112, "blocks.3"),
        ("test_mambaout", 160, "stages.2"),
        ("test_nfnet", 112, "stages.2"),
    ],
)
def test_the_deepest_stage_of_7_x_7_cells_is_chosen(name: str, size: int, layer: str) -> None:
    torch.manual_seed(0)
    sized = {"img_size": size} if "vit" in name else {}
    network = timm.create_model(name, **sized).eval().requires_grad_(False)
    image = torch.randn(1, 3, size, size)
    chosen = choose(network, stages(network, image), image)
    assert chosen is not None
    assert chosen.name == layer


def test_the_shapes_are_those_of_forward_intermediates() -> None:
    network, image = timm.create_model("test_convnext").eval(), torch.randn(1, 3, 96, 160)
    expected = [tuple(maps.shape[1:]) for maps in network.forward_intermediates(image, intermediates_only=True)]
    assert [(s.channels, s.height, s.width) for s in stages(network, image)] == expected


def test_of_other_networks_the_last_maps_of_each_shape_are_stages() -> None:
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1, 2), nn.ReLU(inplace=True), pool).eval()
    image = torch.randn(1, 3, 16, 16)
    found = stages(network, image)
    assert found == [Stage("1", 4, 16, 16), Stage("3", 4, 8, 8)]
    assert choose(network, found, image) == found[1]


@pytest.mark.parametrize("shape", [(2, 6, 3, 5), (2, 3, 5, 6), (2, 15, 6), (2, 17, 6)])
def test_outputs_of_all_forms_become_maps(shape: tuple[int, ...]) -> None:
    stage, output = Stage("any", 6, 3, 5), torch.randn(shape)
    maps = stage.maps(output)
    assert maps is not None
    assert maps.shape == (2, 6, 3, 5)
    assert torch.equal(maps[1, :, 2, 4], output[1, :, 2, 4] if shape[1] == 6 else output[1].flatten(0, -2)[-1])


class Two(nn.Module):
    """Gives a list of two maps, the second the finer."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [nn.functional.avg_pool2d(x, 2), x]


def test_of_a_module_that_gives_several_maps_the_one_of_the_stage_is_watched() -> None:
    seen: list[Tensor] = []
    stage, images = Stage("0", 3, 8, 8), torch.ones(1, 3, 8, 8)
    network = nn.Sequential(Two())
    with watched(
        network, "0", lambda output: output if stage.maps(output) is None else seen.append(output) or 2 * output
    ):
        coarse, fine = network(images)
    assert [tuple(each.shape) for each in seen] == [(1, 3, 8, 8)]
    assert (float(coarse.max()), float(fine.max())) == (1, 2)


def test_nothing_is_left_on_a_network_that_was_watched() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1))
    with pytest.raises(RuntimeError), watched(network, "0", lambda output: output):
        network(torch.randn(1, 9, 8, 8))
    assert not network[0]._forward_hooks
