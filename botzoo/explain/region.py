"""Which part of a picture becomes the network's input."""

from botzoo.models.preprocessing import Preprocessing

Region = tuple[float, float, float, float]
"""Left, upper, right and lower of a part of a picture, in its pixels; it may reach beyond the picture."""


def seen(width: int, height: int, preprocessing: Preprocessing) -> Region:
    """Return the part of a picture of ``width`` x ``height`` pixels that evaluation makes into the network's input.

    By the formulas at the top of ``botzoo.data.transforms``: of the input's W x H pixels each is so many of the picture's as
    the picture is scaled down. Padded pictures lie in the middle of a larger part; timm rounds to whole pixels of
    the input, so that the part may be off by one of these.
    """
    p = preprocessing
    across, down = (
        p.crop_pct * width / p.shape.width,
        p.crop_pct * height / p.shape.height,
    )  # pixels for one of the input's
    if p.crop_mode == "border":
        across = down = max(across, down)
    elif p.crop_mode != "squash":
        across = down = min(across, down)
    w, h = across * p.shape.width, down * p.shape.height
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2
