"""What is found as files: drawn, as masks, and as COCO's JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from botzoo import cli
from botzoo.errors import ConfigError
from botzoo.inference.dense.files import Marks, stems, write_mask
from botzoo.inference.images import Named, find_named
from botzoo.inference.output import FORMATS
from botzoo.inference.predict import Model
from botzoo.sources.targets.find import find_boxes
from botzoo.tasks.metrics.dense.coco import library
from dense_models import NAMES, picture


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *argv: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["botzoo", "predict", *map(str, argv)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), *capsys.readouterr()


def test_a_folder_has_each_picture_with_its_mask(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    segmenter: Path,
    segmenter_model: Model,
    scenes: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    status, said, told = call(capsys, monkeypatch, scenes, "--model", segmenter, "--output", out)
    assert (status, "broken.jpg: " in told, "4 pictures in" in told) == (1, True, True)
    assert len(said.splitlines()) == 4
    stems = {"wide", "tall", "grey", "more/square"}
    assert {str(p.relative_to(out)) for p in out.rglob("*.*")} == {
        f"{s}.{end}" for s in stems for end in ("jpg", "png")
    }
    for stem, image in {"wide": "wide.png", "more/square": "more/square.png"}.items():
        mask = picture(out / f"{stem}.png")
        assert mask.mode == "P"
        assert np.array_equal(np.asarray(mask), segmenter_model.predict(scenes / image).mask)  # type: ignore[arg-type]
        assert picture(out / f"{stem}.jpg").size == picture(scenes / image).size


def test_boxes_as_coco_are_read_again_as_a_data_set(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    detector: Path,
    detector_model: Model,
    scenes: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    for name in ("wide.png", "tall.jpg"):
        (folder / name).write_bytes((scenes / name).read_bytes())
    file = folder / "found.json"
    status, said, _ = call(capsys, monkeypatch, folder, "--model", detector, "--coco", file, "--least-score", "1")
    assert (status, said.count("nothing found")) == (0, 2)
    assert {"id", "image_id", "category_id", "bbox", "score"} <= {*json.loads(file.read_text())["annotations"][0]}
    data = find_boxes(str(tmp_path))
    assert data.class_names == NAMES
    for i in range(2):
        found = detector_model.predict(data.train.read(i), least_score=0.0).boxes
        corners = [box.corners for box in found if min(box.right - box.left, box.bottom - box.top) > 0.02]
        np.testing.assert_allclose(data.train.boxes[i].corners[: len(corners)], corners, atol=0.02)


def test_boxes_as_coco_are_what_its_library_reads(detector_model: Model, scenes: Path, tmp_path: Path) -> None:
    """Both as objects and as what was found, which is perfect beside itself."""
    named = find_named([str(scenes / "wide.png"), str(scenes / "tall.jpg")])
    kept = Marks(detector_model, named, coco=tmp_path / "found.json")
    predictions = [detector_model.predict(image.place, least_score=0.0) for image in named]
    for place, prediction in enumerate(predictions):
        kept.taken(place, prediction)
    list(kept.close())
    coco, evaluator = library()
    there = coco(str(tmp_path / "found.json"))
    assert [len(there.getAnnIds(imgIds=i)) for i in there.getImgIds()] == [len(each.boxes) for each in predictions]
    evaluation = evaluator(
        there, there.loadRes(json.loads((tmp_path / "found.json").read_text())["annotations"]), "bbox"
    )
    evaluation.run()
    assert evaluation.stats[0] == pytest.approx(1)


@pytest.mark.parametrize("form", ["json", "csv", "table"])
@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_text_in_each_format_has_what_is_found(
    detector_model: Model, segmenter_model: Model, scenes: Path, kind: str, form: str
) -> None:
    answers = {
        "boxes": detector_model.predict(scenes / "wide.png", least_score=0.0),
        "masks": segmenter_model.predict(scenes / "wide.png"),
    }
    found = answers[kind]
    lines = [*FORMATS[kind][form]([found])]
    if form == "json":
        rows = next(value for value in json.loads(lines[0]).values() if isinstance(value, list))
        assert [row["label"] for row in rows] == list(found.labels)
    else:
        assert len(lines) == 1 + len(found.labels) > 1
    if form == "csv":
        assert "".join(lines).count("'=dog") == found.labels.count("=dog")


def test_nothing_is_overwritten_unasked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, segmenter: Path, scenes: Path, tmp_path: Path
) -> None:
    (tmp_path / "wide.png").write_text("mine")
    words = (scenes / "wide.png", "--model", segmenter, "--output", tmp_path)
    status, _, told = call(capsys, monkeypatch, *words)
    assert (status, "is not empty" in told, (tmp_path / "wide.png").read_text()) == (2, True, "mine")
    assert call(capsys, monkeypatch, *words, "--overwrite")[0] == 0
    assert picture(tmp_path / "wide.png").size == (128, 80)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--output", "{scenes}", "--overwrite"), "holds the image"),
        (("--coco", "{scenes}/x.json"), "--coco is for networks that give boxes, and"),
        (("--columns", "id,label"), "--columns is for networks that give classes, and"),
        (("--coco", "{scenes}/wide.png"), "wide.png is there already: give another name by --coco"),
        (("--coco", "{scenes}/none/x.json"), "--coco {scenes}/none/x.json: there is no folder"),
        (
            ("--coco", "{scenes}/new", "--output", "{scenes}/new"),
            "--output and --coco are both {scenes}/new: give one of them",
        ),
        (("--least-score", "2"), "a number from 0 to 1"),
        (("--coco", "{scenes}/x.json", "--output", "{scenes}/x.json"), "--output and --coco are both {scenes}/x.json"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    segmenter: Path,
    scenes: Path,
    words: tuple[str, ...],
    says: str,
) -> None:
    before = sorted(scenes.rglob("*"))
    given = [word.format(scenes=scenes) for word in words]
    status, said, told = call(capsys, monkeypatch, scenes, "--model", segmenter, *given)
    assert (status, said, len(told.splitlines())) == (2, "", 1)
    assert says.format(scenes=scenes) in told
    assert sorted(scenes.rglob("*")) == before


def test_no_image_is_overwritten_by_what_is_found_on_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, segmenter: Path, scenes: Path, tmp_path: Path
) -> None:
    image = tmp_path / "more" / "wide.png"
    image.parent.mkdir()
    image.write_bytes((scenes / "wide.png").read_bytes())
    status, _, told = call(capsys, monkeypatch, tmp_path, "--model", segmenter, "--output", tmp_path, "--overwrite")
    assert (status, f"--output {tmp_path} holds the image {image}" in told) == (2, True)
    assert image.read_bytes() == (scenes / "wide.png").read_bytes()


def test_files_are_called_as_the_pictures_are(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.jpg").touch()
    named = find_named([str(scenes), str(tmp_path), "https://x.org/one/two%2F..%2Fb.jpg?size=3"])
    assert [str(stem) for stem in stems(named)] == [
        *("broken", "grey", "tall", "wide", "more/square", "a.jpg", "a.png", "b")
    ]


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "../../out.png", "https://x.org/..", "https://x.org/"])
def test_no_file_leaves_the_folder(name: str) -> None:
    (stem,) = stems([Named(name, name)])
    assert not stem.is_absolute()
    assert ".." not in stem.parts
    assert len(stem.parts) == 1


def test_two_pictures_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="would have one name in --output, x"):
        stems([Named("a/x.png", "a/x.png"), Named("b/x.png", "b/x.png")])


def test_a_mask_of_all_classes_keeps_its_numbers(tmp_path: Path) -> None:
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_mask(tmp_path / "m.png", mask)
    assert np.array_equal(np.asarray(picture(tmp_path / "m.png")), mask)
