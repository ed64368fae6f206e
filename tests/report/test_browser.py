"""The page in a real browser: it runs without complaint, asks nobody for anything, and does what it says."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
SCREENS = [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Callable[..., Any]]:
    """Open the page in a context of its own, and see to it that nothing was complained of and nobody asked."""
    contexts, complaints = [], []

    def open_page(**how: Any) -> Any:
        contexts.append(browser.new_context(**how))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        asked = lambda request: request.url.startswith(("data:", page_file.as_uri())) or complaints.append(request.url)  # noqa: E731
        page.on("request", asked)
        page.goto(page_file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_it_fits_the_screen_and_every_picture_is_drawn(opened: Callable[..., Any], width: int, scheme: Any) -> None:
    page = opened(viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    assert dark == (scheme == "dark")


def test_the_filter_shows_one_pair_of_class_and_answer(opened: Callable[..., Any]) -> None:
    page = opened()
    assert page.locator(".gallery figure:visible").count() == 4
    page.select_option("#pair", "0-1")
    assert page.locator(".gallery figure:visible strong").all_inner_texts() == ["class1", "class0"] * 2
    assert page.inner_text("#showing") == "2 shown"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_cell_of_the_matrix_opens_its_pictures(opened: Callable[..., Any], scripts: bool) -> None:
    page = opened(java_script_enabled=scripts)
    assert not page.is_visible("#pair-2-0")
    page.click("a[href='#pair-2-0']")
    assert page.is_visible("#pair-2-0 img")


def test_a_heading_sorts_the_classes(opened: Callable[..., Any]) -> None:
    page = opened()
    recall = "#table tbody tr td:nth-child(5)"
    page.click("#table th:nth-child(5) button")
    rising = [text.split()[0] for text in page.locator(recall).all_inner_texts()]
    page.click("#table th:nth-child(5) button")
    falling = [text.split()[0] for text in page.locator(recall).all_inner_texts()]
    assert (rising, falling) == (["50.0", "75.0", "75.0"], ["75.0", "75.0", "50.0"])


def test_the_keyboard_reaches_a_cell_and_its_pictures(opened: Callable[..., Any]) -> None:
    page = opened()
    page.focus("a[href='#pair-0-1']")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'pair-0-1'")


def test_without_scripts_nothing_is_offered_that_needs_them(opened: Callable[..., Any]) -> None:
    page = opened(java_script_enabled=False)
    assert not page.is_visible("#filter")
    assert page.locator("#table button").count() == 0
    assert page.locator(".gallery figure:visible").count() == 4
