"""botzoo verify and botzoo reproduce: what holds agrees, what was tampered with is noticed, and nothing foreign is run."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from botzoo.errors import CheckpointError, ConfigError, DataError, ModelError, NetworkError, PublishError
from botzoo.hub.package import pack
from botzoo.hub.reproduce import reproduction, rerun
from botzoo.hub.verify import Check, exit_status, own_table, run_code, verify
from botzoo.inference.sheet import sheet
from botzoo.models.foreign import temperature_in
from botzoo.models.pretrained import EMBEDDED, WEIGHTS
from botzoo.options.command import WORDS
from botzoo.options.facts import options_of
from botzoo.results.calibration import write_temperature
from botzoo.results.card.claim import claim_in_card, claim_in_table
from botzoo.results.card.usage import HERE, usage_code
from botzoo.sources.base import SourceOptions
from botzoo.sources.find import find_images
from botzoo.training.recording.facts import table_name
from botzoo.util.files import sha256_of
from botzoo.util.nested import nested
from botzoo_finetune.config import FinetuneConfig
from conftest import write_photos
from damage import DAMAGES, damage
from running import ForkedPython, code_run_here, final_weights

CARD = Path(__file__).parents[2] / "cards" / f"{EMBEDDED}.md"


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def outcomes(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.outcome for check in checks}


def checked(name: str, run: Path, dataset: Path) -> Check:
    """Return one check, without those after it."""
    return next(check for check in verify(str(run), str(dataset)) if check.name == name)


def but_for_the_code(run: Path, dataset: Path) -> list[Check]:
    """Return all checks but the last one, which takes long."""
    checks = []
    for check in verify(str(run), str(dataset)):
        checks.append(check)
        if check.name == "accuracy":
            break
    return checks


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


TAMPERED = {  # what verify says of it in the line "run"
    "a figure that is claimed": ("model/README.md", "value: 66.667", "value: 66.668", "differs"),
    "a word of the card": ("model/README.md", "It is for images", "It is the best for images", "unknown"),
    "the recipe": ("model/recipe.yaml", "epochs: 1", "epochs: 2", "differs"),
    "the published history": ("model/metrics.jsonl", '"split": "train"', '"split": "trains"', "differs"),
    "the history": ("metrics.jsonl", '"split": "train"', '"split": "trains"', "differs"),
    "the records": ("run.json", '"steps": 6', '"steps": 7', "differs"),
    "the options": ("config.yaml", "epochs: 1", "epochs: 2", "differs"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", TAMPERED)
def test_a_run_whose_files_were_tampered_with_is_told(what: str, run: Path, photos: Path) -> None:
    name, before, after, outcome = TAMPERED[what]
    edit(run / name, before, after)
    check = checked("run", run, photos)
    assert check.outcome == outcome
    assert Path(name).name in check.words


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_run_with_damaged_answers_does_not_agree(kind: str, run: Path, photos: Path) -> None:
    damage(run / "evaluation" / "validation.parquet", kind)
    assert checked("run", run, photos).outcome == "differs"


@pytest.mark.slow
def test_an_honest_model_agrees_in_everything_and_its_folders_name_never_becomes_code(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    hostile = run.rename(tmp_path / 'run") or open("trace", "w") #')
    checks = list(verify(str(hostile), str(photos)))
    assert outcomes(checks) == dict.fromkeys(("weights", "run", "classes", "images", "code", "accuracy"), "agrees")
    assert exit_status(checks) == 0
    assert not list(tmp_path.rglob("trace"))


def test_the_interval_has_the_digits_of_the_card(run: Path, photos: Path) -> None:
    interval = re.search(r"95 % interval ([\d.]+ to [\d.]+)", checked("accuracy", run, photos).words)
    assert interval is not None
    assert f"| {interval[1]} % |" in (run / "model" / "README.md").read_text()


def test_other_weights_differ(run: Path, photos: Path) -> None:
    file = run / "model" / "model.safetensors"
    save_file({name: torch.zeros_like(tensor) for name, tensor in load_file(file).items()}, file)
    assert checked("weights", run, photos).outcome == "differs"


def test_a_claim_that_is_too_good_differs(run: Path, photos: Path) -> None:
    card = run / "model" / "README.md"
    text = re.sub(r"value: [\d.]+", "value: 99.9", card.read_text(), count=1)
    card.write_text(re.sub(r"(interval_95:\n\s+- )[\d.]+(\n\s+- )[\d.]+", r"\g<1>99.5\g<2>100.0", text, count=1))
    check = checked("accuracy", run, photos)
    assert (check.outcome, exit_status([check])) == ("differs", 1)


def checked_top1(run: Path) -> float:
    claim = claim_in_card(run / "model" / "README.md")
    assert claim is not None
    return claim.value


def test_a_figure_that_its_own_images_deny_differs(run: Path, photos: Path) -> None:
    card = run / "model" / "README.md"
    other = (checked_top1(run) + 50) % 100
    text = re.sub(r"value: [\d.]+", f"value: {other}", card.read_text(), count=1)
    card.write_text(re.sub(r"(interval_95:\n\s+- )[\d.]+(\n\s+- )[\d.]+", r"\g<1>0.0\g<2>100.0", text, count=1))
    assert checked("accuracy", run, photos).outcome == "differs"


def test_other_class_names_differ(run: Path, photos: Path) -> None:
    file = run / "model" / "config.json"
    config = json.loads(file.read_text())
    config["label_names"][1] = "ship"
    file.write_text(json.dumps(config))
    check = checked("classes", run, photos)
    assert (check.outcome, "number 1: 'ship', in the data set 'class1'" in check.words) == ("differs", True)


def test_images_of_more_classes_say_nothing(run: Path, tmp_path: Path) -> None:
    found = outcomes(list(verify(str(run), str(write_photos(tmp_path / "other", classes=4, each=20)))))
    assert (found["classes"], found["accuracy"], "code" in found) == ("differs", "unknown", False)


def test_other_images_are_not_those_of_the_claim(run: Path, tmp_path: Path) -> None:
    other = write_photos(tmp_path / "other", classes=3, each=20, seed=9)
    assert checked("images", run, other).outcome == "unknown"


def test_code_that_is_not_ours_is_not_run(run: Path, photos: Path, tmp_path: Path) -> None:
    card, trace = run / "model" / "README.md", tmp_path / "trace"
    card.write_text(card.read_text().replace("import timm\n", f"import timm\nopen({str(trace)!r}, 'w')\n", 1))
    assert checked("code", run, photos).outcome == "unknown"
    assert not trace.exists()


def test_no_part_of_a_folders_name_becomes_code(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ['"', "'", "') or print('x') #", "$(touch trace)", "`touch trace`", "a\nimport os", "{x}", "%s", "\\", "é"]
    ran: list[str] = []
    monkeypatch.setattr("botzoo.hub.verify.run_code", lambda code, image, model: ran.append(code) or [])
    checked("code", run.rename(tmp_path / f"-c{''.join(parts)}"), photos)
    kept = temperature_in(json.loads(next(tmp_path.glob("*/model/config.json")).read_text()))
    assert ran == [usage_code(HERE, 3, ours=False, temperature=kept)]


LOOK = "import os, sys; print(sorted(os.listdir()), sys.path)\ntry:\n    import evil\nexcept ImportError:\n    print('none')"


@pytest.mark.parametrize("paths", ["{model}", "", ":", ".", "{model}/deep", "{link}", "/nowhere:{model}:."])
def test_code_sees_weights_and_image_and_imports_nothing_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: str
) -> None:
    model, link = tmp_path / "model", tmp_path / "link"
    for folder in (model, model / "deep"):
        folder.mkdir()
        (folder / "evil.py").write_text("print('evil')")
    for name in ("config.json", "model.safetensors"):
        (model / name).touch()
    link.symlink_to(model)
    monkeypatch.setenv("PYTHONPATH", paths.format(model=model, link=link))
    monkeypatch.chdir(model)
    seen, last = run_code(LOOK, b"", model)
    assert (last, str(tmp_path) in seen) == ("none", False)
    assert seen.startswith("['config.json', 'model.safetensors', 'photo.jpg']")


@pytest.fixture
def alone(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model of a run, without the run and away from its images."""
    monkeypatch.chdir(tmp_path)
    return f"local-dir:{(run / 'model').rename(tmp_path / 'alone')}"


def test_without_its_images_nothing_is_claimed(alone: str) -> None:
    checks = list(verify(alone))
    assert (checks[-1].outcome, exit_status(checks)) == ("unknown", 3)
    assert "--dataset" in checks[-1].words


def test_a_run_is_evaluated_on_the_images_that_it_had(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert next(check for check in verify(str(run)) if check.name == "images").outcome == "agrees"


@pytest.mark.parametrize(("seed", "outcome"), [(0, "agrees"), (9, "unknown")])
def test_a_folder_that_has_no_more_than_the_name_is_not_taken(alone: str, seed: int, outcome: str) -> None:
    write_photos(Path("photos"), classes=3, each=20, seed=seed)
    found = next(check for check in verify(alone) if check.name in ("images", "accuracy"))
    assert (found.outcome, f"({Path('photos').absolute()} has others)" in found.words) == (outcome, seed == 9)


def test_a_card_that_is_none_is_named(run: Path, photos: Path) -> None:
    (run / "model" / "README.md").write_text("---\nmodel-index: 7\n---\n")
    with pytest.raises(CheckpointError, match="is not a model card"):
        list(verify(str(run), str(photos)))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a: [", "seed: 0\n", "seed: x\ndata: {}\n"])
def test_a_recipe_that_is_none_is_a_check_that_failed_and_the_rest_goes_on(run: Path, photos: Path, text: str) -> None:
    (run / "model" / "recipe.yaml").write_text(text)
    found = outcomes(but_for_the_code(run, photos))
    assert (found["recipe"], found["weights"], "accuracy" in found) == ("differs", "agrees", True)


def test_the_embedded_weights_are_those_of_their_claim_and_card() -> None:
    weights = WEIGHTS[EMBEDDED]
    claim = claim_in_table(weights)
    assert claim == claim_in_card(CARD)
    assert claim is not None
    assert weights.path is not None
    assert (claim.weights_sha256, claim.value) == (sha256_of(weights.path), weights.top1)


def test_the_interval_of_a_figure_on_imagenet_is_wilsons() -> None:
    claim = claim_in_table(WEIGHTS["resnet50d_bot.gluon_in1k"])
    assert claim is not None
    assert (claim.images, claim.low, claim.high) == (
        50_000,
        pytest.approx(78.72, abs=0.01),
        pytest.approx(79.43, abs=0.01),
    )


@pytest.mark.slow
def test_the_recipe_trains_the_same_again(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reproduction(str(run), str(photos), str(tmp_path / "again"))
    assert found.command.startswith(f"botzoo train --config {run / 'model' / 'recipe.yaml'} --dataset ")
    assert found.command.endswith(f" --output {tmp_path / 'again'}")
    monkeypatch.setattr("subprocess.Popen", ForkedPython)
    assert rerun(found) == 0
    ours, theirs = final_weights(tmp_path / "again"), final_weights(run)
    assert all(torch.allclose(ours[name].float(), theirs[name].float(), atol=1e-4) for name in theirs)


def test_a_folder_that_only_its_owner_knows_has_to_be_named(run: Path) -> None:
    found = reproduction(str(run))
    assert found.command.endswith("--dataset FOLDER")
    with pytest.raises(ConfigError, match="--dataset"):
        rerun(found)


@pytest.mark.parametrize("place", ["", "model"])
def test_a_run_without_a_recipe_has_its_own_options(run: Path, photos: Path, place: str) -> None:
    (run / "model" / "recipe.yaml").unlink()
    found = reproduction(str(run / place))
    assert found.command == f"botzoo train --config {run / 'config.yaml'} --dataset {photos} --output runs/run-again"


OF_A_MACHINE = [name for name, own in options_of(FinetuneConfig).items() if own.machine]


@pytest.mark.parametrize("name", [*OF_A_MACHINE, *WORDS])
def test_a_recipe_cannot_choose_where_to_write_or_what_to_tell_whom(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(nested({"epochs": 1, name: "x"})))
    with pytest.raises(CheckpointError, match=f"recipe.yaml holds {name}, which no recipe chooses"):
        reproduction(f"local-dir:{tmp_path}")


@pytest.mark.parametrize(
    "ask", [sheet, lambda name: list(verify(name)), reproduction], ids=["info", "verify", "reproduce"]
)
def test_advice_without_a_network_names_no_option_of_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: Callable[[str], object]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NetworkError, match="the Hub cannot be reached: connect and try again") as caught:
        ask("hf-hub:owner/name")
    assert "--" not in str(caught.value)


def test_a_name_that_there_is_not_is_called_so() -> None:
    with pytest.raises(ModelError, match=r"There is no network 'resnet10d_bott'.*Did you mean 'resnet10d_bot'"):
        reproduction("resnet10d_bott")


def test_weights_that_are_not_those_of_the_card_are_not_published(run: Path) -> None:
    file = run / "model" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(PublishError, match="not those that its card is of"):
        pack(run, "me/photos", "mit")


@pytest.mark.parametrize("name", ["evaluation/validation.parquet", "metrics.jsonl", "run.json", "config.yaml"])
def test_a_run_whose_records_are_damaged_is_not_published(name: str, run: Path) -> None:
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run / name).write_bytes(content)
    with pytest.raises(PublishError, match=re.escape(name.rpartition("/")[2])):
        pack(run, "me/photos", "mit")


def test_a_recipe_with_a_secret_is_not_published(run: Path) -> None:
    recipe = run / "model" / "recipe.yaml"
    recipe.write_text(re.sub("^dataset: .*", "dataset: https://me:pw@host/a.tar?sig=1", recipe.read_text(), flags=re.M))
    with pytest.raises(PublishError, match="an address with a secret: write card and recipe anew"):
        pack(run, "me/photos", "mit")


def test_a_link_is_not_published(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (run / "model" / "metrics.jsonl").unlink()
    (run / "model" / "metrics.jsonl").symlink_to(tmp_path / "secret")
    with pytest.raises(PublishError, match=r"metrics\.jsonl is a link to"):
        pack(run, "me/photos", "mit")


def test_a_recipe_that_is_none_is_not_published(run: Path) -> None:
    (run / "model" / "recipe.yaml").write_text("a: [")
    with pytest.raises(PublishError, match="is not a recipe that can be read"):
        pack(run, "me/photos", "mit")


def test_weights_without_a_recipe_cannot_be_repeated() -> None:
    with pytest.raises(ModelError, match="No recipe travels with"):
        reproduction("resnet50d_bot")


def with_temperature(run: Path, code: float, config: float) -> None:
    """Let the card's code divide by ``code``, and config.json say ``config``."""
    card = run / "model" / "README.md"
    kept = temperature_in(json.loads((run / "model" / "config.json").read_text()))
    before, after = (usage_code(HERE, 3, ours=False, temperature=t) for t in (kept, code))
    assert before in card.read_text()
    card.write_text(card.read_text().replace(before, after))
    write_temperature(run / "model", config)


@pytest.mark.parametrize(("config", "outcome"), [(2.5, "agrees"), (0.4, "differs")])
def test_code_and_config_have_one_temperature(
    run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, config: float, outcome: str
) -> None:
    monkeypatch.setattr("botzoo.hub.verify.run_code", code_run_here)
    with_temperature(run, 2.5, config)
    check = checked("code", run, photos)
    assert (check.outcome, "2.5, that of config.json 0.4" in check.words) == (outcome, outcome == "differs")


def test_the_embedded_cards_code_has_the_temperature_of_the_weights() -> None:
    weights = WEIGHTS[EMBEDDED]
    assert weights.temperature is not None
    assert usage_code(EMBEDDED, 100, ours=True, temperature=weights.temperature) in CARD.read_text()


@pytest.mark.parametrize("labels", ["../private.csv", "/etc/hostname", "up/private.csv"])
def test_the_table_that_a_recipe_names_lies_in_the_folder_of_the_images(tmp_path: Path, labels: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "up").symlink_to(tmp_path)
    config = FinetuneConfig(dataset=str(tmp_path / "photos"), labels=labels)
    with pytest.raises(DataError, match="The recipe names"):
        own_table(config)
    inside = own_table(replace(config, labels="train.csv"))
    assert inside == str((tmp_path / "photos" / "train.csv").resolve())
    assert [own_table(replace(config, labels=word)) for word in ("folders", None)] == ["folders", None]


@pytest.mark.parametrize("inside", ["", "photos/"])
def test_the_table_that_a_recipe_names_may_lie_in_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    monkeypatch.setenv("BOTZOO_CACHE", str(tmp_path / "cache"))
    rows = [(f"{i}.png", "ab"[i % 2]) for i in range(4)]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"{inside}mine.csv", "\n".join(["file,label", *map(",".join, rows)]))
        for name, _ in rows:
            archive.writestr(f"{inside}{name}", b"an image")
    config = FinetuneConfig(dataset=str(tmp_path / "a.zip"), labels="mine.csv")
    found = find_images(config.dataset, SourceOptions(labels=own_table(config)))
    assert [found.train.labels[i] for i in range(4)] == [0, 1, 0, 1]
    with pytest.raises(DataError, match="The recipe names"):
        own_table(replace(config, labels="../../mine.csv"))


def test_a_card_names_a_table_from_the_folder_of_the_images_on(tmp_path: Path) -> None:
    for name in ("photos/parts/train.csv", "tables/other.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    photos = str(tmp_path / "photos")
    assert table_name(f"{photos}/parts/train.csv", photos) == "parts/train.csv"
    assert table_name(str(tmp_path / "tables" / "other.csv"), photos) == "other.csv"
    assert [table_name(word, photos) for word in ("folders", "train.csv", None)] == ["folders", "train.csv", None]
