"""Pages: what stands in them is shown and never run, and charts put values where their axes say."""

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import jinja2
import pytest
from PIL import Image

from botzoo.pages.charts import Points, Series, line_chart, scale, scatter_chart
from botzoo.pages.render import render
from botzoo.pages.thumbnails import thumbnail

PAGE = '{% extends "pages/base.html" %}{% block content %}<p title="{{ text }}">{{ text }}</p>{% endblock %}'
HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "</p></main><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "a\nb\x1b[31m\u202e",
    "]]>--><!--",
]


class Reader(HTMLParser):
    """Collects what a browser would see: elements with their attributes, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text(PAGE)
    return tmp_path / "page.html"


@pytest.mark.parametrize("text", HOSTILE)
def test_names_of_strangers_are_text(template: Path, text: str) -> None:
    plain, hostile = (Reader(render(template, title=t, text=t)) for t in ("plain", text))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert "\x1b" not in hostile.text


def test_secrets_of_addresses_stay_out(template: Path) -> None:
    assert "pw" not in render(template, title="data", text="https://alice:pw@host/a?token=pw")


def test_only_the_script_of_the_page_may_run(template: Path) -> None:
    script = template.with_name("page.js")
    script.write_text('document.title = "1 < 2 && 3";\n')
    page = render(template, script, title="a", text="b")
    ran = re.search(r"<script>(.*?)</script>", page, re.S)
    assert ran is not None
    assert f"'sha256-{b64encode(sha256(ran[1].encode()).digest()).decode()}'" in page.replace("&#39;", "'")


def test_a_missing_value_is_an_error(template: Path) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render(template, title="a")


def test_a_thumbnail_keeps_the_shape() -> None:
    encoded = thumbnail(Image.new("RGBA", (400, 200)), side=100).partition(",")[2]
    assert Image.open(BytesIO(b64decode(encoded))).size == (100, 50)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.5, 99.3), (-3, 3e6), (1e-6, 2e-6), (7, 7), (0, float("nan"))])
def test_ticks_are_few_and_within_the_axis(low: float, high: float) -> None:
    ticks = scale([low, high], 0, 100).ticks()
    assert 1 <= len(ticks) <= 12
    assert len({text for _, text in ticks}) == len(ticks)
    assert all(-0.1 <= pixel <= 100.1 for pixel, _ in ticks)


def test_a_line_begins_and_ends_at_the_ends_of_its_axes() -> None:
    chart = line_chart("loss", [Series("a", [0, 1, 2], [5, float("nan"), 1])], "epoch", "nats", size=(100, 100))
    assert 'points="56.0,12.0 88.0,56.0 "' in chart


def test_a_chart_says_what_it_is() -> None:
    chart = scatter_chart("a <map>", [Points("x", [0, 1], [0, 1], ["one", "<two>"], [True, False])])
    assert [a["aria-label"] for tag, a in Reader(chart).elements if tag == "svg"] == ["a <map>"]
