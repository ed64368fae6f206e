"""A long reading says how far it is."""

import logging

import pytest

from botzoo.data import progress


def test_where_there_is_no_terminal_a_line_tells_the_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with caplog.at_level(logging.INFO, "botzoo"):
        assert list(progress.progress_of("reading train images", None)(iter("abc"), total=3)) == ["a", "b", "c"]
    assert caplog.messages[0].startswith("reading train images: 1 of 3 images, about 0 s left")


def test_processes_that_are_not_the_first_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert list(progress.progress_of("reading", False)(iter("abc"), total=3)) == ["a", "b", "c"]
    assert not caplog.messages
