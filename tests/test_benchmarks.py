"""The benchmarks' commands are understood; they themselves are measured by hand, and checked by mypy."""

import pytest

from benchmarks import rules, time_to_accuracy
from botzoo.options.command_line import parse
from botzoo_finetune import cli

WORDS = {**rules.RULES, "ours": time_to_accuracy.OURS, "plain": time_to_accuracy.PLAIN}


@pytest.mark.parametrize("name", WORDS)
def test_the_options_that_a_benchmark_gives_exist(name: str) -> None:
    parse(cli.command(), list(WORDS[name]))
