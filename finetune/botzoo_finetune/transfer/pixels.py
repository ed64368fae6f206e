"""Images made ready for a network many at a time: what evaluation does to one after the other, at a fraction of the cost.

Beside a small network that costs more than a tenth of the time. Resizing is torch's own of uint8 pixels, with antialiasing as
Pillow has it; the results differ from Pillow's by a level of 255 here and there, from its rounding in between.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import center_crop

from botzoo.data.decoded import Pixels
from botzoo.data.images import Images
from botzoo.data.transforms import middle_box
from botzoo.models.preprocessing import Preprocessing
from botzoo.pixels.bands import pixels_of

T = TypeVar("T")
TOGETHER = 32 << 20  # bytes of decoded images that are resized together, at most; larger ones one by one


def eval_pixels(images: Images, first: int, last: int, preprocessing: Preprocessing) -> Tensor:
    """Return images [first, last) resized and cropped as evaluation does: uint8 (N, C, H, W), channels last in memory.

    The ``crop_mode`` of ``preprocessing`` is "center".

    Raises:
        DataError: an image can no longer be read.
    """
    shapes = images.decoded.index.shapes[images.rows[first:last]].astype(np.int64)
    if (shapes == shapes[0]).all() and preprocessing.channels * shapes.prod(1).sum() <= TOGETHER:
        return _fitted(np.stack([images.pixels(i) for i in range(first, last)]), preprocessing)
    fitted = []
    for i in range(first, last):
        with images.at_hand(i) as picture:
            fitted.append(_fitted(pixels_of(picture)[None].copy(), preprocessing))
    return torch.cat(fitted)


def _fitted(pixels: Pixels, preprocessing: Preprocessing) -> Tensor:
    """Resize images (N, H, W, C) so that the centre crop is the wanted share of the shorter side, and crop."""
    left, top, right, lower = middle_box(pixels.shape[2], pixels.shape[1], preprocessing.shape)
    batch = torch.from_numpy(pixels[:, top:lower, left:right]).permute(0, 3, 1, 2)
    height, width = covering(batch.shape[2], batch.shape[3], preprocessing)
    if (height, width) != batch.shape[2:]:
        mode = preprocessing.interpolation
        batch = interpolate(batch, (height, width), mode=mode, align_corners=False, antialias=True)
    return center_crop(batch, [*preprocessing.shape]).contiguous(memory_format=torch.channels_last)


def covering(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Return what timm resizes an image to before it takes the centre crop, (height, width) in pixels."""
    frame = [int(side / preprocessing.crop_pct) for side in preprocessing.shape]
    if frame[0] == frame[1]:  # as torchvision rounds it
        return int(frame[0] * height / min(height, width)), int(frame[0] * width / min(height, width))
    ratio = min(height / frame[0], width / frame[1])
    return round(height / ratio), round(width / ratio)


def ahead(work: Callable[[int], T], count: int, threads: int) -> Iterator[T]:
    """Yield ``work(0)``, ``work(1)``, ... in order, worked out by so many threads while the last one is in use.

    At most ``threads`` + 1 results are there at a time.
    """
    pool, waiting = ThreadPoolExecutor(threads), deque[Future[T]]()
    try:
        for k in range(count):
            waiting.append(pool.submit(work, k))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
