"""The ResNets of "Bag of Tricks for Image Classification with CNNs" (He et al., 2018) for timm, and the bag itself.

``import botzoo`` makes the ``*_bot`` models known to timm, before or after ``import timm``. It does not import timm or torch
itself, so that command lines answer at once: the models are registered at the moment timm is first imported.
"""

from typing import Any

import wrapt

__version__ = "0.1.0"


def _register_models(timm: Any) -> None:
    import botzoo.models  # noqa: F401  (importing the modules registers their models)


wrapt.register_post_import_hook(_register_models, "timm")
