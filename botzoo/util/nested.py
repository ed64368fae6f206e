"""Options in groups, as dictionaries in a dictionary, and as one level with dotted names."""

from collections.abc import Mapping
from typing import Any


def flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options as one level, with dotted names."""
    level: dict[str, Any] = {}
    for key, value in options.items():
        level |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return level


def nested(level: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of which ``level`` is the flat form."""
    options: dict[str, Any] = {}
    for name, value in level.items():
        group, _, key = name.rpartition(".")
        (options.setdefault(group, {}) if group else options)[key] = value
    return options
