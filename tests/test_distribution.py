"""What is published: the wheel holds all that runs from it, and the page of the index leads somewhere."""

import re
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from botzoo.models.pretrained import WEIGHTS

pytest.importorskip("hatch_fancy_pypi_readme", reason="it is of the extra test")
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

ROOT = Path(__file__).parents[1]
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


@pytest.fixture(scope="module")
def page() -> str:
    """What the index shows: the README as the build writes it into the metadata."""
    return str(ProjectMetadata(str(ROOT), PluginManager()).core.readme)


def test_the_page_has_no_relative_link(page: str) -> None:
    assert re.findall(r"\]\((?!https://)[^)]*\)", page) == []


def test_the_pages_links_into_the_repository_lead_to_files(page: str) -> None:
    places = "|".join([f"{REPOSITORY}/blob", REPOSITORY.replace("github.com", "raw.githubusercontent.com")])
    paths = re.findall(rf"\]\((?:{places})/HEAD/([^)#]+)", page)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_pictures_of_the_page_are_files_and_not_pages(page: str) -> None:
    assert all(link.startswith("https://raw.") for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page))


def test_who_reads_the_page_installs_from_the_index(page: str) -> None:
    assert "pip install botzoo && botzoo-finetune" in page
    assert "install -e" not in page


@pytest.mark.slow
def test_the_wheel_has_every_file_of_both_packages_and_the_cards_of_its_weights(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    held = set(ZipFile(wheel).namelist())
    files = {
        str(file.relative_to(package.parent))
        for package in (ROOT / "botzoo", ROOT / "finetune/botzoo_finetune")
        for file in package.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert {"botzoo/py.typed", "botzoo_finetune/py.typed", "botzoo/recipes/ladders/table4.yaml"} <= files
    cards = {f"botzoo/cards/{weights.name}.md" for weights in WEIGHTS.values() if weights.path is not None}
    assert cards
    assert (files | cards) - held == set()
