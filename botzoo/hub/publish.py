"""Publishing on the Hugging Face Hub: one commit or none, and the same command goes on where the network failed.

A new repository is private until everything is in it. The token is the client's own business: it is neither read nor shown
here.
"""

import json
import logging
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from accelerate import PartialState
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo, errors
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils.sha import git_hash

from botzoo import __version__
from botzoo.errors import BotzooError, PublishError, printable
from botzoo.hub.connection import Connection, MovedError, connected
from botzoo.hub.package import FILES, RECORD, Package, pack
from botzoo.models.create import Network
from botzoo.models.licence import combined_license
from botzoo.training.callbacks import Callback
from botzoo.training.state import Run
from botzoo.util.files import read_json, write_json
from botzoo.util.outgoing import in_quotes, without_secrets

log = logging.getLogger("botzoo")


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
    with connected(repo, api) as hub:
        _check_token(hub)
        info = _info(hub)
    if info is not None:
        _check_visibility(info, private, to_open=False)
    return info.sha if info is not None else None


def check_place(repo: str, folder: Path | None, *, api: HfApi | None = None) -> None:
    """Check that what is in ``repo``, if anything, was published from the model folder ``folder``.

    Raises:
        PublishError: it was not, or its card was edited since.
        NetworkError: the Hub cannot be reached or refuses.
    """
    with connected(repo, api) as hub:
        if (info := _info(hub)) is not None:
            published, _ = _recorded(folder, _page(hub)) if folder is not None else (None, False)
            _refuse_strange(hub, info, published)


def publish(
    package: Package,
    *,
    private: bool = False,
    tag: str | None = None,
    parent: str | None = None,
    replace: bool = False,
    api: HfApi | None = None,
) -> Published:
    """Put the package on the Hub in one commit, which gets the ``tag``, and return where it is.

    What is there already is not sent again: neither large files that a failed attempt has sent, nor a commit that changes
    nothing.

    Args:
        private: for its owner only; a repository that exists must be so already.
        parent: commit that the repository must be at; by default the one that this folder has published last, if any.
        replace: whether what was not published from this folder, or whose card was edited since, may be replaced.
        api: the client, where it is not the one for the user's own settings.

    Raises:
        PublishError: the token may not write there, or the repository or its tag is not as expected; nothing was changed.
        NetworkError: the Hub cannot be reached or refuses; what is visible there is whole, and the same call goes on.
    """
    with connected(package.repo, api) as hub:
        _check_token(hub)
        return _publish(package, hub, private, tag, parent, replace)


def _publish(
    package: Package, hub: Connection, private: bool, tag: str | None, parent: str | None, replace: bool
) -> Published:
    api, url = hub.api, _page(hub)
    published, unopened = _recorded(package.folder, url)
    info = _info(hub)
    if info is None:  # it is private while it is filled, so that nobody sees a half of it
        hub.ask(lambda: api.create_repo(package.repo, private=True, exist_ok=True))
        info = hub.ask(lambda: api.model_info(package.repo, files_metadata=True))
        published, unopened = info.sha, not private
        _record(package.folder, url, published, to_open=unopened)
        log.info("%-10s %s is new", "repository", package.repo)
    if info.id != package.repo:
        log.info("%-10s %s is called %s now; its old name leads there", "repository", package.repo, info.id)
    to_open, held = _check_visibility(info, private, unopened), _holds(info, package)
    head, expected = str(info.sha), parent or published
    if not held and not replace:
        _refuse_strange(hub, info, published)
    if expected not in (None, head) and not held and (parent is not None or not replace):
        raise PublishError(
            f"{info.id} has moved since: it is at {head}, not at {expected}. Look at what changed there; to go on top of it, "
            f"add --parent {head}."
        )
    if tag is not None:  # before the commit, so that nothing changes where it is taken by another state
        refs = hub.ask(lambda: api.list_repo_refs(package.repo))
        taken = {ref.name: ref.target_commit for ref in refs.tags}.get(tag)
        if taken is not None and not (taken == head and held):
            raise PublishError(f"{info.id} has a tag {tag} already, at {taken}: give another --tag.")
    commit = head if held else _commit(package, info, head, hub)
    _record(package.folder, url, commit, to_open=to_open)
    if tag is not None:
        hub.ask(lambda: api.create_tag(package.repo, tag=tag, revision=commit, exist_ok=True))
    if to_open:
        hub.ask(lambda: api.update_repo_settings(package.repo, private=False))
        _record(package.folder, url, commit, to_open=False)
    return Published(url, commit, commit != head)


def _page(hub: Connection) -> str:
    return without_secrets(f"{hub.api.endpoint}/{hub.repo}")  # as published.json has it


def _check_token(hub: Connection) -> None:
    """Refuse a token that cannot write in the namespace of the repository."""
    user = hub.ask(hub.api.whoami)
    token = user.get("auth", {}).get("accessToken", {})
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and "repo.write" not in json.dumps(token)):
        tokens = f"{hub.api.endpoint}/settings/tokens"
        raise PublishError(f"The token only reads: make one that may write at {tokens}, then run `hf auth login`.")
    owner = hub.repo.split("/")[0]
    owners = [user["name"], *(org["name"] for org in user.get("orgs", []) if org.get("roleInOrg") != "read")]
    if owner not in owners:
        raise PublishError(
            f"{hub.repo} is not yours to write: with your token the owner must be {' or '.join(owners)}."
        )


def _info(hub: Connection, commit: str | None = None) -> ModelInfo | None:
    """Return what the repository holds, at its newest commit or at another one; None where there is no such."""

    def look() -> ModelInfo | None:
        try:
            return hub.api.model_info(hub.repo, revision=commit, files_metadata=True)
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
            return None

    return hub.ask(look)


def _there(info: ModelInfo) -> dict[str, RepoSibling]:
    """Return the files in the repository by name, but the one that the Hub makes itself."""
    return {file.rfilename: file for file in info.siblings or [] if file.rfilename != ".gitattributes"}


def _check_visibility(info: ModelInfo, private: bool, to_open: bool) -> bool:
    """Return whether the repository is to become public at the end; only one that was empty ever does."""
    if private and not info.private:
        raise PublishError(f"{info.id} is public: leave --private out, or make it private in its settings first.")
    if not private and info.private and (_there(info) and not to_open):
        raise PublishError(f"{info.id} is private: add --private, or make it public in its settings first.")
    return bool(not private and info.private)


def _refuse_strange(hub: Connection, info: ModelInfo, published: str | None) -> None:
    """Refuse to take the place of what is not from this folder, or of a card that somebody has edited there since.

    Args:
        published: the commit that this folder has published last, if any.
    """
    if not _there(info) or published == info.sha:
        return
    before = _info(hub, published) if published is not None else None
    if before is not None and _card_in(before) == _card_in(info):
        return
    what = "was not published from this folder" if published is None else "was edited since this folder published it"
    when = f" of {info.last_modified:%Y-%m-%d}" if info.last_modified else ""
    raise PublishError(
        f"{info.id} holds {_title(hub, info)}, which {what}; its newest commit is {info.sha}{when}. Look at {_page(hub)}; to "
        "put this in its place give botzoo publish --replace, else give another name."
    )


def _card_in(info: ModelInfo) -> str | None:
    card = _there(info).get("README.md")
    return card.blob_id if card is not None else None


def _title(hub: Connection, info: ModelInfo) -> str:
    """Return the first heading of the card that is there."""
    if "README.md" not in _there(info):
        return f"{len(_there(info))} files without a card"
    file = hub.ask(lambda: hub.api.hf_hub_download(hub.repo, "README.md", revision=info.sha))
    found = re.search(r"^# (.+)", Path(file).read_text(encoding="utf-8", errors="replace"), re.M)
    return f"the card {in_quotes(printable(found[1], 60))}" if found else "a card without a title"


def _holds(info: ModelInfo, package: Package) -> bool:
    """Tell whether all files of the package, and none but those of the list, are in the repository as they are."""
    there = _there(info)
    for name, content in package.files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        file = there.get(name)
        lfs = file.lfs.sha256 if file is not None and file.lfs is not None else None
        if file is None or (sha256(data).hexdigest() != lfs if lfs else git_hash(data) != file.blob_id):
            return False
    return not set(there) & (set(FILES) - set(package.files))


def _commit(package: Package, info: ModelInfo, head: str, hub: Connection) -> str:
    """Send what is not there yet, then make it visible in one commit on top of ``head``; return the newest commit."""
    adds = [CommitOperationAdd(name, content) for name, content in package.files.items()]
    gone = [CommitOperationDelete(name) for name in sorted(set(_there(info)) & (set(FILES) - set(package.files)))]
    message = f"Publish {package.repo.split('/')[1]} with botzoo {__version__}"
    hub.send(adds)
    try:
        made = hub.ask(
            lambda: hub.api.create_commit(package.repo, [*adds, *gone], commit_message=message, parent_commit=head)
        )
        return str(made.oid)
    except MovedError:  # perhaps by ourselves, if the answer to an earlier try was lost
        now = _info(hub)
        if now is None or not _holds(now, package):
            raise
        return str(now.sha)


def _records(folder: Path) -> dict[str, Any]:
    """Return what the folder has published where, as its published.json says; only the checks above depend on it."""
    try:
        return dict(read_json(folder / RECORD))
    except (OSError, ValueError, TypeError):
        return {}


def _recorded(folder: Path, url: str) -> tuple[str | None, bool]:
    """Return the commit that the folder has published last at ``url``, if any, and whether it was still to be made public."""
    kept = _records(folder).get(url)
    kept = kept if isinstance(kept, dict) else {}
    commit = kept.get("commit")
    known = isinstance(commit, str) and re.fullmatch("[0-9a-f]{40}", commit)
    return commit if known else None, kept.get("to_open") is True


def _record(folder: Path, url: str, commit: str | None, *, to_open: bool) -> None:
    kept = {"commit": commit, **({"to_open": True} if to_open else {})}
    with suppress(OSError):  # a folder that cannot be written can be published all the same
        write_json(folder / RECORD, _records(folder) | {url: kept})


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

    def on_train_start(self, run: Run) -> None:
        """Refuse to take the place of what this run has not published; only one that goes on has a folder by now."""
        if run.is_main and self.head is not None:
            check_place(self.repo, run.place / "model" if run.place is not None else None)

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
