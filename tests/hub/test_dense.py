"""Networks for boxes and masks to the Hub and back: published, loaded from there, verified, and trained again."""

import contextlib
import io
import json
import re
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import botzoo
from botzoo.errors import DataError, PublishError
from botzoo.hub import verify as verifying
from botzoo.hub.package import pack
from botzoo.hub.publish import publish
from botzoo.hub.reproduce import reproduction
from botzoo.hub.verify import exit_status, verify
from botzoo.results.card.claim import claim_in_card
from botzoo.util.outgoing import without_secrets
from hub_double import HubDouble

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the client's, of its own HTTP library
]

KINDS = ("boxes", "masks")


@pytest.fixture(params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of a finished run, and its data."""
    run = request.getfixturevalue(f"finished_{request.param}_run")
    return Path(shutil.copytree(run, tmp_path / "run")), request.getfixturevalue(request.param)


def here(code: str, image: bytes, model: Path | None) -> list[str]:
    """Do in this process what ``run_code`` does in one of its own, which takes seconds to start."""
    with contextlib.chdir(Path(tempfile.mkdtemp())), contextlib.redirect_stdout(io.StringIO()) as said:
        Path("photo.jpg").write_bytes(image)
        exec(code, {})
    return said.getvalue().splitlines()


def test_what_is_published_is_loaded_and_verified_from_there(
    double: HubDouble, trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "run_code", here)
    run, data = trained
    publish(pack(run, "me/places", "mit"))
    card = double.repo("me/places").files["README.md"].decode()
    assert 'botzoo.load("hf-hub:me/places")' in card
    assert "local-dir:." not in card
    image = next(data.rglob("*.png"))
    ours, theirs = (botzoo.load(name).predict(image) for name in (run, "hf-hub:me/places"))
    assert (ours.boxes, ours.top, ours.size) == (theirs.boxes, theirs.top, theirs.size)
    checks = list(verify("me/places", str(data)))
    assert [check for check in checks if check.outcome != "agrees"] == []
    assert (checks[-1].name, exit_status(checks)) == ("code", 0)


def test_another_figure_of_the_very_images_differs(trained: tuple[Path, Path]) -> None:
    run, data = trained
    card = run / "model" / "README.md"
    text = re.sub(r"value: [\d.]+", "value: 99.0", card.read_text(), count=1)
    card.write_text(re.sub(r"(interval_95:\n\s+- )[\d.]+(\n\s+- )[\d.]+", r"\g<1>0.0\g<2>100.0", text, count=1))
    figure = next(check for check in verify(str(run), str(data)) if "published 99.00 %" in check.words)
    assert (figure.outcome, figure.words.endswith(": of the very same images")) == ("differs", True)


def test_other_weights_are_neither_published_nor_verified(trained: tuple[Path, Path]) -> None:
    run, data = trained
    file = run / "model" / "model.safetensors"
    save_file({name: torch.zeros_like(tensor) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(PublishError, match="not those that its card is of"):
        pack(run, "me/places", "mit")
    assert next(check for check in verify(str(run), str(data)) if check.name == "weights").outcome == "differs"


def test_what_nobody_could_load_is_not_published(trained: tuple[Path, Path]) -> None:
    run, _ = trained
    file = run / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"head": {"name": "none"}}))
    with pytest.raises(PublishError, match=r"do not fit config\.json, so nobody could load them\. .*head\.name"):
        pack(run, "me/places", "mit")


def test_data_of_another_kind_is_refused(trained: tuple[Path, Path], photos: Path) -> None:
    with pytest.raises(DataError, match=r"photos has no (boxes|masks)"):
        list(verify(str(trained[0]), str(photos)))


def test_the_recipe_trains_the_same_again(trained: tuple[Path, Path]) -> None:
    run, data = trained
    found = reproduction(str(run), str(data))
    task = {"detection": "detect", "segmentation": "segment"}[botzoo.load(run).task.name]
    assert (found.options["task"], found.claim) == (task, claim_in_card(run / "model" / "README.md"))
    assert found.command.startswith("botzoo train --config ")
    assert without_secrets(found.command) == found.command
