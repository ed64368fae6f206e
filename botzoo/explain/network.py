"""A network to look at: its weights, and what it makes of an image, as one page and as lines for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from botzoo.explain.activations import Passage
from botzoo.explain.weights import DEAD, NEAR_ZERO, NormFigures, Weights, first_filters, norms_of, weights_of
from botzoo.inference.predict import Model
from botzoo.pages.charts import Series, line_chart
from botzoo.pages.render import render
from botzoo.pages.thumbnails import thumbnail
from botzoo.util.text import counted, under

PIXELS = 960  # longer side of a picture of filters or channels


class Network:
    """A model's network as page and lines; without ``weights`` and ``passage`` there is nothing to show.

    Args:
        weights: whether to show the weights.
        passage: an image on its way through the network, or None.
    """

    def __init__(self, model: Model, *, weights: bool, passage: Passage | None = None) -> None:
        self.name, self.passage = model.name, passage
        self.layers: Sequence[Weights] = [*weights_of(model.module)] if weights else []
        self.norms: Sequence[NormFigures] = [*norms_of(model.module)] if weights else []
        self.filters = first_filters(model.module) if weights else None

    def lines(self) -> Iterator[str]:
        """Yield what is worth knowing at once, for the terminal."""
        if self.layers:
            yield from under("weights", self._weights())
        if self.norms:
            channels, near = sum(n.channels for n in self.norms), sum(n.near_zero for n in self.norms)
            yield from under(
                "BatchNorm",
                [f"{counted(len(self.norms), 'layer')}; gamma is near 0 in {near:,} of {channels:,} channels"],
            )
        if self.passage is not None:
            label, share = self.passage.answers[0] if self.passage.answers else ("no class", 0.0)
            yield from under("answer", [f"{label} ({share:.1%}) for {self.passage.name}"])
            yield from under("stages", (self._stage(k) for k in range(len(self.passage.stages))))

    def _weights(self) -> Iterator[str]:
        values, dead = sum(math.prod(layer.shape) for layer in self.layers), sum(layer.dead for layer in self.layers)
        yield f"{counted(len(self.layers), 'layer')} of {values:,} weights, {counted(dead, 'dead channel')}"
        if dead:
            most = max(self.layers, key=lambda layer: layer.dead)
            yield f"most of them in {most.name}: {most.dead} of {most.shape[0]}"
        if broken := sum(layer.broken for layer in self.layers):
            yield f"{broken:,} weights are NaN or infinite: they are damaged, or the training diverged"

    def _stage(self, k: int) -> str:
        assert self.passage is not None
        one = self.passage.stages[k]
        shape = f"{one.stage.channels} channels of {one.stage.height} x {one.stage.width}"
        return f"{one.stage.name}: {shape}, from {one.low:.3g} to {one.high:.3g}, {one.silent} the same everywhere"

    def page(self) -> str:
        """Return the page, one file."""
        passage = self.passage
        return render(
            Path(__file__).with_name("network.html"),
            title=f"Inside {self.name}",
            layers=self.layers,
            norms=self.norms,
            filters=(self.filters[0], thumbnail(self.filters[1], PIXELS)) if self.filters is not None else None,
            chart=self._chart() if len(self.layers) > 1 else None,
            passage=passage,
            input=thumbnail(passage.input, 224) if passage is not None else "",
            pictures=[thumbnail(one.picture, PIXELS) for one in passage.stages] if passage is not None else [],
            dead=DEAD,
            near_zero=NEAR_ZERO,
            bars=bars,
        )

    def _chart(self) -> str:
        places = list(range(1, len(self.layers) + 1))
        rms = Series("root mean square", places, [layer.rms for layer in self.layers])
        return line_chart(
            "Size of the weights, layer by layer", [rms], "layer", "root mean square", y_low=0, size=(720, 240)
        )


def bars(histogram: Sequence[float], height: int = 18) -> str:
    """Return the path of a small bar chart in SVG, two units a bar."""
    return "".join(
        f"M{2 * k} {height}v{-height * share:.1f}h2V{height}z" for k, share in enumerate(histogram) if share > 0
    )
