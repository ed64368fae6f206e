"""Publishing on the Hugging Face Hub: one commit or none, and the same command goes on where the network failed.

A new repository is private until everything is in it. The token is the client's own business: it is neither read nor shown
here.
"""

import json
import logging
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo, errors
from huggingface_hub.utils.sha import git_hash

from botzoo import __version__
from botzoo.errors import BotzooError, NetworkError, PublishError
from botzoo.hub.package import FILES, RECORD, Package, pack
from botzoo.models.create import Network
from botzoo.models.licence import combined_license
from botzoo.models.loading import explain_refusal
from botzoo.models.pretrained import is_network_error
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run
from botzoo.util.files import write_json
from botzoo.util.text import brief

log = logging.getLogger("botzoo")

T = TypeVar("T")

WAITS = (1, 2, 4)
"""Seconds before each further try, where the Hub does not say how many."""

LONGEST_WAIT = 120
"""Seconds that the Hub may ask us to wait."""

TOKENS = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Published:
    """The repository's page, its commit that holds the package, and whether that was made now or was there already."""

    url: str
    commit: str
    changed: bool


def check_access(repo: str, *, private: bool = False, api: HfApi | None = None) -> str | None:
    """Check that ``publish`` may write to ``repo``, as far as can be known before, and return its newest commit, if any.

    Raises:
        PublishError: there is no token, it only reads, the owner is neither its user nor an organization of theirs, or the
            repository is public and should be private, or the other way round.
        NetworkError: the Hub cannot be reached or refuses the token.
    """
    api = api or HfApi()
    _check_token(repo, api)
    info = _info(repo, api)
    if info is not None:
        _check_visibility(info, private, to_open=False)
    return info.sha if info is not None else None


def publish(
    package: Package,
    *,
    private: bool = False,
    tag: str | None = None,
    parent: str | None = None,
    api: HfApi | None = None,
) -> Published:
    """Put the package on the Hub in one commit, which gets the ``tag``, and return where it is.

    What is there already is not sent again: neither large files that a failed attempt has sent, nor a commit that changes
    nothing.

    Args:
        private: for its owner only; a repository that exists must be so already.
        parent: commit that the repository must be at; by default the one that this folder has published last, if any.
        api: the client, where it is not the one for the user's own settings.

    Raises:
        PublishError: the token may not write there, or the repository or its tag is not as expected; nothing was changed.
        NetworkError: the Hub cannot be reached or refuses; what is visible there is whole, and the same call goes on.
    """
    api = api or HfApi()
    _check_token(package.repo, api)
    url = f"{api.endpoint}/{package.repo}"
    before = _records(package.folder).get(url, {})
    published, unopened = before.get("commit"), bool(before.get("to_open"))
    info = _info(package.repo, api)
    if info is None:  # it is private while it is filled, so that nobody sees a half of it
        _retried(lambda: api.create_repo(package.repo, private=True, exist_ok=True), package.repo)
        info = _retried(lambda: api.model_info(package.repo, files_metadata=True), package.repo)
        published, unopened = info.sha, not private
        _record(package.folder, url, published, to_open=unopened)
        log.info("%-10s %s is new", "repository", package.repo)
    to_open = _check_visibility(info, private, unopened)
    head, expected = str(info.sha), parent or published
    if expected not in (None, head) and not _holds(info, package):
        raise PublishError(
            f"{info.id} has moved since: it is at {head}, not at {expected}. Look at what changed there; to go on top of it, "
            f"add --parent {head}."
        )
    if tag is not None:  # before the commit, so that nothing changes where it is taken by another state
        refs = _retried(lambda: api.list_repo_refs(package.repo), package.repo)
        taken = {ref.name: ref.target_commit for ref in refs.tags}.get(tag)
        if taken is not None and not (taken == head and _holds(info, package)):
            raise PublishError(f"{info.id} has a tag {tag} already, at {taken}: give another --tag.")
    commit = _commit(package, info, head, api)
    _record(package.folder, url, commit, to_open=to_open)
    if tag is not None:
        _retried(lambda: api.create_tag(package.repo, tag=tag, revision=commit, exist_ok=True), package.repo)
    if to_open:
        _retried(lambda: api.update_repo_settings(package.repo, private=False), package.repo)
        _record(package.folder, url, commit, to_open=False)
    return Published(url, commit, commit != head)


def _check_token(repo: str, api: HfApi) -> None:
    """Refuse a token that cannot write in the namespace of ``repo``."""
    user = _retried(api.whoami, repo)
    token = user.get("auth", {}).get("accessToken", {})
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and "repo.write" not in json.dumps(token)):
        raise PublishError(f"The token only reads: make one that may write at {TOKENS}, then run `hf auth login`.")
    owner = repo.split("/")[0]
    owners = [user["name"], *(org["name"] for org in user.get("orgs", []) if org.get("roleInOrg") != "read")]
    if owner not in owners:
        raise PublishError(f"{repo} is not yours to write: with your token the owner must be {' or '.join(owners)}.")


def _info(repo: str, api: HfApi) -> ModelInfo | None:
    def look() -> ModelInfo | None:
        try:
            return api.model_info(repo, files_metadata=True)
        except errors.RepositoryNotFoundError:
            return None

    return _retried(look, repo)


def _check_visibility(info: ModelInfo, private: bool, to_open: bool) -> bool:
    """Return whether the repository is to become public at the end; only one that was empty ever does."""
    empty = {file.rfilename for file in info.siblings or []} <= {".gitattributes"}  # which the Hub makes itself
    if private and not info.private:
        raise PublishError(f"{info.id} is public: leave --private out, or make it private in its settings first.")
    if not private and info.private and not (to_open or empty):
        raise PublishError(f"{info.id} is private: add --private, or make it public in its settings first.")
    return bool(not private and info.private)


def _holds(info: ModelInfo, package: Package) -> bool:
    """Tell whether all files of the package, and none but those of the list, are in the repository as they are."""
    there = {file.rfilename: file for file in info.siblings or []}
    for name, content in package.files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        file = there.get(name)
        lfs = file.lfs.sha256 if file is not None and file.lfs is not None else None
        if file is None or (sha256(data).hexdigest() != lfs if lfs else git_hash(data) != file.blob_id):
            return False
    return not set(there) & (set(FILES) - set(package.files))


def _commit(package: Package, info: ModelInfo, head: str, api: HfApi) -> str:
    """Send what is not there yet, then make it visible in one commit on top of ``head``; return the newest commit."""
    gone = {file.rfilename for file in info.siblings or []} & (set(FILES) - set(package.files))

    def send() -> str:
        adds = [CommitOperationAdd(name, content) for name, content in package.files.items()]
        deletions = [CommitOperationDelete(name) for name in sorted(gone)]
        message = f"Publish {package.repo.split('/')[1]} with botzoo {__version__}"
        made = api.create_commit(
            package.repo, [*adds, *deletions], commit_message=message, parent_commit=head, num_threads=2
        )
        return made.oid

    try:
        return _retried(send, package.repo)
    except _MovedError:  # perhaps by ourselves, if the answer to an earlier try was lost
        now = _info(package.repo, api)
        if now is None or not _holds(now, package):
            raise
        return str(now.sha)


class _MovedError(PublishError):
    """Somebody else made a commit while ours was on its way."""


def _records(folder: Path) -> dict[str, Any]:
    """Return what the folder has published where, as its published.json says; only the checks above depend on it."""
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _record(folder: Path, url: str, commit: str | None, *, to_open: bool) -> None:
    kept = {"commit": commit, **({"to_open": True} if to_open else {})}
    with suppress(OSError):  # a folder that cannot be written can be published all the same
        write_json(folder / RECORD, _records(folder) | {url: kept})


def _retried(call: Callable[[], T], repo: str) -> T:
    """Return what ``call`` returns; try it again, after growing waits, where that may help."""
    for wait in (*WAITS, None):
        try:
            return call()
        except BotzooError:
            raise
        except Exception as error:
            inner = error.__cause__ if isinstance(error, RuntimeError) else None  # the client wraps errors of an upload
            cause = inner if isinstance(inner, Exception) else error
            seconds = _wait(cause, wait) if wait is not None else None
            if seconds is None:
                raise _explain(repo, cause) from error
            status = _status(cause)
            what = f"the Hub answers {status}" if status else f"the connection failed ({brief(cause, 80)})"
            log.info("%-10s %s; trying again in %d s", "hub", what, seconds)
            time.sleep(seconds)
    raise AssertionError  # without a further wait the loop has raised


def _status(error: Exception) -> int | None:
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def _no_answer(error: Exception) -> bool:
    """Tell whether the connection is to blame, or a proxy that sends a page where an answer was expected."""
    return isinstance(error, json.JSONDecodeError) or (_status(error) is None and is_network_error(error))


def _wait(error: Exception, usual: int) -> int | None:
    """Return the seconds after which another try may help, None where it will not."""
    if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalTokenNotFoundError):
        return None
    if (status := _status(error)) is not None and (status == 429 or status >= 500):
        asked = getattr(error, "response").headers.get("Retry-After", "")  # noqa: B009 (not every error has one)
        wait = int(asked) if asked.isdigit() else usual
        return wait if wait <= LONGEST_WAIT else None
    return usual if _no_answer(error) else None


def _explain(repo: str, error: Exception) -> BotzooError:
    """Return ours for an error of the Hub's client."""
    status, said = _status(error), brief(Exception(getattr(error, "server_message", None) or str(error)))
    refusal = explain_refusal(repo, error)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return PublishError(f"There is no token: make one that may write at {TOKENS}, then run `hf auth login`.")
    if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
        return NetworkError("The Hub does not know the token: log in anew with `hf auth login`, or mend HF_TOKEN.")
    if status == 412:
        return _MovedError(f"Somebody else changed {repo} meanwhile; this changed nothing: look at it and try again.")
    if refusal is not None:
        return refusal
    if status in (402, 403, 413):
        return NetworkError(f"The Hub refuses {repo} ({said}) and shows nothing of it: mend that, or change --repo.")
    if status == 429 or (status or 0) >= 500:
        return NetworkError(f"The Hub cannot take {repo} now (status {status}): give the same command again later.")
    if _no_answer(error):
        again = "give the same command again when there is a connection; it goes on."
        return NetworkError(f"The Hub cannot be reached ({said}): {again}", unreachable=True)
    if isinstance(error, errors.HfHubHTTPError | ValueError):
        return PublishError(f"The Hub refuses {repo}: {said}.")
    return NetworkError(f"{repo} cannot be published: {said}.")


class Publish(Callback):
    """Publishes the model of a run at its end, in owner/name; what can be refused is refused before the first step."""

    def __init__(self, repo: str, *, private: bool = False) -> None:
        self.repo, self.private = repo, private
        self.head: str | None = None

    def on_network(self, network: Network) -> None:
        """Ask the Hub, from the first process alone, whether it lets us; note the commit to go on top of."""
        if PartialState().is_main_process:
            self.head = check_access(self.repo, private=self.private)

    def on_setup(self, run: Run) -> None:
        """Refuse a run whose model could not be published for want of a licence."""
        start, data = run.network.start, run.data
        if combined_license(start.license, data.license, run.config.license) is None:
            raise PublishError(
                f"--push-to {self.repo} needs a licence: choose one with --license, such as apache-2.0. It starts from "
                f"{start.source} (licence: {start.license or 'none known'}); data: {data.license or 'none known'}."
            )

    def on_finish(self, run: Run) -> None:
        """Publish the model folder, whose card is written by now."""
        if not run.is_main:
            return
        try:
            package = pack(run.folder, self.repo)
            done = publish(package, private=self.private, parent=self.head)
        except BotzooError as error:
            private, model = ["--private"] if self.private else [], run.folder / "model"
            again = shlex.join(["botzoo", "publish", str(run.folder), "--repo", self.repo, *private])
            raise PublishError(f"The model is whole in {model}. {error} To publish it: {again}") from error
        log.info("%-10s %s", "published", done.url)
        if package.temperature is not None:
            log.info("%-10s temperature %s", "", package.temperature)
