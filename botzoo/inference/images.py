"""Images by path, folder or address on the web, each found first and read later."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from botzoo import __version__
from botzoo.data.sources.folders import image_files
from botzoo.errors import DataError

URL_BYTES = 64 << 20
"""Most bytes that are taken from an address."""
URL_SECONDS = 20.0
"""Longest wait for an answer or for its next bytes."""
URL_SECONDS_IN_ALL = 120.0


def find_images(places: Iterable[str]) -> list[str]:
    """Return the paths and addresses of all images in ``places``, in their order; of a folder, its images, sorted.

    Whether a path or an address leads to an image is seen when it is read.

    Raises:
        DataError: a folder has no images in it, or cannot be read.
    """
    return [image for place in places for image in _in(place)]


def _in(place: str) -> list[str]:
    path = Path(place).expanduser()
    if is_url(place) or not path.is_dir():
        return [place if is_url(place) else str(path)]
    found = image_files(path)
    if not found:
        raise DataError(f"There is no image in the folder {place}, nor in those inside it.")
    return found


def is_url(place: str) -> bool:
    """Tell whether ``place`` is an address such as https://..., of whatever kind."""
    return "://" in place


def read_encoded(place: str) -> bytes | Path:
    """Return an image as it is stored: its path, or what an address answers.

    Raises:
        ValueError: there is no such file, or the address does not answer, or not with an image's few megabytes.
    """
    if is_url(place):
        return download(place)
    path = Path(place)
    if not path.is_file():
        raise ValueError("it is no file" if path.exists() else "there is no such file")
    return path


def download(url: str, limit: int = URL_BYTES, timeout: float = URL_SECONDS) -> bytes:
    """Return what ``url`` answers.

    Raises:
        ValueError: the address is not of http or https, is refused, answers too slowly, or with more than ``limit`` bytes.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("only http:// and https:// are fetched")
    headers = {"User-Agent": f"botzoo/{__version__}", "Accept": "image/*"}
    try:
        request = urllib.request.Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]"), headers=headers)
        with _opener().open(request, timeout=timeout) as answer:
            if int(answer.headers.get("Content-Length") or 0) > limit:
                raise ValueError(f"it is larger than {limit >> 20} MiB")
            return b"".join(_chunks(answer, limit))
    except (OSError, HTTPException) as error:  # URLError is an OSError
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        reason = " ".join(str(getattr(error, "reason", "") or error).split()) or type(error).__name__
        status = f"{error.code} " if hasattr(error, "code") else ""
        raise ValueError(f"it cannot be fetched ({status}{reason})") from error


def _chunks(answer: Any, limit: int) -> Iterator[bytes]:
    began, size = time.monotonic(), 0
    while chunk := answer.read1(1 << 16):
        size += len(chunk)
        if size > limit:
            raise ValueError(f"it is larger than {limit >> 20} MiB")
        if time.monotonic() - began > URL_SECONDS_IN_ALL:
            raise ValueError(f"it takes longer than {URL_SECONDS_IN_ALL:g} seconds")
        yield chunk


def _opener() -> urllib.request.OpenerDirector:
    """Return urllib's opener without its handlers of other schemes, so that no redirection leads to a file or to FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
