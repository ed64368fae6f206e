"""The cards of the weights that we publish."""

import pytest
from huggingface_hub import ModelCard

import botzoo.models.pretrained as pretrained
from botzoo.models.pretrained import CARDS

OURS = {name: weights for name, weights in pretrained.WEIGHTS.items() if weights.file is not None}


def test_every_published_checkpoint_has_a_card_and_every_card_a_checkpoint() -> None:
    assert {path.stem for path in CARDS.glob("*.md") if path.name != "README.md"} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_the_card_has_the_accuracy_of_the_table(name: str) -> None:
    data = ModelCard.load(CARDS / f"{name}.md").data
    values = [result.metric_value for result in data.eval_results if result.metric_name.startswith("top-1")]
    assert values == [pytest.approx(OURS[name].top1, abs=0.005)]


@pytest.mark.parametrize("name", OURS)
def test_the_card_has_the_licence_of_the_table(name: str) -> None:
    assert ModelCard.load(CARDS / f"{name}.md").data.license == OURS[name].license
