"""A data set of nasty names, through every command that speaks of them."""

import csv
import re
import shlex
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from botzoo.results.card.card import card as card_text
from botzoo.util.outgoing import is_harmful, one_line
from conftest import write_photos
from recorded import a_record
from running import command, quick_command

pytestmark = pytest.mark.slow  # all of them together

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


@pytest.mark.parametrize(
    "name", [*CLASSES, "`", "``x", "a|b", "```\n# x", "---\nlicense: mit", "<!-- x", "![x](http:y)"], ids=ascii
)
def test_a_card_shows_what_others_wrote_as_it_is(name: str) -> None:
    start = {
        "source": f"hf-hub:{name}",
        "base_model": name,
        "license": name,
        "architecture": name,
        "loaded": 1,
        "new": 1,
    }
    data = {"title": name, "license": name, "notes": [name]}
    teacher = {"name": name, "license": name, "parameters": 1, "size": 32, "sha256": "0"}
    facts = {
        "command": shlex.join(["botzoo-finetune", "--dataset", name]),
        "hardware": name,
        "name": name,
        "teacher": teacher,
    }
    record = a_record(names=(name, "b", "c"), network=start, data=data, config={"architecture": name}, **facts)
    card = ModelCard(card_text(record))
    assert harmless(str(card))
    found = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table").parse(card.text)
    inner = [child for token in found for child in token.children or ()]
    assert not [token for token in (*found, *inner) if token.type.startswith("html")]
    links = [token.attrs["href"] for token in inner if token.type == "link_open"]
    assert all(re.match(r"https://(arxiv\.org|github\.com|huggingface\.co)/", str(link)) for link in links)
    assert [token.content for token in found if token.type == "fence" and token.info == "sh"] == [
        one_line(facts["command"]) + "\n"
    ]
