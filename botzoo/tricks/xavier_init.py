"""Xavier initialisation (section 2.1): weights uniform in [-a, a], a = sqrt(6 / (d_in + d_out))."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd


def xavier_init(model: nn.Module) -> int:
    """Draw the weights of every convolution and fully connected layer anew, in place; return how many were drawn.

    Their biases become 0, gamma of every BatchNorm 1 and its beta 0; other parameters stay as they are. Zero gamma
    comes after it. The paper calls d_in and d_out the channel sizes; as in Glorot and Bengio (2010), torch and MXNet,
    those of a convolution are times its kernel's area. d_in of a grouped convolution counts one group, d_out all.

    Random numbers come from torch's default generator, in the order of ``model.modules()``.

    Args:
        model: any network, its parameters of a floating point type and initialised (no lazy ones).
    """
    layers = [module for module in model.modules() if isinstance(module, (_ConvNd, nn.Linear))]
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for norm in model.modules():
        if isinstance(norm, _BatchNorm) and norm.affine:
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
    return len(layers)
