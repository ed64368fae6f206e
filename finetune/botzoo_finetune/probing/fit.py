"""How long images are made to fit the input: cut, squashed or padded, whichever a probe finds its classes by best."""

from collections.abc import Iterator
from dataclasses import replace

from botzoo.errors import DataError
from botzoo.models.preprocessing import FITS, LONG
from botzoo.options.choices import Choice
from botzoo.training.callbacks import Callback
from botzoo.training.plan import long_words, median_stretch
from botzoo.training.state import Draft
from botzoo_finetune import auto
from botzoo_finetune.probing.first_look import Look, in_part, no_probe

LOOKED_AT = {"train": 2_000, "validation": 1_000}
"""Images that are looked at in each way, at most; of a data set with no more, the features of the way taken are kept."""


class ChooseFit(Callback):
    """Chooses ``data.fit`` where the median image is long and nobody has chosen; nothing is done elsewhere."""

    looks_first = True

    def on_resolve(self, draft: Draft) -> Iterator[Choice]:
        """Choose the way whose probe is right most often on the validation split, the first of equal ones."""
        images, prepared = draft.images["train"], draft.network.preprocessing
        if auto.stands_aside("data.fit", draft.given) or prepared.crop_mode != "center" or no_probe(draft) is not None:
            return
        if (stretch := median_stretch(images, prepared)) < LONG:
            return
        sample = in_part(draft, LOOKED_AT)
        scores = {fit: probed(sample, fit) for fit in FITS}
        best = max(scores, key=lambda fit: scores[fit])
        figures = ", ".join(f"{fit} {score:.1f} %" for fit, score in scores.items())
        tried = f"a probe comes to {figures} on {len(sample.images['validation']):,} validation images"
        yield Choice("data.fit", best, f"{long_words(stretch, prepared)}; {tried}", "measured here")


def probed(draft: Draft, fit: str) -> float:
    """Return the figure of a probe on images that are made to fit in this way, in per cent; 0 where they look all alike."""
    prepared = draft.network.preprocessing.fitted(fit)
    try:
        return float(
            Look(replace(draft, network=replace(draft.network, preprocessing=prepared))).probe.evaluation.score
        )
    except DataError:
        return 0.0
