"""Charts as SVG within a page: their colours follow the page's, light or dark, and their text is text."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from botzoo.pages.render import HERE, render

COLOURS = 10  # that the style of the pages has; series take them in turn


class Series(NamedTuple):
    """Points of one colour, in the order in which a line joins them; those that are not finite are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


class Points(NamedTuple):
    """Points of one colour that no line joins."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    titles: Sequence[str]  # what is said of each where a pointer rests on it
    ringed: Sequence[bool]  # which of them are marked


class Scale(NamedTuple):
    """From values to pixels along one axis."""

    low: float
    high: float
    start: float  # the pixel of ``low``
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Return pixel and text of some five round values."""
        exponent = math.floor(math.log10((self.high - self.low) / 5))
        step = next(s for s in (m * 10.0**exponent for m in (1, 2, 5, 10)) if (self.high - self.low) / s <= 6)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        texts = {k: f"{k * step:,.{digits}f}" if step >= 1e-4 else f"{k * step:.4g}" for k in range(first, last + 1)}
        return [(self(k * step), text) for k, text in texts.items()]


def scale(
    values: Sequence[float], start: float, end: float, low: float | None = None, high: float | None = None
) -> Scale:
    """Return the scale that shows all finite ``values`` between two pixels; ``low`` and ``high`` are fixed where given."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    least, most = min(finite) if low is None else low, max(finite) if high is None else high
    if not least < most:
        least, most = least - 0.5, least + 0.5
    return Scale(least, most, start, end)


def line_chart(
    title: str,
    series: Sequence[Series],
    x: str,
    y: str,
    *,
    y_low: float | None = None,
    y_high: float | None = None,
    size: tuple[int, int] = (420, 260),
) -> Markup:
    """Return lines over an axis of numbers.

    Args:
        title: what the chart shows, for readers that cannot see it.
        x, y: names of the axes, with their units.
        y_low, y_high: ends of the vertical axis; by default those of the values.
        size: in pixels, (width, height).
    """
    width, height = size
    across = scale([v for s in series for v in s.x], LEFT, width - RIGHT)
    up = scale([v for s in series for v in s.y], height - BELOW, ABOVE, y_low, y_high)
    shown = [(s, [(across(a), up(b)) for a, b in zip(s.x, s.y, strict=True) if math.isfinite(a + b)]) for s in series]
    return _drawn(
        "line_chart.html", title=title, series=shown, across=across, up=up, x=x, y=y, width=width, height=height
    )


def scatter_chart(title: str, groups: Sequence[Points], *, size: tuple[int, int] = (640, 460)) -> Markup:
    """Return points in a plane whose axes have no meaning of their own, as in a map of embeddings."""
    width, height = size
    across = scale([v for g in groups for v in g.x], 8, width - 8)
    up = scale([v for g in groups for v in g.y], height - 8, 8)
    shown = [(g, [(across(a), up(b), t, r) for a, b, t, r in zip(*g[1:], strict=True)]) for g in groups]
    return _drawn("scatter_chart.html", title=title, groups=shown, width=width, height=height)


LEFT, RIGHT, ABOVE, BELOW = 56, 12, 12, 44  # pixels around the plane of a chart, for its ticks and names


def _drawn(template: str, **values: Any) -> Markup:
    return Markup(render(HERE / template, colours=COLOURS, **values))
