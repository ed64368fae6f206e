"""Publishing against a double of the Hub, with the real client.

The double proves our code and the client, not the Hub's own rules.
"""

import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from botzoo import cli
from botzoo.errors import BotzooError, NetworkError, PublishError
from botzoo.hub.package import Package, pack
from botzoo.hub.publish import check_access, check_place, publish
from hub_double import HubDouble, git_sha, hub_double
from running import write_teacher

CARD = """---
library_name: timm
pipeline_tag: image-classification
license: mit
model-index:
- name: teacher
  results:
  - task: {type: image-classification, name: Image Classification}
    dataset: {name: pets, type: pets, split: test}
    metrics:
    - {type: accuracy, value: 80.0, name: top-1 accuracy at 32 px}
---

# teacher

```python
model = timm.create_model("local-dir:.", pretrained=True).eval()
```

```python
print(pipeline("image-classification", model=".")("photo.jpg"))
```

## Licence

The licence of the data set is separate; that of the images in a folder named pets is not known to this card.
"""

OPEN = (
    "The licence of these weights is not set, since it started from random weights. Choose one before publishing, with "
    "`--license`.\n\n"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the client's, of its own HTTP library
]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as a run leaves it, of a tiny network."""
    folder = write_teacher(tmp_path_factory.mktemp("run") / "model")
    (folder / "README.md").write_text(CARD)
    (folder / "recipe.yaml").write_text("epochs: 3\n")
    (folder / "metrics.jsonl").write_text('{"step": 1, "split": "train"}\n')
    (folder / "confusion.png").write_bytes(b"a picture")
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "model"))


@pytest.fixture
def unlicensed(folder: Path) -> Path:
    text = CARD.replace("license: mit\n", "").replace("## Licence\n\n", f"## Licence\n\n{OPEN}")
    (folder / "README.md").write_text(text)
    return folder


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    huggingface_hub.utils.disable_progress_bars()
    with hub_double() as running:
        yield running
        huggingface_hub.close_session()


def api(double: HubDouble, token: str | bool = "hf_write") -> HfApi:
    return HfApi(double.endpoint, token=token)


@pytest.fixture
def packed(folder: Path) -> Package:
    return pack(folder, "me/pets")


# What goes up


def test_a_publication_is_one_commit_of_all_files(double: HubDouble, packed: Package) -> None:
    done = publish(packed, api=api(double))
    repo = double.repo("me/pets")
    assert (done.url, done.commit, done.changed) == (f"{double.endpoint}/me/pets", repo.head, True)
    assert (len(repo.commits), repo.private) == (2, False)
    assert (
        set(repo.files) - {".gitattributes"}
        == set(packed.files)
        == {*("model.safetensors", "config.json", "README.md", "recipe.yaml", "metrics.jsonl", "confusion.png")}
    )
    assert repo.files["model.safetensors"] == (packed.folder / "model.safetensors").read_bytes()


def test_the_same_again_is_no_commit_and_sends_nothing(double: HubDouble, packed: Package) -> None:
    first = publish(packed, api=api(double))
    double.requests.clear()
    again = publish(packed, api=api(double))
    assert (again.commit, again.changed) == (first.commit, False)
    assert double.written == []


def test_a_file_that_is_gone_is_taken_away_and_others_stay(double: HubDouble, packed: Package) -> None:
    publish(packed, api=api(double))
    double.repo("me/pets").files["notes.txt"] = b"mine"
    (packed.folder / "metrics.jsonl").unlink()
    publish(pack(packed.folder, "me/pets"), api=api(double))
    assert "metrics.jsonl" not in double.repo("me/pets").files
    assert double.repo("me/pets").files["notes.txt"] == b"mine"


def test_the_card_names_its_place_on_the_hub(packed: Package) -> None:
    card = ModelCard(packed.card)
    assert 'timm.create_model("hf-hub:me/pets", pretrained=True)' in card.text
    assert 'pipeline("image-classification", model="me/pets")' in card.text
    assert card.text.strip().startswith("# pets\n")
    assert (card.data.model_name, card.data.license) == ("pets", "mit")
    assert card.data.eval_results[0].metric_value == 80


def test_config_json_has_the_licence(packed: Package) -> None:
    content = packed.files["config.json"]
    assert isinstance(content, bytes)
    assert json.loads(content)["pretrained_cfg"]["license"] == "mit"


def test_what_is_not_on_the_list_stays_and_is_named(folder: Path) -> None:
    (folder / "secret.txt").write_text("")
    (folder / "old").mkdir()
    package = pack(folder, "me/pets")
    assert package.left_behind == ("old/", "secret.txt")
    assert "secret.txt" not in package.files


def test_a_private_one_stays_private(double: HubDouble, packed: Package) -> None:
    publish(packed, private=True, api=api(double))
    assert double.repo("me/pets").private


def test_an_organization_and_a_tag(double: HubDouble, folder: Path) -> None:
    done = publish(pack(folder, "team/pets"), tag="v1", api=api(double))
    assert double.repo("team/pets").tags == {"v1": done.commit}
    assert publish(pack(folder, "team/pets"), tag="v1", api=api(double)).changed is False


def test_a_dry_run_shows_all_and_touches_no_network(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket", None)
    monkeypatch.setattr(
        sys, "argv", ["botzoo", "publish", str(folder), "--repo", "me/pets", "--dry-run", "--tag", "v1"]
    )
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    out = capsys.readouterr().out
    assert "model.safetensors" in out
    assert "hf-hub:me/pets" in out
    assert "goes to    me/pets, public, tag v1\n" in out


# What is refused before anything is sent


def refusal(folder: Path, license: str | None = None) -> str:
    with pytest.raises(PublishError) as refused:
        pack(folder, "me/pets", license)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_without_a_licence_what_is_known_is_named(unlicensed: Path) -> None:
    said = refusal(unlicensed)
    assert "--license" in said
    assert "since it started from random weights" in said
    assert "that of the images in a folder named pets is not known" in said


def test_a_licence_that_is_chosen_is_written_down(unlicensed: Path) -> None:
    card = ModelCard(pack(unlicensed, "me/pets", "cc-by-4.0").card)
    assert card.data.license == "cc-by-4.0"
    assert "`cc-by-4.0`: chosen by who published it, since it started from random weights." in card.text


def test_a_known_licence_is_not_overruled(folder: Path) -> None:
    assert "says 'mit'" in refusal(folder, "apache-2.0")


def test_weights_that_do_not_fit_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architecture": "resnet18"}))
    assert "do not fit config.json" in refusal(folder)


def test_features_that_nobody_could_load_are_refused(folder: Path) -> None:
    (folder / "features.safetensors").write_bytes(b"cut off")
    assert "features.safetensors is not a complete safetensors file" in refusal(folder)


@pytest.mark.parametrize("config", ["{}", "[]", "{", '{"label_names": ["a"], "num_classes": 2}'])
def test_a_damaged_config_is_refused(folder: Path, config: str) -> None:
    (folder / "config.json").write_text(config)
    assert "config.json" in refusal(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"(no {name})" in refusal(folder)


def test_a_folder_without_a_model_and_a_run_that_has_not_ended(tmp_path: Path) -> None:
    assert "There is no model in" in refusal(tmp_path)
    (tmp_path / "config.yaml").touch()
    assert "has not ended" in refusal(tmp_path)


def test_a_run_is_published_by_its_model(folder: Path) -> None:
    assert pack(folder.parent, "me/pets").folder == folder


# Who may not


@pytest.mark.parametrize(
    ("token", "repo", "said"),
    [
        (False, "me/pets", "There is no token"),
        ("hf_wrong", "me/pets", "does not know the token"),
        ("hf_read", "me/pets", "only reads"),
        ("hf_write", "other/pets", "owner must be me or team"),
        ("hf_write", "nobody/pets", "owner must be me or team"),
    ],
)
def test_who_may_not_is_told_and_nothing_is_written(
    double: HubDouble, folder: Path, monkeypatch: pytest.MonkeyPatch, token: str | bool, repo: str, said: str
) -> None:
    if token is False:
        monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    with pytest.raises(BotzooError, match=said) as refused:
        publish(pack(folder, repo), api=api(double, token or None))  # type: ignore[arg-type]
    assert double.written == []
    assert str(token) not in str(refused.value)


def test_a_repository_that_moved_is_not_overwritten(double: HubDouble, packed: Package) -> None:
    publish(packed, api=api(double))
    repo = double.repo("me/pets")
    theirs = repo.commit({**repo.files, "config.json": b"{}"}, "by hand")
    with pytest.raises(PublishError, match=f"has moved since.*--parent {theirs}"):
        publish(packed, api=api(double))
    assert repo.head == theirs
    publish(packed, parent=theirs, api=api(double))
    assert repo.files["README.md"] == packed.card.encode()


BY_HAND = b"---\nlicense: mit\n---\n# Pets by hand\n"


@pytest.mark.parametrize("parent", [False, True])
def test_a_card_that_was_edited_there_is_kept(double: HubDouble, packed: Package, parent: bool) -> None:
    publish(packed, api=api(double))
    repo = double.repo("me/pets")
    theirs = repo.commit({**repo.files, "README.md": BY_HAND}, "by hand")
    said = f"the card 'Pets by hand', which was edited since.*newest commit is {theirs}.*--replace"
    with pytest.raises(PublishError, match=said):
        publish(packed, parent=theirs if parent else None, api=api(double))
    assert repo.head == theirs
    publish(packed, replace=True, api=api(double))
    assert repo.files["README.md"] == packed.card.encode()


STRANGE = [{"README.md": BY_HAND}, {"model.safetensors": b"0" * 100}, {"notes.txt": b"mine"}, {"a/b.txt": b"deep"}]


@pytest.mark.parametrize("files", STRANGE, ids=lambda files: next(iter(files)))
def test_what_is_not_from_this_folder_is_kept(double: HubDouble, packed: Package, files: dict[str, bytes]) -> None:
    head = double.add("me/pets", files).head
    for parent in (None, head):
        with pytest.raises(PublishError, match=f"was not published from this folder.*{head}.*--replace"):
            publish(packed, parent=parent, api=api(double))
    assert double.written == []
    publish(packed, replace=True, api=api(double))
    assert double.repo("me/pets").files["README.md"] == packed.card.encode()


def test_a_new_run_is_told_before_it_is_trained(double: HubDouble, packed: Package) -> None:
    publish(packed, api=api(double))
    check_place("me/pets", packed.folder, api=api(double))
    with pytest.raises(PublishError, match="holds the card 'pets', which was not published from this folder"):
        check_place("me/pets", None, api=api(double))


@pytest.mark.parametrize("text", ["[]", "7", '{"%s": 3}', '{"%s": {"commit": "../x"}}', "{"])
def test_a_record_that_is_none_counts_for_nothing(double: HubDouble, packed: Package, text: str) -> None:
    double.add("me/pets", {"README.md": BY_HAND})
    (packed.folder / "published.json").write_text(text.replace("%s", f"{double.endpoint}/me/pets"))
    with pytest.raises(PublishError, match="was not published from this folder"):
        publish(packed, api=api(double))


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(
    double: HubDouble, packed: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(packed, private=True, api=api(double))
    repo, create_commit = double.repo("me/pets"), HfApi.create_commit
    (packed.folder / "metrics.jsonl").write_text("{}\n")

    def late(*args: Any, **options: Any) -> Any:
        repo.commit({"x": b""}, "by hand")
        return create_commit(*args, **options)

    monkeypatch.setattr(HfApi, "create_commit", late)
    with pytest.raises(PublishError, match="Somebody else changed me/pets meanwhile"):
        publish(packed, private=True, api=api(double))
    assert list(repo.files) == ["x"]


def test_visibility_is_never_changed_behind_ones_back(double: HubDouble, packed: Package) -> None:
    double.add("me/pets", {"x.txt": b""}, private=True)
    with pytest.raises(PublishError, match="is private: add --private"):
        publish(packed, api=api(double))
    double.repo("me/pets").private = False
    with pytest.raises(PublishError, match="is public: leave --private out"):
        publish(packed, private=True, api=api(double))
    assert double.written == []


@pytest.mark.parametrize("moved", [False, True])
def test_a_tag_that_is_taken_is_refused_before_the_commit(double: HubDouble, packed: Package, moved: bool) -> None:
    repo = double.add("me/pets", {})
    repo.tags["v1"] = repo.head
    if moved:
        repo.commit({}, "more")
    with pytest.raises(PublishError, match="has a tag v1 already"):
        publish(packed, tag="v1", api=api(double))
    assert double.written == []


# What fails on the way

PASSING = [
    ("GET", "whoami", {"status": 429, "headers": {"Retry_After": "2"}}),
    ("POST", "repos/create", {"status": 500}),
    ("POST", "repos/create", {"cut": "after"}),
    ("POST", "validate-yaml", {"cut": "answer"}),
    ("POST", "preupload", {"status": 503}),
    ("POST", "objects/batch", {"status": 504}),
    ("PUT", "/storage/", {"cut": "request"}),
    ("PUT", "/storage/", {"status": 500}),
    ("POST", "/commit/", {"cut": "request"}),
    ("POST", "/commit/", {"cut": "after"}),
    ("POST", "/tag/", {"cut": "after"}),
    ("PUT", "/settings", {"status": 502}),
]


@pytest.mark.parametrize(("method", "path", "how"), PASSING, ids=[f"{p}-{h}" for _, p, h in PASSING])
def test_what_passes_is_waited_for(
    double: HubDouble, packed: Package, method: str, path: str, how: dict[str, object]
) -> None:
    double.fail(method, path, **how)  # type: ignore[arg-type]
    publish(packed, tag="v1", api=api(double))
    repo = double.repo("me/pets")
    assert all(fault.times == 0 for fault in double.faults)
    assert (len(repo.commits), repo.private, repo.tags) == (2, False, {"v1": repo.head})


@pytest.mark.parametrize(
    ("method", "path", "how"),
    [
        ("PUT", "/storage/", {"cut": "request"}),
        ("POST", "/commit/", {"cut": "request"}),
        ("POST", "/commit/", {"status": 500}),
        ("PUT", "/settings", {"status": 500}),
        ("POST", "objects/batch", {"status": 429, "headers": {"Retry_After": "1"}}),
    ],
)
def test_what_lasts_shows_nothing_half_made_and_the_same_goes_on(
    double: HubDouble, packed: Package, method: str, path: str, how: dict[str, object]
) -> None:
    double.fail(method, path, times=1000, **how)  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="again"):
        publish(packed, api=api(double))
    repo = double.repo("me/pets")
    assert repo.private
    assert set(repo.files) in ({".gitattributes"}, {".gitattributes", *packed.files})
    double.faults.clear()
    kept = set(double.lfs)
    double.requests.clear()
    publish(pack(packed.folder, "me/pets"), api=api(double))
    assert not [r for r in double.seen("PUT", "/storage/") if r.path.split("/")[-1] in kept]
    assert (len(repo.commits), repo.private) == (2, False)


def test_it_waits_as_long_as_the_hub_asks(double: HubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    double.fail("GET", "whoami", 429, headers={"Retry_After": "7"})
    double.fail("GET", "whoami", 500, times=2)
    check_access("me/pets", api=api(double))
    assert waits == [7, 2, 4]


def test_it_does_not_wait_for_hours(double: HubDouble, packed: Package) -> None:
    double.fail("GET", "whoami", 429, headers={"Retry_After": "3600"})
    with pytest.raises(NetworkError, match="again later"):
        publish(packed, api=api(double))


def test_no_room_is_said_in_the_hubs_words(double: HubDouble, packed: Package) -> None:
    double.fail("POST", "objects/batch", status=403, message="Private repository storage limit reached")
    with pytest.raises(NetworkError, match="storage limit reached"):
        publish(packed, private=True, api=api(double))
    assert set(double.repo("me/pets").files) == {".gitattributes"}


def test_a_licence_that_the_hub_does_not_list_goes_by_its_name(folder: Path) -> None:
    (folder / "README.md").write_text(CARD.replace("license: mit", "license: other\nlicense_name: house-rules"))
    package = pack(folder, "me/pets")
    assert package.license == "house-rules"
    assert (ModelCard(package.card).data.license, ModelCard(package.card).data.license_name) == ("other", "house-rules")


def test_a_card_that_the_hub_refuses_is_said_to_be_one(double: HubDouble, folder: Path) -> None:
    (folder / "README.md").write_text(CARD.replace("license: mit", "license: isc"))
    with pytest.raises(PublishError, match='"license" must be one of'):
        publish(pack(folder, "me/pets"), api=api(double))


def test_a_hub_that_is_not_there_is_one_line(packed: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(NetworkError, match=r"cannot be reached .*give the same command again"):
        publish(packed, api=HfApi("http://127.0.0.1:9", token="hf_write"))


def test_the_token_goes_to_the_api_only_and_is_written_nowhere(double: HubDouble, packed: Package) -> None:
    publish(packed, api=api(double))
    assert double.seen("PUT", "/storage/")
    assert double.leaks() == []
    kept = [*double.repo("me/pets").files.values(), *(path.read_bytes() for path in packed.folder.iterdir())]
    assert not any(b"hf_write" in data for data in kept)


def test_access_is_checked_without_writing(double: HubDouble) -> None:
    assert check_access("me/pets", api=api(double)) is None
    head = double.add("me/pets", {}).head
    assert check_access("me/pets", api=api(double)) == head
    with pytest.raises(PublishError, match="is public: leave --private out"):
        check_access("me/pets", private=True, api=api(double))
    double.add("me/pets", {"x.txt": b""}, private=True)
    with pytest.raises(PublishError, match="is private: add --private"):
        check_access("me/pets", api=api(double))
    assert double.written == []


# The double itself


@pytest.mark.parametrize(
    ("name", "data", "large"),
    [
        ("a.txt", b"text", False),
        ("a.txt", b"by\0nary", True),
        ("a.png", b"\x89PNG\0", True),
        ("deep/model.safetensors", b"{}", True),
        ("a.json", b" " * (10 * 2**20 + 1), True),
    ],
)
def test_the_double_takes_large_files_by_name_content_and_size(
    double: HubDouble, tmp_path: Path, name: str, data: bytes, large: bool
) -> None:
    double.add("me/any", {})
    api(double).upload_file(path_or_fileobj=data, path_in_repo=name, repo_id="me/any")
    assert bool(double.seen("PUT", "/storage/")) is large
    there = next(file for file in api(double).list_repo_tree("me/any", recursive=True) if file.path == name)
    assert (getattr(there, "lfs", None) is not None, getattr(there, "size", 0)) == (large, len(data))
    assert Path(api(double).hf_hub_download("me/any", name, cache_dir=tmp_path)).read_bytes() == data


def test_the_double_has_no_branches_but_main(double: HubDouble) -> None:
    double.add("me/any", {})
    with pytest.raises(RevisionNotFoundError):
        api(double).upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="me/any", revision="dev")


def test_the_double_names_files_as_git_does() -> None:
    assert git_sha(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_private_and_gated_repositories_hide_their_files(double: HubDouble, tmp_path: Path) -> None:
    double.add("other/private", {"a.txt": b"a"}, private=True)
    double.add("other/gated", {"a.txt": b"a"}, gated=True)
    for repo, error in (("other/private", RepositoryNotFoundError), ("other/gated", GatedRepoError)):
        with pytest.raises(error):
            api(double).hf_hub_download(repo, "a.txt", cache_dir=tmp_path)
        assert Path(api(double, "hf_other").hf_hub_download(repo, "a.txt", cache_dir=tmp_path)).read_text() == "a"


def test_a_download_that_is_cut_goes_on_and_leaks_no_token(double: HubDouble, tmp_path: Path) -> None:
    data = torch.randn(50_000).numpy().tobytes()
    double.add("me/big", {"model.safetensors": data})
    double.fail("GET", "/storage/", cut="answer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = api(double).hf_hub_download("me/big", "model.safetensors", cache_dir=tmp_path)
    assert Path(path).read_bytes() == data
    assert len(double.seen("GET", "/storage/")) == 2
    assert double.leaks() == []


def test_revisions_and_tags_are_downloaded_as_they_were(double: HubDouble, tmp_path: Path) -> None:
    repo = double.add("me/text", {"a.txt": b"old"})
    repo.tags["v1"] = repo.head
    repo.commit({"a.txt": b"new"}, "more")
    for revision, text in (("v1", "old"), ("main", "new"), (repo.commits[0][0], "old")):
        path = api(double).hf_hub_download("me/text", "a.txt", revision=revision, cache_dir=tmp_path)
        assert Path(path).read_text() == text
    with pytest.raises(RevisionNotFoundError):
        api(double).hf_hub_download("me/text", "a.txt", revision="v2", cache_dir=tmp_path)
