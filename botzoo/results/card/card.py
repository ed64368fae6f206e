"""The model card: README.md for people, with a front matter for the Hub."""

from huggingface_hub import ModelCard

from botzoo.results.card.claim import card_data
from botzoo.results.card.sections import credit, data_section, licence, limits, training, use
from botzoo.results.record import RunRecord
from botzoo.results.words import words_of


def card(record: RunRecord) -> str:
    """Return the text of a run's card; it names the pictures that are in the model folder by now."""
    words = words_of(record)
    sections = (
        words.opening(record),
        use(record),
        data_section(record),
        words.results(record),
        training(record),
        limits(words.limits(record)),
        licence(record),
        credit(record),
    )
    body = "\n\n".join(block for section in sections for block in section)
    return str(ModelCard(f"---\n{card_data(record, words.eval_results(record)).to_yaml()}\n---\n\n{body}\n"))
