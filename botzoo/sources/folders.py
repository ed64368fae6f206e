"""What lies in a folder: folders, files, and which of these are images."""

import os
from collections.abc import Iterable
from pathlib import Path

from botzoo.errors import DataError
from botzoo.sources.files import open_file

JUNK = ("thumbs.db", "desktop.ini", "__macosx", "__pycache__", "@eadir")
"""What operating systems leave in folders; passed over like names that begin with a dot."""

MOST_DEEP = 200
"""Folders in each other that are looked into."""

_KINDS = "jpg jpeg jpe jfif png apng webp gif bmp dib tif tiff ppm pgm pbm pnm jp2 j2k jpf jpx avif ico tga heic heif jxl npy"

IMAGE_SUFFIXES = tuple(f".{kind}" for kind in _KINDS.split())
"""Names of image files; those of a kind that cannot be read are among them, so that they are reported and not passed over."""

NO_IMAGES = ("file that is no image", "files that are no images")
"""What others are called where they are counted, one of them and several."""

_STARTS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\n", b"\0\0\0\x0cJXL \r\n\x87\n"),
)
"""First bytes of JPEG, PNG, GIF, TIFF, JPEG 2000 and JPEG XL."""

_BOXES = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of AVIF and HEIC, which stand behind ftyp."""

_HEADERS = (12, 40, 52, 56, 64, 108, 124)
"""Sizes of the header of a BMP: its first two bytes alone are those of many a text."""


def is_junk(name: str) -> bool:
    """Tell whether a file or folder is no part of the data, by its name."""
    return name.startswith(".") or name.lower() in JUNK


def subfolders(path: Path) -> list[str]:
    """Return the names of the folders in ``path``, sorted, without links to itself and to those that it is in."""
    above = _above(path)
    try:
        with os.scandir(path) as entries:  # a call for each of a million files would take seconds
            folders = [entry for entry in entries if not is_junk(entry.name) and entry.is_dir()]
    except OSError as error:
        raise DataError(f"The folder {path} cannot be read: {error.strerror}.") from error
    return sorted(entry.name for entry in folders if _identity(entry.path) not in above)


def _identity(folder: str | Path) -> tuple[int, int]:
    facts = os.stat(folder)  # noqa: PTH116 (of a great many)
    return facts.st_dev, facts.st_ino


def _above(folder: Path) -> set[tuple[int, int]]:
    """Return what tells a folder and those that it is in, links resolved, from others."""
    folder = folder.resolve()
    return {_identity(each) for each in (folder, *folder.parents)}


def files_in(root: Path, deep: bool = True) -> Iterable[str]:
    """Yield the files in ``root``, sorted folder by folder; links are followed, and dangling ones are yielded too.

    A folder is looked into once: a link that leads back to one, or to one that ``root`` is in, is passed over.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error

    seen = _above(root)

    def is_new(folder: str) -> bool:
        return (identity := _identity(folder)) not in seen and not seen.add(identity)  # type: ignore[func-returns-value]

    above = os.fspath(root).count(os.sep)
    for folder, inner, files in os.walk(root, onerror=refuse, followlinks=True):
        if folder.count(os.sep) - above > MOST_DEEP:
            raise DataError(f"What is in {root} lies in more than {MOST_DEEP} folders, each in the next: move it up.")
        names = sorted(name for name in inner if not is_junk(name)) if deep else []
        inner[:] = [name for name in names if is_new(os.path.join(folder, name))]  # noqa: PTH118
        yield from (os.path.join(folder, name) for name in sorted(files) if not is_junk(name))  # noqa: PTH118


def image_files(root: Path, deep: bool = True) -> list[str]:
    """Return the paths of the images in ``root``, sorted folder by folder; links are followed."""
    return [file for file in files_in(root, deep) if is_image(file)]


def has_images(root: Path, deep: bool = True) -> bool:
    """Tell whether there is an image in ``root``; it looks no further than the first."""
    return any(map(is_image, files_in(root, deep)))


def is_image(file: str) -> bool:
    """Tell whether a file is an image: by its name, or by its first bytes where the name does not say.

    One whose name says so and whose content does not is one too, so that it is reported and not passed over.
    """
    if file.lower().endswith(IMAGE_SUFFIXES):
        return True
    try:
        with open_file(Path(file)) as opened:
            return begins_as_image(opened.read(32))
    except OSError:
        return False


def begins_as_image(start: bytes) -> bool:
    """Tell whether these are the first bytes, 32 where there are as many, of an image file."""
    if start.startswith(_STARTS):
        return True
    riff, box = start[:4] == b"RIFF" and start[8:12] == b"WEBP", start[4:8] == b"ftyp" and start[8:12] in _BOXES
    bitmap = start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _HEADERS
    netpbm = start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace() and start[3:4] in b"#0123456789"
    return riff or box or bitmap or (netpbm and len(start) > 8)
