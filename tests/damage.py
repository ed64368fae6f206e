"""What can happen to a file between two sittings, for tests that are told nothing of the file."""

import random
from collections.abc import Callable
from pathlib import Path


def flip_a_bit(content: bytes, rng: random.Random) -> bytes:
    """Another bit somewhere."""
    if not content:
        return b"x"
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


def truncate(content: bytes, rng: random.Random) -> bytes:
    """The beginning only."""
    return content[: rng.randrange(len(content) or 1)]


def cut_at_a_line(content: bytes, rng: random.Random) -> bytes:
    """The first lines only."""
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: rng.randrange(len(lines) or 1)])


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": flip_a_bit,
    "truncated": truncate,
    "cut at a line": cut_at_a_line,
    "empty": lambda content, rng: b"",
    "zeros": lambda content, rng: bytes(len(content)),
    "other bytes": lambda content, rng: rng.randbytes(len(content)),
    "a list": lambda content, rng: b"[1, 2]\n",
    "a number": lambda content, rng: b"7\n",
}


def damage(file: Path, kind: str, seed: int = 0) -> None:
    """Damage a file; what happens depends on its name, the kind and the seed only."""
    file.write_bytes(DAMAGES[kind](file.read_bytes(), random.Random(f"{file.name} {kind} {seed}")))


def files_in(folder: Path) -> list[str]:
    """Return the files in a folder by their paths in it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
