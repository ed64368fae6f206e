"""Pictures of a square and a disc, with masks and boxes from the same drawing, that a small network learns in a few steps."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("ground", "square", "disc")
WIDTH, HEIGHT = 48, 32


def drawing(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, uint8 (32, 48, 3), and mask, uint8 (32, 48); 255 along the upper edge."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    left, top = rng.integers(0, 12), rng.integers(2, 18)
    mask[top : top + 12, left : left + 12] = 1
    mask[(x - rng.integers(32, 40)) ** 2 + (y - rng.integers(9, 24)) ** 2 < 49] = 2
    colours = np.array([(40, 40, 40), (220, 60, 60), (60, 60, 220)])
    pixels = np.clip(colours[mask] + rng.normal(0, 12, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    mask[0] = 255
    return pixels, mask


def write_masks(folder: Path, train: int = 12, validation: int = 4, test: int = 4) -> Path:
    """Write pictures into images/SPLIT and masks into masks/SPLIT."""
    counts = {"train": train, "val": validation, "test": test}
    for first, (split, count) in enumerate(counts.items()):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for i in range(count):
            for kind, values in zip(("images", "masks"), drawing(1000 * first + i), strict=True):
                Image.fromarray(values).save(folder / kind / split / f"{i}.png")
    (folder / "classes.txt").write_text("\n".join(NAMES))
    return folder


def write_boxes(folder: Path, train: int = 12, validation: int = 4, test: int = 4) -> Path:
    """Write pictures into images/SPLIT and COCO's JSON of their boxes; on the first training picture nothing is said to be."""
    for first, (split, count) in enumerate({"train": train, "val": validation, "test": test}.items()):
        (folder / "images" / split).mkdir(parents=True)
        images: list[dict[str, object]] = []
        boxes: list[dict[str, object]] = []
        for i in range(count):
            pixels, mask = drawing(1000 * first + i)
            Image.fromarray(pixels).save(folder / "images" / split / f"{i}.png")
            images.append({"id": i, "file_name": f"images/{split}/{i}.png", "width": WIDTH, "height": HEIGHT})
            for k in (1, 2) if split != "train" or i else ():
                y, x = np.nonzero(mask == k)
                left, top = int(x.min()), int(y.min())
                sides = [left, top, int(x.max()) + 1 - left, int(y.max()) + 1 - top]
                boxes.append({"id": len(boxes) + 1, "image_id": i, "category_id": 5 * k, "bbox": sides, "iscrowd": 0})
        categories = [{"id": 5 * k, "name": name} for k, name in enumerate(NAMES) if k]
        said = {"images": images, "annotations": boxes, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(said))
    return folder
