"""The images to label next, as Python, table and page have them."""

from dataclasses import dataclass
from pathlib import Path

from botzoo.util.outgoing import csv_line
from botzoo.util.text import counted

HEAD = ("file", "score", "uncertainty", "label", "probability")


@dataclass(frozen=True)
class Suggested:
    """An image to label.

    Attributes:
        file: its path.
        score: the uncertainty of all images that it stands for, itself included.
        uncertainty: its own, in [0, 1]: 1 minus the lead of the likeliest class; of several labels their mean entropy in bits.
        label, probability: the likeliest class by the probe, and its probability.
    """

    file: str
    score: float
    uncertainty: float
    label: str
    probability: float


@dataclass(frozen=True)
class Suggestions:
    """What to label next, the most telling first, and what was left out of the folder.

    Attributes:
        images: those suggested.
        folder: the one that was looked through.
        dataset: whose probe looked.
        found: images in the folder.
        unreadable, known, twice: how many of them cannot be read, are in the data set, and are the same as another one.
        written: the folder with suggested.csv and suggested.html.
    """

    images: tuple[Suggested, ...]
    folder: str
    dataset: str
    found: int
    unreadable: int
    known: int
    twice: int
    written: Path

    def left_out(self) -> list[str]:
        """Return sentences on the images that were not looked at."""
        counts = {
            "cannot be read": self.unreadable,
            f"already in {self.dataset}": self.known,
            "the same file as another one": self.twice,
        }
        return [f"left out: {counted(number, 'image')}, {why}" for why, number in counts.items() if number]

    def table(self) -> str:
        """Return the text of suggested.csv."""
        rows = [
            (s.file, f"{s.score:.4f}", f"{s.uncertainty:.4f}", s.label, f"{s.probability:.4f}") for s in self.images
        ]
        return "".join(f"{line}\n" for line in map(csv_line, [HEAD, *rows]))
