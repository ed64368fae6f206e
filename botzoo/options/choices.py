"""Options that were chosen for the user, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from botzoo.options.config import TrainConfig

Value = str | int | float | bool | None

ConfigT = TypeVar("ConfigT", bound=TrainConfig)


@dataclass(frozen=True)
class Choice:
    """One option that was chosen.

    Attributes:
        option: its name, dotted where it stands in a group.
        value: what it gets.
        reason: in words, with the fact that it follows from.
        source: of the rule: a paper, or "measured".
    """

    option: str
    value: Value
    reason: str
    source: str

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        shown = f"{value:g}" if isinstance(value, float) else value
        return f"--{self.option.replace('_', '-')} {shown}: {self.reason} ({self.source})"


def with_choices(config: ConfigT, choices: Iterable[Choice]) -> ConfigT:
    """Return ``config`` with what was chosen.

    Raises:
        ConfigError: what was chosen does not go with what was given.
    """
    groups: dict[str, dict[str, Value]] = {}
    values: dict[str, Any] = {}
    for choice in choices:
        group, _, name = choice.option.rpartition(".")
        (groups.setdefault(group, {}) if group else values)[name] = choice.value
    return replace(config, **values, **{group: replace(getattr(config, group), **own) for group, own in groups.items()})
