"""A data set of nasty names, through every command that speaks of them."""

import csv
import sys
from pathlib import Path

import pytest

from botzoo.util.outgoing import is_harmful
from conftest import write_photos
from running import command, quick_command

CLASSES = (
    "=cmd|' !A1",
    "\x1b]8;;http:evil\x07[x](javascript:x)",
    "<script>alert(`1`)<script>\x9b2J",
    "a\nb | c",
    "\u202e$x^2$ &#x202e;",
    "-\r\t@",
)


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """Photos in folders of such names, in a folder of such a name."""
    folder = write_photos(tmp_path / "plain", len(CLASSES), 8)
    for old, new in zip(sorted(folder.iterdir()), CLASSES, strict=True):
        old.rename(folder / new)
        (folder / new / "0.png").rename(folder / new / f"{new}0.png")
        (folder / new / f"{new}broken.png").write_bytes(b"\x89PNG")
    return folder.rename(tmp_path / "<b>[y](z)\x1b[2J\n`$x$`")


def harmless(text: str) -> bool:
    return not [letter for letter in text if is_harmful(letter) and letter not in "\n\t"]


@pytest.mark.slow
def test_no_name_does_harm_on_its_way_out(
    nasty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert quick_command("--dataset", nasty, "--skip-corrupt", "--output", "run") == 0
    assert quick_command("--dataset", nasty) == 2  # names the files that cannot be read
    assert command("--dataset", nasty, "--check", "--model", "test_resnet", "--scratch", "--img-size", 32) == 1
    image = next((nasty / CLASSES[0]).iterdir())
    monkeypatch.setattr(sys, "argv", ["botzoo"])
    for form in ("table", "json", "csv"):
        from botzoo.commands import predict

        predict.run([str(image), "--model", "run", "--format", form, "--output", f"out.{form}"])
    out, err = capsys.readouterr()
    texts = [
        path
        for path in tmp_path.rglob("*.*")
        if path.suffix in (".txt", ".md", ".html", ".json", ".yaml", ".csv", ".table")
    ]
    assert len(texts) > 9
    assert not [path for path in texts if not harmless(path.read_text())]
    assert (harmless(out), harmless(err)) == (True, True)
    assert "<script>" not in (tmp_path / "check" / "check.html").read_text()
    assert (tmp_path / "run" / "model" / "confusion.png").is_file()
    cells = [cell for row in csv.reader((tmp_path / "out.csv").read_text().splitlines()) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
