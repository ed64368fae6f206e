"""Options that were chosen for the user, each with its reason."""

from collections.abc import Iterable
from dataclasses import dataclass

from botzoo.options.facts import ConfigT, with_values


@dataclass(frozen=True)
class Choice:
    """One option that was chosen."""

    option: str  # its name, dotted where it stands in a group
    value: str | int | float | bool | tuple[int, int] | None
    reason: str  # in words, with the fact that it follows from
    source: str  # of the rule: a paper, or "measured"

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        shown = f"{value:g}" if isinstance(value, float) else value
        shown = "{} {}".format(*value) if isinstance(value, tuple) else shown
        return f"--{self.option.replace('_', '-')} {shown}: {self.reason} ({self.source})"


def with_choices(config: ConfigT, choices: Iterable[Choice]) -> ConfigT:
    """Return ``config`` with what was chosen.

    Raises:
        ConfigError: what was chosen does not go with what was given.
    """
    return with_values(config, {choice.option: choice.value for choice in choices})
