"""What is known of every option, kept in the field that declares it, and what follows from that.

``option`` declares a field with its facts. Checks, help, the reference in docs/, the card's settings and the refusals of those
who cannot do with an option are all derived from them here, so that a new option is one declaration and nothing else.
"""

import math
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints

from botzoo.errors import ConfigError
from botzoo.util.nested import nested
from botzoo.util.text import epochs_words

ConfigT = TypeVar("ConfigT", bound="Configuration")

SET = object()
"""In a ``When``: whatever value puts the option to use."""


class Need(Enum):
    """What an option may presume of a run, in the words of a refusal."""

    ONE_LABEL = "one label for each image"
    WHOLE_IMAGE = "an answer for each image as a whole"
    IMAGES_EACH_STEP = "images in every step"
    SINGLE_RUN = "a run of its own"
    READ_WHOLE = "all images at once"
    COLOURS = "images of three channels"


class When(NamedTuple):
    """A condition on one option: that it is in use, or that it has this ``value``."""

    name: str
    value: Any = SET


class Accepted(NamedTuple):
    """The values that an option takes, in words and as a test of one that is of the option's type."""

    words: str
    holds: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Raise ConfigError unless the option ``name`` takes ``value``."""
        check(self.holds(value), name, value, self.words)


def at_least(low: int, unit: str = "") -> Accepted:
    """Accept ``low`` and all above it; ``unit`` is what is counted."""
    return Accepted(f"{low} or more {unit}".rstrip(), lambda value: bool(value >= low))


def above(low: int) -> Accepted:
    """Accept all above ``low``."""
    return Accepted(f"greater than {low}", lambda value: bool(value > low))


def between(low: float, high: float, ends: str = "[]") -> Accepted:
    """Accept the values of an interval; a round bracket leaves that end out."""
    lowest = f"greater than {low}" if ends[0] == "(" else f"at least {low}"
    highest = f"less than {high}" if ends[1] == ")" else f"at most {high}"

    def holds(value: Any) -> bool:
        return bool(low < value < high or (value == low and ends[0] == "[") or (value == high and ends[1] == "]"))

    return Accepted(f"from {low} to {high}" if ends == "[]" else f"{lowest} and {highest}", holds)


@dataclass(frozen=True)
class Option:
    """The facts of one option."""

    default: Any  # its value where nothing is given
    help: str  # what it does; the first sentence stands alone in the short help
    group: str  # heading that it stands under
    common: bool = False  # whether the short help has it
    unset: str = ""  # what happens where its value is None, for "default: ..."
    metavar: str = ""  # what stands for its value in the help; by default made from its type
    accepts: Accepted | None = None  # its range; None takes all values of the type. A value of None is not looked at
    needs: When | None = None  # what has to hold where it is in use
    # what must not hold where it is in use, each with what is wrong with the two ("both even out classes")
    excludes: Mapping[When, str] = field(default_factory=dict)
    # what has to hold for it to have an effect; without, it is left as it is, not refused
    counts_with: When | None = None
    presumes: Set[Need] = frozenset()  # what it needs of a run where it is in use
    rules_out: Need | None = None  # what a run lacks where it is in use
    instead: Set[str] = frozenset()  # options that stand in its place: it is not chosen where one of them is given
    machine: bool = False  # whether it is of one machine or one run, and says nothing of what is trained
    stated: bool = False  # whether a card states it elsewhere than among the settings
    unsaid: Any = None  # the value that a card does not name
    # for values in epochs: given the epochs of a run that is shorter, the value where nobody gave one
    shrinks: Callable[[float], Any] | None = None
    # when ``botzoo.tricks.NAME.NAME`` is applied where the option NAME is in use, for tricks that need no place of their own:
    # "batch" (of images and targets, each step) or "init" (of a network with random weights)
    trick: Literal["batch", "init", ""] = ""
    used: Callable[[Any], bool] | None = None  # tells whether a value puts it to use, where ``in_use`` has another rule
    name: str = ""  # dotted where it stands in a group of the configuration
    kind: Any = None  # its type

    def in_use(self, value: Any) -> bool:
        """Tell whether ``value`` puts the option to use: by default one that is neither the default nor None, False or 0."""
        return self.used(value) if self.used else value not in (None, False, 0, self.default)


def option(default: Any, help: str, group: str, **facts: Any) -> Any:
    """Return the dataclass field of an option; ``facts`` are those of ``Option``."""
    return field(default=default, metadata={"option": Option(default, help, group, **facts)})


class Configuration:
    """Base of the configurations, whose fields are options, or groups of them: dataclasses whose fields are."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of its range, or for options that do not go together."""
        known, values = options_of(type(self)), values_of(self)
        for name, own in known.items():  # all ranges first, as the rules compare values with each other
            if own.accepts and values[name] is not None:
                own.accepts.check(name, values[name])
        for name, own in known.items():
            if own.in_use(values[name]):
                _check_company(self, own, values)


def _check_company(config: Configuration, own: Option, values: Mapping[str, Any]) -> None:
    """Raise ConfigError where an option in use lacks what it needs, or stands beside what it excludes."""
    known, this = options_of(type(config)), flag(own.name, values[own.name])
    if own.needs and not _holds(own.needs, known, values):
        other = flag(own.needs.name, True if own.needs.value is SET else own.needs.value)
        raise ConfigError(f"{this} counts with {other} only: give both, or neither.")
    for when, why in own.excludes.items():
        if _holds(when, known, values):
            null = ", and null for one that a file gives" if own.default is None else ""
            raise ConfigError(f"{this} and {flag(when.name, values[when.name])} {why}: give one of the two{null}.")
    if own.rules_out:
        refuse(config, own.rules_out, f"which {this} does not have")


def _holds(when: When, known: Mapping[str, Option], values: Mapping[str, Any]) -> bool:
    value = values[when.name]
    return known[when.name].in_use(value) if when.value is SET else bool(value == when.value)


def check(ok: bool, name: str, value: Any, accepted: str) -> None:
    """Raise ``ConfigError`` naming the flag, its ``value`` and what is ``accepted`` unless ``ok``; infinity never is."""
    if not ok or (isinstance(value, float) and not math.isfinite(value)):  # "inf" and "nan" are floats too
        value = list(value) if isinstance(value, tuple) else value
        raise ConfigError(f"{flag(name)} is {value!r}: it must be {accepted}.", value=value, accepted=accepted)


def flag(name: str, value: Any = True) -> str:
    """Return an option as one types it: --mixup 0.2, --scratch, --no-cosine."""
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{name.replace('_', '-')}"
    text = f"{value:g}" if isinstance(value, float) else str(list(value) if isinstance(value, tuple) else value)
    return f"--{name.replace('_', '-')} {text.replace(', ', ',')}"


def options_of(config_class: type) -> dict[str, Option]:
    """Return the options of a configuration by their names, those of a group dotted, in the order of its fields."""
    return _options_of(config_class)


@cache  # every check of a configuration asks for them; what is cached loses the types of its arguments, hence two functions
def _options_of(config_class: Any) -> dict[str, Option]:
    kinds = get_type_hints(config_class)
    found: dict[str, Option] = {}
    for f in fields(config_class):
        if is_dataclass(kinds[f.name]):
            for key, own in options_of(kinds[f.name]).items():
                found[f"{f.name}.{key}"] = replace(own, name=f"{f.name}.{key}")
        else:
            found[f.name] = replace(f.metadata["option"], name=f.name, kind=kinds[f.name])
    return found


def values_of(config: Configuration) -> dict[str, Any]:
    """Return the values of all options by their names, those of a group dotted."""
    return {name: attrgetter(name)(config) for name in options_of(type(config))}


def with_values(config: ConfigT, values: Mapping[str, Any]) -> ConfigT:
    """Return ``config`` with other ``values`` of some options, by their names, those of a group dotted."""
    parts = {
        key: replace(getattr(config, key), **value) if isinstance(value, dict) else value
        for key, value in nested(values).items()
    }
    return replace(config, **parts)  # type: ignore[type-var]


def differing(config: Configuration) -> frozenset[str]:
    """Return the names of the options whose values are not the defaults of their class."""
    known = options_of(type(config))
    return frozenset(name for name, value in values_of(config).items() if value != known[name].default)


def effective(config_class: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say something of what was learned and have an effect, by their names, as a card lists them.

    Left out are those of one machine, those that a card states elsewhere, and None. Whether an optimizer has a momentum is
    not known here.

    Args:
        config_class: of the options that are known; others are kept.
        values: of all options by their names, those of a group dotted.
    """
    known = options_of(config_class)

    def says_something(own: Option, value: Any) -> bool:
        if own.machine or own.stated or (own.unsaid is not None and value == own.unsaid):
            return False
        return own.counts_with is None or _holds(own.counts_with, known, values)

    return {
        name: value
        for name, value in values.items()
        if value is not None and (name not in known or says_something(known[name], value))
    }


def without_machine(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested options without those that say where and on what one machine trained, and not what."""
    names = {name for name, own in _all_options().items() if own.machine}

    def kept(level: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        return {
            key: kept(value, f"{prefix}{key}.") if isinstance(value, dict) else value
            for key, value in level.items()
            if prefix + key not in names
        }

    return kept(options, "")  # a group of which nothing is left stays as an empty one


def presuming(config: Configuration, need: Need) -> list[str]:
    """Return the names of the options in use that presume ``need``."""
    values = values_of(config)
    return [name for name, own in options_of(type(config)).items() if need in own.presumes and own.in_use(values[name])]


def in_use(config: Configuration, need: Need) -> list[str]:
    """Return the options in use that presume ``need``, as one types them: ["--mixup 0.2"]."""
    return [flag(name, attrgetter(name)(config)) for name in presuming(config, need)]


def refuse(config: Configuration, need: Need, because: str) -> None:
    """Raise ConfigError where options in use presume ``need``; ``because`` says why that is not to be had."""
    if flags := in_use(config, need):
        if len(flags) == 1:
            raise ConfigError(f"{flags[0]} needs {need.value}, {because}: leave it out.")
        raise ConfigError(f"{' and '.join(flags)} need {need.value}, {because}: leave them out.")


def giving_way(config: ConfigT, names: Collection[str], given: Collection[str]) -> ConfigT:
    """Return ``config`` with those of the options ``names`` that nobody gave as their class has them: a recipe's give way."""
    known = options_of(type(config))
    return with_values(config, {name: known[name].default for name in names if name not in given})


def stands_in_for(name: str) -> Set[str]:
    """Return the options that stand in the place of the option ``name``, which is not chosen where one of them is given."""
    return _all_options()[name].instead


def fitted_to(config: ConfigT, epochs: float, given: Collection[str] | None = None) -> ConfigT:
    """Return ``config`` with what is counted in epochs, such as the warmup, made shorter where the run is and nobody gave it.

    Args:
        epochs: of the run; they need not be whole.
        given: names of the options that the user gave; by default those that differ from the defaults.

    Raises:
        ConfigError: one that was given is not shorter than the run.
    """
    given = differing(config) if given is None else given
    shorter: dict[str, Any] = {}
    for name, own in options_of(type(config)).items():
        value = attrgetter(name)(config)
        if own.shrinks is None or value is None:
            continue
        if (max(value) if isinstance(value, tuple) else value) >= epochs:  # of milestones, the last one counts
            check(name not in given, name, value, f"less than {_length_words(config, epochs)}")
            shorter[name] = own.shrinks(epochs)
    return with_values(config, shorter)


def _length_words(config: Any, epochs: float) -> str:
    if config.epochs is not None:
        return flag("epochs", config.epochs)
    if config.steps is not None:
        return f"the {epochs_words(epochs)} of its {config.steps:,} steps; or give more of them"
    return f"the {epochs_words(epochs)} that such a data set gets by default; or give --epochs"


def _all_options() -> dict[str, Option]:
    """Return the options of every kind of configuration; ``botzoo.options`` imports those that are always there."""
    found: dict[str, Option] = {}
    kinds: list[type] = [Configuration]
    for kind in kinds:  # the list grows on the way, so that classes of any depth are found
        kinds += kind.__subclasses__()
        found |= {} if kind is Configuration else options_of(kind)
    return found
