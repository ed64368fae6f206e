"""The model card: README.md for people, with a front matter for the Hub."""

from huggingface_hub import ModelCard

from botzoo.results.card import sections
from botzoo.results.card.claim import card_data
from botzoo.results.record import RunRecord
from botzoo.results.words import words_of
from botzoo.util.outgoing import one_line


def card(record: RunRecord) -> str:
    """Return the model card: a front matter for the Hub, and what people read."""
    words = words_of(record)
    first = [*words.opening(record), *sections.use(record), *sections.data_section(record)]
    work = [*words.results(record), *sections.training(record), *sections.limits(words.limits(record))]
    body = "\n\n".join([*first, *work, *sections.licence(record), *sections.credit(record)])
    front = card_data(record, words.eval_results(record)).to_yaml()
    front = "\n".join(map(one_line, front.splitlines()))  # YAML keeps some letters that turn the direction of writing
    return str(ModelCard(f"---\n{front}\n---\n\n{body}\n"))
