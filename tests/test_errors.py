"""Errors know what was wrong, what would have been right and what to do; the sentence is made from that."""

import pickle

from botzoo.errors import ConfigError, NetworkError, StoppedError


def test_the_sentence_is_made_of_the_fields() -> None:
    error = ConfigError("There is no trick 'mixip'.", value="mixip", accepted=["mixup", "cutmix"], cure="See --help.")
    assert str(error) == "There is no trick 'mixip'. Did you mean 'mixup'? See --help."
    assert (error.value, error.accepted, error.cure) == ("mixip", ("mixup", "cutmix"), "See --help.")


def test_what_is_accepted_may_be_words() -> None:
    error = ConfigError("--lr is 0.", value=0, accepted="greater than 0")
    assert (str(error), error.accepted) == ("--lr is 0.", "greater than 0")


def test_an_error_passes_from_one_process_to_another() -> None:
    for error in (
        ConfigError("No.", value=1, accepted=["one"], cure="Give one."),
        NetworkError("No answer.", unreachable=True),
        StoppedError("Stopped.", 143),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert (str(copy), vars(copy)) == (str(error), vars(error))
