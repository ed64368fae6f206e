"""Files that are written whole or not at all, and names that are free."""

from __future__ import annotations

from pathlib import Path


def free_name(path: Path, ending: str = "") -> Path:
    """Return ``path`` and ``ending``, with a number between them where that exists."""
    numbered = (
        path.with_name(f"{path.name}{number}{ending}") for number in ("", *(f"-{n}" for n in range(2, 100_000)))
    )
    return next(name for name in numbered if not name.exists())


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.rename(path)
