"""Images of every kind: by path, folder or address on the web, each found first and read later, or in memory."""

import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from botzoo import __version__
from botzoo.data.decode import DEEP, Seen, decoding, header_of
from botzoo.errors import DataError, printable
from botzoo.models.preprocessing import PLAIN, Decoding, Size
from botzoo.pixels.bands import Picture
from botzoo.pixels.colours import lies_on_its_side
from botzoo.sources.folders import NO_IMAGES, files_in, is_image
from botzoo.sources.layouts.archives import place_of
from botzoo.util.environment import user_path
from botzoo.util.outgoing import squeezed, without_secrets
from botzoo.util.text import counted

AnyImage = str | Path | bytes | Image.Image | NDArray[Any] | Tensor

KINDS = (
    "a path, an http(s) address, the bytes of an image file, a PIL image, a numpy array (H, W), (H, W, 3) or (H, W, 4), or a "
    "tensor (3, H, W), of uint8 or of floating point in [0, 1]; of a network for other images, of their channels and values"
)

UNREDUCED = 1 << 30  # pixels of a side that no image has

URL_BYTES = 64 << 20  # most that are taken from an address
URL_SECONDS = 20.0  # longest wait for an answer or for its next bytes
URL_SECONDS_IN_ALL = 120.0
HANDLERS = (  # for http and https alone: a redirection must lead to no file
    urllib.request.ProxyHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)
PILLOW = Lock()  # Pillow reads a file when its pixels are first wanted: not from two threads, if it is given twice


class Named(NamedTuple):
    """Where an image is, and what it is called in the folder that was given: the path from there on."""

    place: str
    name: str


def find_images(places: Iterable[str], say: Callable[[str], object] = lambda line: None) -> list[str]:
    """Return the paths and addresses of all images in ``places``; as ``find_named``."""
    return [image.place for image in find_named(places, say)]


def find_named(places: Iterable[str], say: Callable[[str], object] = lambda line: None) -> list[Named]:
    """Return all images in ``places``, paths and addresses, in their order; of a folder, its images, sorted.

    What is no folder is called as it was given, an address without its secrets. An archive is a folder too: the images of
    photos.zip/test are those in a folder of the archive.

    Args:
        places: paths and addresses.
        say: is given a line on the files of a folder that are no images.

    Raises:
        DataError: a folder has no images in it, or it or an archive cannot be read; what a path or an address leads to is
            seen later.
    """
    found: list[Named] = []
    for place in places:
        given = user_path(place)
        if "://" in place:
            found.append(Named(address := _quoted(place), without_secrets(address)))
        elif not (path := place_of(given)).is_dir():
            found.append(Named(str(given), str(given)))
        else:
            files = list(files_in(path))
            images = [file for file in files if is_image(file)]
            if not images:
                raise DataError(f"There is no image in the folder {place}, nor in those inside it.")
            names = [str(Path(file).relative_to(path)) for file in images]
            found += [Named(str(given / name), name) for name in names]
            if others := sorted({*files} - {*images}):
                such = given / Path(others[0]).relative_to(path)
                say(f"not used: {counted(len(others), *NO_IMAGES)} in {place}, such as {such}")
    return found


class Depths:
    """Counts images of another depth than those that a network was trained on, as far as it says what that was.

    Args:
        how: its images become pixels.
    """

    def __init__(self, how: Decoding) -> None:
        self.how, self._odd, self._lock = how, list[str](), Lock()

    def note(self, name: str, kinds: Collection[str]) -> None:
        """Note an image that was seen to be of these kinds, by threads too."""
        if (DEEP in kinds) == (self.how.range is None):
            with self._lock:
                self._odd.append(name)

    def remarks(self, model: str) -> list[str]:
        """Return a line for the reader, if there were any."""
        if not self._odd:
            return []
        such = f"such as {min(self._odd)}"
        if self.how.range is None:
            have = f"{counted(len(self._odd), 'image has', 'images have')} more than 8 bits, {such}"
            return [f"{have}, and {model} says no range for them: each was scaled by itself, so answers may be wrong"]
        low, high = self.how.range
        have = f"{counted(len(self._odd), 'image has', 'images have')} 8 bits, {such}"
        return [
            f"{have}, and {model} knows values from {low:g} to {high:g}: theirs were not scaled, so answers may be wrong"
        ]


def is_one_image(x: object) -> bool:
    """Tell whether ``x`` is meant as one image, and not as several."""
    return isinstance(x, str | Path | bytes | Image.Image) or (isinstance(x, np.ndarray | Tensor) and x.ndim < 4)


def check_kind(image: object, place: int, how: Decoding = PLAIN) -> None:
    """Raise DataError unless ``image``, the one at ``place``, is of a kind that ``read_image`` knows."""
    if isinstance(image, str | Path | bytes | Image.Image):
        return
    if not isinstance(image, np.ndarray | Tensor):
        raise DataError(f"Image {place} is {printable(repr(image), 60)}: give {KINDS}.")
    shape, kind = tuple(image.shape), str(image.dtype).removeprefix("torch.")
    channels = shape[2:] if isinstance(image, np.ndarray) else shape[:-2]
    pixels = kind == "uint8" or "float" in kind or (how.range is not None and "int" in kind)
    wanted = ((), (1,), (3,), (4,)) if how.channels in (1, 3) else ((how.channels,),)
    if len(shape) not in (2, 3) or 0 in shape or channels not in wanted or not pixels:
        raise DataError(f"Image {place} is an array of shape {shape} and type {kind}: give {KINDS}.")


def name_of(image: AnyImage, place: int) -> str:
    """Return what a Prediction calls an image: its path, its address without secrets, or its place among those given."""
    if isinstance(image, str) and "://" in image:
        return without_secrets(_quoted(image))
    return str(image) if isinstance(image, str | Path) else f"image {place}"


@contextmanager
def read_image(image: AnyImage, how: Decoding = PLAIN, seen: Seen = lambda kind: None) -> Iterator[Picture]:
    """Give an image as pixels of 8 bits, of whatever kind it is the same pixels, with room for them to the end of the block.

    ``seen`` is told what it was seen to be.

    Raises:
        ValueError: there is no such file, the address does not answer, or what is there is no image; the message says which.
    """
    with read_stored(image, how, seen) as (picture, _):
        yield picture


@contextmanager
def read_stored(
    image: AnyImage, how: Decoding = PLAIN, seen: Seen = lambda kind: None
) -> Iterator[tuple[Picture, Callable[[], Size]]]:
    """Give an image as ``read_image``, and what tells its size as it is stored, upright: it may have come reduced."""
    if isinstance(image, Image.Image):
        with PILLOW, decoding(image, how, seen) as found:
            turned = lies_on_its_side(image)
        yield found, lambda: Size(*(image.size if turned else image.size[::-1]))
        return
    encoded = read_encoded(str(image)) if isinstance(image, str | Path) else image
    stored = encoded if isinstance(encoded, bytes | Path) else _pixels(encoded, how)
    with decoding(stored, how, seen) as found:
        yield found, lambda: Size(*header_of(stored, replace(how, side=UNREDUCED)))


def _pixels(image: NDArray[Any] | Tensor, how: Decoding) -> NDArray[Any]:
    """Return an array or tensor as uint8, or as the values of a file where ``how`` has their range: (H, W) or (H, W, C)."""
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
        image = np.moveaxis(image, 0, -1) if image.ndim == 3 else image
    if image.dtype != np.uint8 and how.range is None:
        low, high = float(image.min()), float(image.max())
        if not (low >= 0 and high <= 1):  # NaN is in no order
            raise ValueError(f"its values go from {low:g} to {high:g}, and those of floating point must lie in [0, 1]")
        image = np.round(image.astype(np.float32) * 255).astype(np.uint8)
    return np.ascontiguousarray(image[..., 0] if image.shape[2:] == (1,) else image)


def read_encoded(place: str) -> bytes | Path:
    """Return an image as it is stored: its path, or what an address answers.

    Raises:
        ValueError: as of ``read_image``.
    """
    if "://" in place:
        return download(place)
    path = place_of(user_path(place))
    if path.is_dir():
        raise ValueError("it is a folder: give a list of the images in it")
    if not path.is_file():
        raise ValueError("it is no file" if path.exists() else "there is no such file")
    return path


def _quoted(url: str) -> str:
    """Return an address with what may stand in none, such as spaces, as %20 and the like."""
    return quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def download(url: str, limit: int = URL_BYTES, timeout: float = URL_SECONDS) -> bytes:
    """Return what ``url`` answers.

    Raises:
        ValueError: the address is not of http or https, is refused, answers too slowly, or with more than ``limit`` bytes.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("only http:// and https:// are fetched")
    headers = {"User-Agent": f"botzoo/{__version__}", "Accept": "image/*"}
    try:
        address = urlsplit(_quoted(url))
        user, _, host = address.netloc.rpartition("@")
        request = urllib.request.Request(address._replace(netloc=host).geturl(), headers=headers)
        if user:  # a redirection may lead to somebody else
            login = b64encode(unquote_to_bytes(user if ":" in user else f"{user}:")).decode()
            request.add_unredirected_header("Authorization", f"Basic {login}")
        opener = urllib.request.OpenerDirector()
        for handler in HANDLERS:
            opener.add_handler(handler())
        with opener.open(request, timeout=timeout) as answer:
            began, found = time.monotonic(), bytearray()
            size = int(answer.headers.get("Content-Length") or 0)  # what it says, then what it sends
            while (size := max(size, len(found))) <= limit and (chunk := answer.read1(1 << 16)):
                found += chunk
                if time.monotonic() - began > URL_SECONDS_IN_ALL:
                    raise ValueError(f"it takes longer than {URL_SECONDS_IN_ALL:g} seconds")
            if size > limit:
                raise ValueError(f"it is larger than {limit >> 20} MiB")
            return bytes(found)
    except (OSError, HTTPException) as error:  # URLError is an OSError
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        reason = squeezed(getattr(error, "reason", "") or error) or type(error).__name__
        reason = without_secrets(reason, url)
        status = f"{error.code} " if hasattr(error, "code") else ""
        raise ValueError(f"it cannot be fetched ({status}{reason})") from error
