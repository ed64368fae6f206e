"""A double of the Hugging Face Hub on 127.0.0.1, for the real clients to talk to.

It proves our code and the clients, not the Hub's own rules: it answers as the Hub was seen to answer. Accounts, repositories
and faults are set by the test; every request is recorded. Large files are kept at http://localhost, another host than the
API's 127.0.0.1, as the Hub keeps them elsewhere: a token that arrives there has leaked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import huggingface_hub
import pytest
import yaml
from hf_xet import XetFileInfo, XetSession

LFS_SUFFIXES = (".safetensors", ".parquet", ".tar", ".bin", ".pt", ".pth", ".npy", ".zip")
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
REGULAR_BYTES = 10 * 2**20
LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "other")
NO_CREDENTIALS = "Invalid credentials in Authorization header"
LFS_JSON = "application/vnd.git-lfs+json"


def git_sha(data: bytes) -> str:
    """Return the id that git gives to a file of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Repo:
    """One repository: its commits, the newest last, each with all of its files."""

    id: str
    kind: str = "model"
    private: bool = False
    gated: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], message: str) -> str:
        text = json.dumps([self.id, len(self.commits), message, {name: sha256(data) for name, data in files.items()}])
        self.commits.append((hashlib.sha1(text.encode()).hexdigest(), files))
        self.messages.append(message)
        return self.head

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return commit and files of a branch, tag or commit, None where there is none."""
        sha = self.head if revision == "main" else self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit[0] == sha), None)


@dataclass
class Fault:
    """What happens to the next ``times`` requests that match, in place of the answer.

    Attributes:
        cut: close the connection: "request" in the middle of what is sent, "answer" in the middle of the answer, "after" the
            request was carried out, without any answer.
    """

    method: str
    path: str
    status: int = 503
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "Internal Server Error"
    cut: str | None = None

    def matches(self, method: str, path: str) -> bool:
        return self.times > 0 and method == self.method and re.search(self.path, path) is not None


@dataclass(frozen=True)
class Request:
    """A request as it came in; ``body`` of uploads is their length only."""

    method: str
    host: str
    path: str
    token: str | None
    sent: int


class HubDouble:
    """The server with all that it holds; its methods are for the test.

    The token "hf_write" may write and "hf_read" only read, both of the user "me" who belongs to the organization "team";
    "hf_other" is the user "other"'s.
    """

    def __init__(self) -> None:
        self.tokens = {"hf_write": ("me", "write"), "hf_read": ("me", "read"), "hf_other": ("other", "write")}
        self.orgs = {"me": ["team"], "other": []}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.sizes: dict[str, int] = {}  # that were stated before the large files came
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.lock = threading.RLock()
        self.xet = "http://127.0.0.1:9"  # where the client is sent to with large files, local:///FOLDER for a folder
        self.renamed: dict[str, str] = {}  # old to new names of repositories
        self.hang: str | None = None  # requests whose path holds this regular expression are never answered
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.double = self
        self.port = self.server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.storage = f"http://localhost:{self.port}"
        self.xet_read = f"{self.storage}/xet"  # where it is sent to for them

    def add(self, repo_id: str, files: dict[str, bytes], *, kind: str = "model", **settings: Any) -> Repo:
        """Put a repository there that holds ``files``."""
        repo = Repo(repo_id, kind, **settings)
        repo.commit({".gitattributes": GITATTRIBUTES, **files}, "initial commit")
        self.lfs |= {sha256(data): data for name, data in files.items() if is_large(name, data, repo.files)}
        self.repos[kind, repo_id] = repo
        return repo

    def repo(self, repo_id: str) -> Repo:
        return self.repos["model", repo_id]

    def rename(self, old: str, new: str, kind: str = "model") -> None:
        """Give a repository another name; requests for the old one are sent on, as the Hub does."""
        self.repos[kind, new], self.renamed[old] = self.repos.pop((kind, old)), new

    def fail(self, method: str, path: str, status: int = 503, times: int = 1, **how: Any) -> None:
        """Let the next ``times`` requests whose path holds the regular expression ``path`` fail."""
        self.faults.append(Fault(method, path, status, times, **how))

    def seen(self, method: str, path: str = "") -> list[Request]:
        """Return the requests so far of this method whose path holds ``path``."""
        return [r for r in self.requests if r.method == method and re.search(path, r.path)]

    @property
    def written(self) -> list[Request]:
        """The requests so far that change something on the Hub or send it something to keep."""
        checks = ("/preupload/", "/validate-yaml", "/objects/batch", "/verify", "/paths-info/")
        changes = [r for method in ("POST", "PUT", "DELETE", "PATCH") for r in self.seen(method)]
        return [r for r in changes if not any(check in r.path for check in checks)]

    @staticmethod
    def oid(data: bytes) -> str:
        """Return the id under which the storage keeps a large file."""
        return sha256(data)

    def large(self, oid: str, size: int) -> bytes | None:
        """Return a large file by its SHA-256, from the storage or from the Xet storage where that is a folder."""
        if oid not in self.lfs and (found := self.xet_hashes().get(oid)):
            with TemporaryDirectory() as folder:
                with XetSession().new_file_download_group(self.xet) as group:
                    group.start_download_file(XetFileInfo(found, size), f"{folder}/file")
                self.lfs[oid] = Path(folder, "file").read_bytes()
        return self.lfs.get(oid)

    def xet_hashes(self) -> dict[str, str]:
        """Return the names that Xet gives to the files in its storage, by their SHA-256."""
        shards = Path(self.xet.removeprefix("local://")).rglob("xorbs/shards/*.mdb")
        return {sha: name for shard in shards for sha, name in _files_of_shard(shard.read_bytes())}

    def leaks(self) -> list[Request]:
        """Return the requests that carried a token but the storage's own to the storage, which is another host."""
        carried = [r for r in self.requests if r.token not in (None, "xet")]
        return [r for r in carried if r.host.startswith("localhost") or "/storage/" in r.path]

    def env(self, home: Path, token: str | None = None, **more: str) -> dict[str, str]:
        """Return the environment of a process whose Hub this is and whose cache and token are in ``home``."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING_FACE"))}
        ours = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        return {**plain, **ours, **quiet, **({"HF_TOKEN": token} if token else {}), **more}


class _Server(ThreadingHTTPServer):
    double: HubDouble
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: a client that goes away in the middle is what some tests want."""


@contextmanager
def hub_double() -> Iterator[HubDouble]:
    """Run a double in a thread of its own."""
    double = HubDouble()
    thread = threading.Thread(target=double.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.server.shutdown()
        double.server.server_close()
        thread.join()


@contextmanager
def hub_of_clients(patch: pytest.MonkeyPatch, cache: Path) -> Iterator[HubDouble]:
    """Run a double that all clients go to: without its storage for large files, and with a token that may write.

    Args:
        patch: undoes what is set, after the double has ended.
        cache: what is downloaded is kept there.
    """
    with hub_double() as running:
        point_to(patch, running.endpoint)
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
        patch.setenv("HF_TOKEN", "hf_write")
        yield running
        huggingface_hub.close_session()


def point_to(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let all clients go to the Hub at an address."""
    patch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


class _Answered(Exception):  # noqa: N818 (it ends a request early and is no error)
    """The answer has been sent."""


REPO = r"/api/(?P<kind>model|dataset)s/(?P<repo>[\w.-]+/[\w.-]+)"

ROUTES = (
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/repos/create", "create"),
    ("DELETE", r"/api/repos/delete", "delete"),
    ("POST", r"/api/validate-yaml", "validate_yaml"),
    ("PUT", REPO + "/settings", "settings"),
    ("POST", REPO + "/preupload/(?P<rev>.+)", "preupload"),
    ("POST", r"/(?P<kind>datasets/)?(?P<repo>[\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", r"/storage/(?P<oid>\w+)", "lfs_put"),
    ("POST", r"/api/lfs/verify/(?P<oid>\w+)", "lfs_verify"),
    ("GET", REPO + "/xet-(?P<access>read|write)-token/(?P<rev>.+)", "xet_token"),
    ("POST", REPO + "/commit/(?P<rev>.+)", "commit"),
    ("GET", REPO + "/refs", "refs"),
    ("POST", REPO + "/tag/(?P<rev>.+)", "tag"),
    ("GET", REPO + "/tree/(?P<rev>[^/]+)(?:/(?P<path>.+))?", "tree"),
    ("POST", REPO + "/paths-info/(?P<rev>.+)", "paths_info"),
    ("GET", REPO + "(?:/revision/(?P<rev>.+))?", "info"),
    ("HEAD|GET", r"/(?P<kind>datasets/)?(?P<repo>[\w.-]+/[\w.-]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "resolve"),
    ("HEAD|GET", r"/storage/(?P<oid>\w+)", "lfs_get"),
    ("GET", r"/xet/v1/reconstructions/(?P<oid>\w+)", "xet_plan"),
    ("GET", r"/xet/xorbs/(?P<oid>\w+)", "xet_xorb"),
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.hub, parts = self.server.double, urlsplit(self.path)
        self.url, self.query = unquote(parts.path), parse_qs(parts.query)
        self.cut: str | None = None
        try:
            self.body = self._receive()
            self._fail_if_told()
            with self.hub.lock:
                self._route()
        except _Answered:
            pass

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    # What comes in

    def _receive(self) -> bytes:
        authorization = self.headers.get("Authorization") or ""
        self.token = authorization.removeprefix("Bearer ") or None
        fault = self._fault()
        if fault is not None and fault.cut == "request":
            fault.times -= 1
            length = int(self.headers.get("Content-Length", 0))
            self._record(len(self.rfile.read(length // 2)))
            self._hang_up()
        body = self._read_chunks() if self.headers.get("Transfer-Encoding") else self._read_length()
        self._record(len(body))
        return body

    def _read_length(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _record(self, sent: int) -> None:
        request = Request(self.command, self.headers.get("Host", ""), self.path, self.token, sent)
        self.hub.requests.append(request)

    def _fault(self) -> Fault | None:
        return next((fault for fault in self.hub.faults if fault.matches(self.command, self.path)), None)

    def _fail_if_told(self) -> None:
        if self.hub.hang and re.search(self.hub.hang, urlsplit(self.path).path):
            self.rfile.read(1)  # until the client goes
            self._hang_up()
        fault = self._fault()
        if fault is None:
            return
        fault.times -= 1
        if fault.cut is None:
            self._error(fault.status, fault.message, **fault.headers)
        self.cut = fault.cut

    def _route(self) -> None:
        for methods, pattern, name in ROUTES:
            found = re.fullmatch(pattern, self.url)
            if found and self.command in methods.split("|"):
                self._send_on(found.groupdict().get("repo"))
                getattr(self, f"_{name}")(**{key: value for key, value in found.groupdict().items() if value})
        self._error(404, "Sorry, we can't find the page you are looking for.")

    def _send_on(self, repo: str | None) -> None:
        if repo in self.hub.renamed:
            self._send(b"", 307, Location=self.path.replace(repo, self.hub.renamed[repo], 1))

    # What goes out

    def _answer(self, value: Any, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(value).encode(), status, **{"Content_Type": "application/json", **headers})

    def _error(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        more = {"X_Error_Code": code} if code else {}
        self._answer({"error": message}, status, X_Error_Message=message, **more, **headers)

    def _send(self, data: bytes, status: int = 200, **headers: str) -> None:
        if self.cut == "after":
            self._hang_up()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if self.cut == "answer" else data)
        if self.cut == "answer":
            self._hang_up()
        raise _Answered

    def _hang_up(self) -> None:
        self.close_connection = True
        raise _Answered

    # Who asks

    def _user(self) -> tuple[str, str] | None:
        """Return name and role of who asks, None for nobody; a token that is not known is refused."""
        if self.token is None:
            return None
        if self.token not in self.hub.tokens:
            self._error(401, NO_CREDENTIALS)
        return self.hub.tokens[self.token]

    def _writer(self, owner: str) -> None:
        """Refuse all but those who may write in the namespace ``owner``."""
        user = self._user()
        if user is None:
            self._error(401, "Invalid username or password.")
        name, role = user or ("", "")
        if owner != name and owner not in self.hub.orgs[name]:
            self._error(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
        if role != "write":
            self._error(403, "Forbidden: pass a token with the write role")

    def _readable(self, kind: str, repo: str, *, files: bool = False) -> Repo:
        """Return the repository, refused as the Hub does where it is missing, private or gated."""
        user, found = self._user(), self.hub.repos.get((kind, repo))
        name = user[0] if user else ""
        mine = repo.split("/")[0] in (name, *self.hub.orgs.get(name, []))
        if found is None or (found.private and not mine):
            self._error(404 if user else 401, "Repository not found", "RepoNotFound")
        assert found is not None
        if files and found.gated and not mine:
            self._error(403 if user else 401, f"Access to {kind} {repo} is restricted.", "GatedRepo")
        return found

    def _json(self) -> Any:
        return json.loads(self.body)

    # The calls

    def _whoami(self) -> None:
        user = self._user()
        if user is None:
            self._error(401, "Invalid username or password.")
        name, role = user or ("", "")
        orgs = [{"name": org, "type": "org", "roleInOrg": "admin"} for org in self.hub.orgs[name]]
        auth = {"accessToken": {"displayName": "a token", "role": role}}
        self._answer({"type": "user", "name": name, "orgs": orgs, "auth": auth})

    def _create(self) -> None:
        asked = self._json()
        owner = asked.get("organization") or (self._user() or ("", ""))[0]
        self._writer(owner)
        kind, repo_id = asked.get("type", "model"), f"{owner}/{asked['name']}"
        url = f"{self.hub.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
        if (kind, repo_id) in self.hub.repos:
            self._answer({"error": f"You already created this {kind} repo", "url": url}, 409)
        self.hub.add(repo_id, {}, kind=kind, private=asked.get("visibility") == "private")
        self._answer({"url": url, "name": repo_id})

    def _delete(self) -> None:
        asked = self._json()
        self._writer(asked["organization"])
        del self.hub.repos[asked.get("type", "model"), f"{asked['organization']}/{asked['name']}"]
        self._answer({})

    def _settings(self, kind: str, repo: str) -> None:
        self._writer(repo.split("/")[0])
        asked, found = self._json(), self._readable(kind, repo)
        found.private = asked.get("visibility", "private" if found.private else "public") == "private"
        found.gated = bool(asked.get("gated", found.gated))
        self._answer({})

    def _validate_yaml(self) -> None:
        parts = re.match(r"---\n(.*?)\n---", self._json()["content"], re.S)
        try:
            data = yaml.safe_load(parts[1]) if parts else {}
            errors = list(_card_errors(data))
        except yaml.YAMLError as error:
            errors = [str(error)]
        told = [{"message": message} for message in errors]
        self._answer({"errors": told, "warnings": []}, 400 if errors else 200)

    def _preupload(self, kind: str, repo: str, rev: str) -> None:
        self._writer(repo.split("/")[0])
        files = self._at(self._readable(kind, repo), rev)[1]
        self._answer({"files": [_upload_mode(asked, files) for asked in self._json()["files"]]})

    def _lfs_batch(self, repo: str, kind: str = "") -> None:
        self._writer(repo.split("/")[0])
        self._readable("dataset" if kind else "model", repo)
        objects = []
        for asked in self._json()["objects"]:
            put = {"href": f"{self.hub.storage}/storage/{asked['oid']}"}
            verify = {"href": f"{self.hub.endpoint}/api/lfs/verify/{asked['oid']}"}
            new = {} if asked["oid"] in self.hub.lfs else {"actions": {"upload": put, "verify": verify}}
            self.hub.sizes[asked["oid"]] = asked["size"]
            objects.append({"oid": asked["oid"], "size": asked["size"], **new})
        self._answer({"transfer": "basic", "objects": objects}, Content_Type=LFS_JSON)

    def _lfs_put(self, oid: str) -> None:
        if (sha256(self.body), len(self.body)) != (oid, self.hub.sizes.get(oid)):
            self._error(400, "The content does not have this SHA-256 and the size that was stated")
        self.hub.lfs[oid] = self.body
        self._answer({})

    def _lfs_verify(self, oid: str) -> None:
        if len(self.hub.lfs.get(oid, b"")) != self._json()["size"]:
            self._error(404, "No object of this size was found")
        self._answer({})

    def _xet_token(self, kind: str, repo: str, access: str, rev: str) -> None:
        if access == "write":
            self._writer(repo.split("/")[0])
        self._readable(kind, repo, files=True)
        until = str(int(time.time()) + 3600)
        place = self.hub.xet if access == "write" else self.hub.xet_read
        names = {"X_Xet_Cas_Url": place, "X_Xet_Access_Token": "xet", "X_Xet_Token_Expiration": until}
        self._answer({"accessToken": "xet", "exp": int(until), "casUrl": place}, **names)

    def _xet_plan(self, oid: str) -> None:
        """Say what a file is made of: the chunks of one xorb of its own, which goes by the same name."""
        xorb, chunks = _xorb(self.hub.lfs[oid])
        term = {"hash": oid, "unpacked_length": len(self.hub.lfs[oid]), "range": {"start": 0, "end": chunks}}
        place = {"url": f"{self.hub.storage}/xet/xorbs/{oid}", "url_range": {"start": 0, "end": len(xorb) - 1}}
        fetch = {oid: [{"range": term["range"], **place}]}
        self._answer({"offset_into_first_range": 0, "terms": [term], "fetch_info": fetch})

    def _xet_xorb(self, oid: str) -> None:
        self._part(_xorb(self.hub.lfs[oid])[0])

    def _commit(self, kind: str, repo: str, rev: str) -> None:
        self._writer(repo.split("/")[0])
        found = self._readable(kind, repo)
        if rev != "main":
            self._error(404, f"Invalid rev id: {rev}", "RevisionNotFound")
        header, *changes = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        parent = header["value"].get("parentCommit")
        if parent is not None and parent != found.head:
            self._error(412, "A commit has happened since. Please refresh and try again.")
        files = dict(found.files)
        for change in changes:
            self._change(files, change["key"], change["value"])
        sha = found.commit(files, header["value"]["summary"])
        url = f"{self.hub.endpoint}/{repo}/commit/{sha}"
        self._answer({"success": True, "commitOid": sha, "commitUrl": url})

    def _change(self, files: dict[str, bytes], key: str, value: dict[str, Any]) -> None:
        if key == "file":
            data = base64.b64decode(value["content"])
            if is_large(value["path"], data, files):
                self._error(400, f"Your push was rejected because it contains binary files: {value['path']}")
            files[value["path"]] = data
        elif key == "lfsFile":
            data = self.hub.large(value["oid"], value["size"])
            if data is None or len(data) != value["size"]:
                self._error(400, f"LFS pointer pointed to a file that does not exist: {value['oid']}")
            assert data is not None
            files[value["path"]] = data
        elif files.pop(value["path"], None) is None:  # "deletedFile"
            self._error(400, f"A file with the name {value['path']} does not exist")

    def _refs(self, kind: str, repo: str) -> None:
        found = self._readable(kind, repo)
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": found.head}]
        tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha} for name, sha in found.tags.items()]
        self._answer({"branches": branches, "converts": [], "tags": tags})

    def _tag(self, kind: str, repo: str, rev: str) -> None:
        self._writer(repo.split("/")[0])
        found, name = self._readable(kind, repo), self._json()["tag"]
        if name in found.tags:
            self._error(409, "Tag reference exists already")
        found.tags[name] = self._at(found, rev)[0]
        self._answer({})

    def _at(self, repo: Repo, rev: str) -> tuple[str, dict[str, bytes]]:
        commit = repo.at(rev)
        if commit is None:
            self._error(404, f"Invalid rev id: {rev}", "RevisionNotFound")
        assert commit is not None
        return commit

    def _info(self, kind: str, repo: str, rev: str = "main") -> None:
        found = self._readable(kind, repo)
        sha, files = self._at(found, rev)
        siblings = [_sibling(name, files, "blobs" in self.query) for name in files]
        parts = re.match(r"---\n(.*?)\n---", files.get("README.md", b"").decode(), re.S)
        card = yaml.safe_load(parts[1]) if parts else {}
        self._answer(
            {
                "id": repo,
                "modelId": repo,
                "author": repo.split("/")[0],
                "sha": sha,
                "private": found.private,
                "gated": "manual" if found.gated else False,
                "disabled": False,
                "tags": card.get("tags", []),
                "cardData": card,
                "siblings": siblings,
                "lastModified": "2026-01-31T12:00:00.000Z",
                "createdAt": "2026-01-31T12:00:00.000Z",
                "library_name": card.get("library_name"),
                "pipeline_tag": card.get("pipeline_tag"),
                "downloads": 0,
                "likes": 0,
            }
        )

    def _tree(self, kind: str, repo: str, rev: str, path: str = "") -> None:
        files = self._at(self._readable(kind, repo), rev)[1]
        below = f"{path}/" if path else ""
        inside = {name: data for name, data in files.items() if name.startswith(below)}
        if path and not inside:
            self._error(404, f"{path} does not exist", "EntryNotFound")
        deep = self.query.get("recursive", ["false"])[0].lower() in ("1", "true")
        entries = [_entry(name, files) for name in inside if deep or "/" not in name[len(below) :]]
        folders = {below + name[len(below) :].split("/")[0] for name in inside if "/" in name[len(below) :]}
        self._answer(
            [{"type": "directory", "path": p, "oid": git_sha(p.encode()), "size": 0} for p in folders] + entries
        )

    def _paths_info(self, kind: str, repo: str, rev: str) -> None:
        files = self._at(self._readable(kind, repo), rev)[1]
        form = parse_qs(self.body.decode())
        paths = form.get("paths") or json.loads(self.body or b"{}").get("paths", [])
        self._answer([_entry(path, files) for path in paths if path in files])

    def _resolve(self, repo: str, rev: str, path: str, kind: str = "") -> None:
        found = self._readable("dataset" if kind else "model", repo, files=True)
        sha, files = self._at(found, rev)
        if path not in files:
            self._error(404, "Entry not found", "EntryNotFound", X_Repo_Commit=sha)
        data = files[path]
        if not is_large(path, data, files):
            self._part(data, ETag=f'"{git_sha(data)}"', X_Repo_Commit=sha)
        api = f"{self.hub.endpoint}/api/{kind or 'models/'}{repo}/xet-read-token/{sha}"
        linked = {"X_Linked_Etag": f'"{sha256(data)}"', "X_Linked_Size": str(len(data))}
        linked |= {"X_Xet_Hash": sha256(data), "Link": f'<{api}>; rel="xet-auth"'}
        self._send(b"", 302, Location=f"{self.hub.storage}/storage/{sha256(data)}", X_Repo_Commit=sha, **linked)

    def _lfs_get(self, oid: str) -> None:
        if oid not in self.hub.lfs:
            self._error(404, "NoSuchKey")
        self._part(self.hub.lfs[oid], ETag=f'"{oid}"')

    def _part(self, data: bytes, **headers: str) -> None:
        """Send the range of ``data`` that is asked for, else all of it."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers |= {"Content_Type": "application/octet-stream", "Accept_Ranges": "bytes"}
        if wanted is None:
            self._send(data, **headers)
        assert wanted is not None
        first, last = int(wanted[1]), int(wanted[2] or len(data) - 1)
        self._send(data[first : last + 1], 206, Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)


def _upload_mode(asked: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    path, sample = asked["path"], base64.b64decode(asked["sample"])
    large = is_large(path, sample, files) or asked["size"] > REGULAR_BYTES
    known = {} if path not in files else {"oid": sha256(files[path]) if large else git_sha(files[path])}
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, **known}


def is_large(path: str, data: bytes, files: dict[str, bytes]) -> bool:
    """Tell whether a file goes to the storage for large ones: .gitattributes says so, or it is binary, or it is large."""
    lines = files.get(".gitattributes", b"").decode().splitlines()
    patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
    named = any(fnmatch(path.rsplit("/", 1)[-1], pattern) for pattern in patterns)
    return named or b"\0" in data[:512] or len(data) > REGULAR_BYTES


def _xorb(data: bytes) -> tuple[bytes, int]:
    """Return the chunks of ``data`` as Xet stores them, none compressed, behind one another, and their number."""
    chunks = [data[at : at + 2**16] for at in range(0, len(data), 2**16)]
    sizes = [len(chunk).to_bytes(3, "little") for chunk in chunks]
    heads = [b"\0" + size + b"\0" + size for size in sizes]  # version, stored size, kind of compression, size
    return b"".join(head + chunk for head, chunk in zip(heads, chunks, strict=True)), len(chunks)


def _sibling(name: str, files: dict[str, bytes], blobs: bool) -> dict[str, Any]:
    entry = _entry(name, files)
    size = entry["size"]
    lfs = {"lfs": {"sha256": sha256(files[name]), "size": size, "pointerSize": 134}} if "lfs" in entry else {}
    return {"rfilename": name} | ({"size": size, "blobId": entry["oid"], **lfs} if blobs else {})


def _entry(name: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Return what a listing says of a file; of a large one git itself has a pointer only, whose id this is."""
    data = files[name]
    if not is_large(name, data, files):
        return {"type": "file", "path": name, "size": len(data), "oid": git_sha(data)}
    oid, size = sha256(data), len(data)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
    lfs = {"oid": oid, "size": size, "pointerSize": len(pointer)}
    return {"type": "file", "path": name, "size": size, "oid": git_sha(pointer), "lfs": lfs}


def _files_of_shard(shard: bytes) -> Iterator[tuple[str, str]]:
    """Yield SHA-256 and Xet's name of each file in a shard (the format MDB): records of 48 bytes, the first a header."""

    def words(at: int) -> str:
        return b"".join(shard[at + i : at + i + 8][::-1] for i in range(0, 32, 8)).hex()

    at = 48
    while words(at) != "ff" * 32:
        flags, entries = struct.unpack_from("<II", shard, at + 32)
        last = at + 48 * (1 + entries * (2 if flags >> 31 else 1))  # each with one for its check
        if flags >> 30 & 1:
            yield words(last), words(at)
            last += 48
        at = last


def _card_errors(data: dict[str, Any]) -> Iterator[str]:
    """Yield what the Hub has against the front matter of a card."""
    if data.get("license") not in (None, *LICENSES):
        yield f'"license" must be one of {LICENSES}'
    for index in data.get("model-index", []):
        if not index.get("name"):
            yield '"model-index[0].name" is required'
        for result in index.get("results", []):
            wanted = (result.get("task", {}).get("type"), *(result.get("dataset", {}).get(k) for k in ("type", "name")))
            if not all(wanted) or not all({"type", "value"} <= set(metric) for metric in result["metrics"]):
                yield '"model-index[0].results" is not complete'
