"""Calls of the Hub that come to an end: tried again where that may help, heard of while they last, given up in time."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, HfApi, constants, errors, get_session, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from botzoo.errors import BotzooError, NetworkError, PublishError
from botzoo.util.hub import (
    LONGEST_WAIT,
    Watch,
    answer_in,
    passing,
    refusal,
    storage_error,
    the_hub,
    unanswered,
    wait_asked,
)
from botzoo.util.text import brief

log = logging.getLogger("botzoo")

T = TypeVar("T")

WAITS = (1, 2, 4)
"""Seconds before each further try, where the Hub does not say how many."""


class MovedError(PublishError):
    """Somebody else made a commit while ours was on its way."""


class Connection:
    """The Hub's client for one repository; made by ``connected``.

    Attributes:
        api: the client.
        repo: owner/name.
    """

    def __init__(self, repo: str, api: HfApi) -> None:
        self.repo, self.api = repo, api
        self.watch, self._storage = Watch(the_hub(api.endpoint)), ""

    def ask(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns; try it again, after growing waits, where that may help.

        Raises:
            NetworkError: the Hub cannot be reached, has not answered for too long, or refuses.
            PublishError: there is no token, or the request is a wrong one.
        """
        with self.watch.running():
            for wait in (*WAITS, None):
                try:
                    return call()
                except BotzooError:
                    raise
                except Exception as error:
                    status, cause = answer_in(error)
                    seconds = self._wait(error, wait) if wait is not None else None
                    if seconds is None:
                        raise self._explained(error) from error
                    what = f"the Hub answers {status}" if status else f"the connection failed ({brief(cause, 80)})"
                    log.info("%-10s %s; trying again in %d s", "hub", what, seconds)
                    time.sleep(seconds)
            raise AssertionError  # without a further wait the loop has raised

    def send(self, files: Sequence[CommitOperationAdd]) -> None:
        """Send the large ones of ``files``, which no commit shows yet.

        Raises:
            BotzooError: as of ``ask``.
        """
        if not constants.HF_HUB_DISABLE_XET and find_spec("hf_xet"):
            # its own errors do not tell a wrong token from a storage that is down, and it retries both for minutes
            self._storage = self.ask(self._xet_storage)
        self.ask(lambda: self.api.preupload_lfs_files(self.repo, files, free_memory=False, num_threads=2))

    def _xet_storage(self) -> str:
        url = f"{self.api.endpoint}/api/models/{self.repo}/xet-write-token/main"
        answer = get_session().get(url, headers=build_hf_headers(token=self.api.token))
        hf_raise_for_status(answer)
        return str(answer.json().get("casUrl"))

    def _wait(self, error: Exception, usual: int) -> int | None:
        """Return the seconds after which another try may help, None where it will not or took too long already."""
        status, cause = answer_in(error)
        # within an upload the client has tried again by itself: of its own storage there are no other errors than these
        tried = isinstance(error, RuntimeError) or type(error) is ConnectionError
        if tried or isinstance(error, errors.OfflineModeIsEnabled | errors.LocalTokenNotFoundError):
            return None
        if passing(status):
            wait = wait_asked(getattr(cause, "response"))  # noqa: B009 (not every error has one)
            return usual if wait is None else wait if wait <= LONGEST_WAIT else None
        return usual if _no_answer(error) and self.watch.quiet <= self.watch.patience else None

    def _explained(self, error: Exception) -> BotzooError:
        """Return ours for an error of the Hub's client."""
        status, cause = answer_in(error)
        hub, again = the_hub(self.api.endpoint), "give the same command again when there is a connection; it goes on."
        said = brief(getattr(cause, "server_message", None) or cause)
        if status == 412:
            return MovedError(
                f"Somebody else changed {self.repo} meanwhile; this changed nothing: look at it and try again."
            )
        if status == 400:
            return PublishError(f"T{hub[1:]} refuses {self.repo}: {said}.")
        if refused := refusal(self.repo, error, endpoint=self.api.endpoint):
            return refused
        in_time = type(error) is ConnectionError
        if in_time or (self.watch.gave_up and not _no_answer(error)):
            what = f"cannot be reached ({said})" if in_time else f"has taken nothing for {self.watch.patience:.0f} s"
            return storage_error(f"The storage of {hub} for large files, {self._storage}, {what}", "; it goes on")
        if _no_answer(error):
            return NetworkError(f"T{hub[1:]} cannot be reached ({said}): {again}", unreachable=True)
        if isinstance(error, errors.HfHubHTTPError | ValueError):
            return PublishError(f"T{hub[1:]} refuses {self.repo}: {said}.")
        return NetworkError(f"{self.repo} cannot be published: {said}.")


def _no_answer(error: Exception) -> bool:
    """Tell whether the connection is to blame, or a proxy that sends a page where an answer was expected."""
    return isinstance(error, json.JSONDecodeError) or unanswered(error)


@contextmanager
def connected(repo: str, api: HfApi | None = None) -> Iterator[Connection]:
    """Give a connection for ``repo``, with the client for the user's own settings, or ``api``.

    Raises:
        ConfigError: BOTZOO_HUB_SECONDS is no number above 0.
    """
    hub = Connection(repo, api or HfApi())
    with hub.watch.kept():
        yield hub
