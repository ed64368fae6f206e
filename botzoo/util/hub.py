"""What the Hub answers to a request that failed, told alike wherever we read or write: one table from answers to causes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.error import URLError

from huggingface_hub import constants, errors

from botzoo.errors import BotzooError, ModelError, NetworkError, PublishError
from botzoo.util.text import brief


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
        return NetworkError(f"{address} is gated: accept its terms on its page on {hub}, then run `hf auth login`.")
    if isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError):
        return ModelError(f"There is no {what} {address} on {hub}, or it is private: log in with `hf auth login`.")
    if status is None or status < 400 or isinstance(error, errors.EntryNotFoundError):
        return None
    hub = f"T{hub[1:]}"
    if status == 401:
        return NetworkError(f"{hub} does not know the token: log in anew with `hf auth login`, or mend HF_TOKEN.")
    if passing(status):
        return NetworkError(f"{hub} cannot serve {address} now (status {status}): give the same command again later.")
    said = brief(Exception(getattr(error, "server_message", None) or f"status {status}"))
    return NetworkError(f"{hub} refuses {address} ({said}): mend that, or give another name.")


def passing(status: int | None) -> bool:
    """Tell whether the same request may be answered in a while: too many for now, or the server has trouble."""
    return status is not None and (status == 429 or status >= 500)


def unanswered(error: BaseException) -> bool:
    """Tell whether there was no answer: the connection or offline mode is to blame."""
    known = (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError, URLError)
    clients = ("httpx", "httpx2")  # huggingface_hub has changed its HTTP client more than once
    blamed = (isinstance(e, known) or type(e).__module__.split(".")[0] in clients for e in _causes(error))
    return answer_in(error)[0] is None and any(blamed)
