"""What the Hub answers to a request that failed, told alike wherever we read or write: one table from answers to causes.

And the watch on its storage for large files, whose own client retries for minutes without a word.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any
from urllib.error import URLError

from huggingface_hub import constants, errors

from botzoo.errors import BotzooError, ModelError, NetworkError, PublishError
from botzoo.util.environment import number
from botzoo.util.private import watched_client
from botzoo.util.text import brief

log = logging.getLogger("botzoo")

BEAT = 10
"""Seconds after which a call that lasts is heard of, again and again."""

LONGEST_WAIT = 120
"""Seconds that the Hub may ask us to wait."""


def the_hub(endpoint: str | None = None) -> str:
    """Return "the Hub", with its address where HF_ENDPOINT, or ``endpoint``, names another than the usual one."""
    address = endpoint or constants.ENDPOINT
    return "the Hub" if address == "https://huggingface.co" else f"the Hub at {address}"


def hub_page(repo: str) -> str:
    """Return the address of a model's page."""
    return f"{constants.ENDPOINT}/{repo}"


def answer_in(error: BaseException) -> tuple[int | None, BaseException]:
    """Return the status of the Hub's answer that ``error`` or what it was raised from holds, and the error that holds it.

    The status is None where there was no answer.
    """
    for cause in _causes(error):
        if (status := getattr(getattr(cause, "response", None), "status_code", None)) is not None:
            return int(status), cause
    return None, error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def refusal(address: str, error: BaseException, what: str = "model", endpoint: str | None = None) -> BotzooError | None:
    """Return ours for what the Hub answers to a request for ``address``.

    None where there was no answer, where the answer was good, or where a single file is missing.
    """
    status, error = answer_in(error)
    hub = the_hub(endpoint)
    if isinstance(error, errors.LocalTokenNotFoundError):
        tokens = f"{endpoint or constants.ENDPOINT}/settings/tokens"
        return PublishError(f"There is no token: make one that may write at {tokens}, then run `hf auth login`.")
    if isinstance(error, errors.GatedRepoError):  # a RepositoryNotFoundError too, so that it comes first
        return NetworkError(gated(address, endpoint))
    if isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError):
        return ModelError(f"There is no {what} {address} on {hub}, or it is private: log in with `hf auth login`.")
    if status is None or status < 400 or isinstance(error, errors.EntryNotFoundError):
        return None
    hub = f"T{hub[1:]}"
    if status == 401:
        return NetworkError(f"{hub} does not know the token: log in anew with `hf auth login`, or mend HF_TOKEN.")
    if passing(status):
        return NetworkError(f"{hub} cannot serve {address} now (status {status}): give the same command again later.")
    said = brief(getattr(error, "server_message", None) or f"status {status}")
    return NetworkError(f"{hub} refuses {address} ({said}): mend that, or give another name.")


def gated(address: str, endpoint: str | None = None) -> str:
    """Return what is said of a repository whose terms have to be accepted."""
    return f"{address} is gated: accept its terms on its page on {the_hub(endpoint)}, then run `hf auth login`."


def passing(status: int | None) -> bool:
    """Tell whether the same request may be answered in a while: too many for now, or the server has trouble."""
    return status is not None and (status == 429 or status >= 500)


def unanswered(error: BaseException) -> bool:
    """Tell whether there was no answer: the connection or offline mode is to blame."""
    known = (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError, URLError)
    clients = ("httpx", "httpx2")  # huggingface_hub has changed its HTTP client more than once
    blamed = (isinstance(e, known) or type(e).__module__.split(".")[0] in clients for e in _causes(error))
    return answer_in(error)[0] is None and any(blamed)


def patience() -> float:
    """Return the seconds without any progress after which we give up: ``$BOTZOO_HUB_SECONDS``, by default 100.

    Raises:
        ConfigError: it is no number above 0.
    """
    return number("BOTZOO_HUB_SECONDS")


def wait_asked(response: Any) -> int | None:
    """Return the seconds that an answer of the Hub asks us to wait, None where it says nothing of it."""
    asked = response.headers.get("Retry-After", "")
    return int(asked) if asked.isdecimal() else None


class Watch:
    """How long calls of the Hub have made no progress: heard of while it lasts, and ended in time.

    Attributes:
        patience: seconds without progress after which calls are ended.
        gave_up: whether the calls that started last were ended.
        failed: whether any of them has ended with an error.
    """

    def __init__(self, hub: str) -> None:
        self.patience, self.gave_up, self.failed = patience(), False, False
        self._hub, self._running, self._since = hub, 0, 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch the call within the block; several may be on their way."""
        if not self._running:
            self.gave_up = self.failed = False
            self.heard()
        self._running += 1
        try:
            yield
        except Exception:
            self.failed = True
            raise
        finally:
            self._running -= 1

    def heard(self) -> None:
        """Note progress."""
        self._since = time.monotonic()

    def answered(self, response: Any) -> None:
        """Note an answer; what it asks us to wait is no silence."""
        self._since = time.monotonic() + min(wait_asked(response) or 0, LONGEST_WAIT)

    @property
    def quiet(self) -> float:
        """Seconds without progress; below 0 while we wait because we were asked to."""
        return time.monotonic() - self._since

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Watch what is called within the block."""
        over = Event()
        # five times fit into our patience: the client tries an upload up to six times
        with watched_client(self.patience / 5, self) as abort:

            def look() -> None:
                while not over.wait(min(BEAT, self.patience / 4)):
                    if not self._running:
                        continue
                    quiet = self.quiet
                    said = f"{quiet:.0f} s without progress" if quiet > 0 else f"trying again in {-quiet:.0f} s"
                    log.warning("%-10s waiting for %s, %s", "hub", self._hub, said)
                    if quiet > self.patience:
                        self.gave_up = True
                        abort()

            thread = Thread(target=look, daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()


@contextmanager
def reading(repo: str) -> Iterator[None]:
    """Watch downloads from a repository within the block.

    Raises:
        ConfigError: BOTZOO_HUB_SECONDS is no number above 0.
        NetworkError: the storage for large files cannot be reached, or has sent nothing for too long.
    """
    watch = Watch(the_hub())
    try:
        with watch.kept():
            yield
    except Exception as error:
        if not watch.failed:  # that a download from the storage did, its own errors do not tell
            raise
        why = f"has sent nothing for {watch.patience:.0f} s" if watch.gave_up else f"cannot be read ({brief(error)})"
        large = f"{repo} cannot be downloaded: the storage of {the_hub()} for large files"
        raise storage_error(f"{large} {why}") from error


def storage_error(what: str, then: str = "") -> NetworkError:
    """Return what is said of a storage for large files that is dead or silent."""
    again = f"give the same command again when there is a connection{then}."
    other = "HF_HUB_DISABLE_XET=1 goes another way, BOTZOO_HUB_SECONDS=600 waits longer."
    return NetworkError(f"{what}: {again} {other}", unreachable=bool(then))
