"""Every error that botzoo raises for its user, as one tree.

A message is one line for the reader of a terminal: it names the bad value, the accepted ones and what to do. The command
line prints it without a traceback and ends with status 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from botzoo.util.outgoing import in_quotes, is_harmful, one_line, public, squeezed, without_secrets


class BotzooError(Exception):
    """Base of all errors that a user can act on.

    The sentence is made of ``message``, those of the ``accepted`` names that are close to ``value``, and ``cure``; who
    handles an error looks at these attributes and never at the sentence. No secret of an address is in it or in ``value``.

    Attributes:
        message: what is wrong, without the cure.
        value: what was wrong, where it is one value.
        accepted: the names that would have done, or words for them.
        cure: what to do.
    """

    def __init__(
        self, message: str, *, value: object = None, accepted: str | Iterable[str] = (), cure: str = ""
    ) -> None:
        self.message, self.value, self.cure = one_line(message), public(value), cure
        self.accepted = accepted if isinstance(accepted, str) else tuple(accepted)
        hint = "" if isinstance(self.accepted, str) else did_you_mean(str(value), self.accepted)
        # one argument, so that a process can hand it to another
        super().__init__(one_line(f"{message}{hint} {cure}".rstrip()))


class ConfigError(BotzooError, ValueError):
    """An option, recipe or combination of options that cannot be used."""


class DataError(BotzooError, ValueError):
    """A data set that cannot be found, read or trained on."""


class ModelError(BotzooError, ValueError):
    """A model name, tag or structure that does not exist or does not fit."""


class CheckpointError(BotzooError):
    """Weights or a training checkpoint that are missing, damaged or made for something else."""


class NetworkError(BotzooError):
    """The Hub cannot be reached or refuses the request.

    ``unreachable`` says that there is no answer at all, so that only what is on this machine can be had.
    """

    def __init__(self, message: str, *, unreachable: bool = False, cure: str = "") -> None:
        super().__init__(message, cure=cure)
        self.unreachable = unreachable


class PublishError(BotzooError):
    """A model that cannot be published as it is, or where it is to go."""


class DivergedError(BotzooError):
    """The loss became NaN or infinite."""


class LostProcessError(BotzooError):
    """A process that the run needs has died: one that decodes images, or another one of several that train."""


class StoppedError(BotzooError):
    """Training was asked to stop and has written a checkpoint; the cure is the command to resume.

    ``exit_status`` is 130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP, 131 after SIGQUIT.
    """

    def __init__(self, message: str, exit_status: int = 130, *, cure: str = "") -> None:
        super().__init__(message, cure=cure)
        self.exit_status = exit_status


def did_you_mean(value: str, accepted: Iterable[str]) -> str:
    """Return ``" Did you mean 'a' or 'b'?"`` for the accepted names closest to ``value``, or ``""`` if none is close."""
    by_lower = {name.lower().lstrip("-"): name for name in accepted}  # all flags are alike in their dashes
    close = [in_quotes(by_lower[name]) for name in get_close_matches(value.lower().lstrip("-"), by_lower)]
    return f" Did you mean {' or '.join(close)}?" if close else ""


def printable(text: str, longest: int = 200) -> str:
    """Return ``text`` on one line and without the control characters that would move a terminal's cursor."""
    plain = squeezed("".join(" " if is_harmful(c) else c for c in without_secrets(text)))
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"
