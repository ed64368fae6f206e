"""What is said of long images, and how the way to fit them is chosen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from botzoo.errors import DataError
from botzoo.models.preprocessing import Preprocessing, Side
from botzoo.training.plan import fit_lines
from botzoo.training.setup import open_draft, with_choices
from botzoo.training.state import Draft
from botzoo_finetune.config import FinetuneConfig
from botzoo_finetune.probing import fit
from botzoo_finetune.probing.first_look import Look
from botzoo_finetune.probing.fit import ChooseFit
from botzoo_finetune.transfer.features import Extractor
from running import write_teacher

Opened = Callable[[int], Draft]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_teacher(tmp_path_factory.mktemp('weights') / 'model', size=32)}"


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Data sets of pictures of these widths."""
    root = tmp_path_factory.mktemp("ends")
    return {width: write_ends(root / str(width), width) for width in (29, 80)}


def write_ends(folder: Path, width: int) -> str:
    """Pictures of 20 px in height that are grey but for 10 px at the left, whose colour tells the class."""
    for k, name in enumerate(("red", "blue")):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            pixels = np.full((20, width, 3), 128, np.uint8)
            pixels[:, :10] = [200 - i, 20, 20] if k == 0 else [20, 20, 200 - i]
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return str(folder)


@pytest.fixture
def opened(weights: str, ends: dict[int, str]) -> Opened:
    """Opens a run of pictures of a width."""
    usual = {"model": weights, "mixed_precision": "fp32", "epochs": 1}
    return lambda width: open_draft(FinetuneConfig(dataset=ends[width], **usual), frozenset())


def with_given(draft: Draft, **given: Any) -> Draft:
    config = replace(draft.config, data=replace(draft.config.data, **given))
    return replace(draft, config=config, given=frozenset(f"data.{name}" for name in given))


def test_of_long_images_the_way_is_chosen_that_a_probe_finds_best(opened: Opened) -> None:
    (choice,) = ChooseFit().on_resolve(opened(80))
    assert (choice.option, choice.value) == ("data.fit", "squash")  # pad is as good, crop sees nothing
    assert "4.0 times as long as wide, and the centre crop of evaluation sees 25% of it" in choice.reason
    assert "crop 0.0 %, squash 100.0 %, pad 100.0 %" in choice.reason


def test_what_is_chosen_is_how_images_are_prepared_and_not_warned_of_any_more(opened: Opened) -> None:
    draft = opened(80)
    assert "4.0 times as long as wide" in " ".join(fit_lines(draft))
    draft = with_choices(draft, ChooseFit().on_resolve(draft))
    prepared = draft.network.preprocessing
    assert (prepared.crop_mode, prepared.crop_pct, draft.config.data.fit) == ("squash", 1.0, "squash")
    assert list(fit_lines(draft)) == []


@pytest.mark.parametrize(("width", "given"), [(29, {}), (80, {"fit": "crop"})])
def test_nothing_is_probed_of_shorter_images_or_where_somebody_has_chosen(
    opened: Opened, width: int, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fit, "probed")
    draft = with_given(opened(width), **given)
    assert list(ChooseFit().on_resolve(draft)) == []
    assert list(fit_lines(draft)) == []


def test_a_long_input_is_long_enough_for_long_images(opened: Opened) -> None:
    for width, said in ((80, []), (29, ["2.8 times off the input's shape of 16 x 64"])):
        network = (draft := opened(width)).network
        prepared = replace(network.preprocessing, size=(16, 64))
        lines = fit_lines(replace(draft, network=replace(network, preprocessing=prepared)))
        assert [part in line for part, line in zip(said, lines, strict=True)] == [True] * len(said)


def test_only_a_part_of_many_images_is_probed(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    monkeypatch.setattr(fit, "LOOKED_AT", {"train": 8, "validation": 2})
    monkeypatch.setattr(fit, "probed", lambda draft, way: seen.append([len(i) for i in draft.images.values()]) or 1.0)
    (choice,) = ChooseFit().on_resolve(opened(80))
    assert (choice.value, seen) == ("crop", [[8, 2]] * 3)  # the first of equal ones


def test_features_of_one_way_are_not_taken_for_those_of_another(opened: Opened) -> None:
    draft, keys = opened(80), set()
    for way in (None, "squash", "pad"):
        prepared = draft.network.preprocessing.fitted(way)
        keys.add(Extractor(replace(draft, network=replace(draft.network, preprocessing=prepared))).key("train"))
    assert len(keys) == 3


def test_where_the_crop_sees_nothing_the_error_says_what_shows_more(opened: Opened) -> None:
    with pytest.raises(DataError, match=r"are all alike to it.*--data\.fit squash or pad shows all"):
        _ = Look(opened(80)).probe


@pytest.mark.parametrize(
    ("size", "shapes", "expected"),
    [
        (64, [(160, 640)], (32, 128)),
        (64, [(640, 160)], (128, 32)),
        (224, [(480, 640)] * 3 + [(160, 640)] * 4, (112, 448)),
        (64, [(90, 160)], (48, 88)),
        (64, [(160, 640), (640, 160)], None),  # no shape fits most of them
        (64, [(100, 1600)], None),  # too small a side would be left
        ((32, 128), [(160, 640)], (32, 128)),
    ],
)
def test_a_long_input_has_the_images_shape_and_the_squares_pixels(
    size: Side, shapes: list[tuple[int, int]], expected: tuple[int, int] | None
) -> None:
    prepared = Preprocessing(size, (0.5,), (0.5,), 1.0, "bilinear")
    found = fit.long_input(np.array(shapes, np.int32), prepared)
    assert found == expected
    assert found is None or 0.75 < found.area / prepared.shape.area < 1.34


def test_an_input_of_the_images_shape_is_taken_where_a_probe_finds_it_best(
    tmp_path: Path, ends: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"local-dir:{write_teacher(tmp_path / 'model', size=64)}"
    config = FinetuneConfig(dataset=ends[80], model=model, mixed_precision="fp32", epochs=1)
    draft = open_draft(config, frozenset())
    monkeypatch.setattr(fit, "probed", lambda draft, prepared: 50.0 + prepared.shape.oblong)
    (choice,) = ChooseFit().on_resolve(draft)
    assert str(choice).startswith("--img-size 32 128: the median training image is 4.0 times as long as wide")
    assert "crop 50.0 %, squash 50.0 %, pad 50.0 %, an input of 32 x 128 px 51.0 %" in choice.reason
    chosen = with_choices(draft, [choice])
    assert (chosen.network.preprocessing.shape, chosen.config.img_size) == ((32, 128), (32, 128))
    assert list(fit_lines(chosen)) == []
    for given in ({"img_size"}, set()):
        kept = replace(draft, given=frozenset(given))
        if not given:
            monkeypatch.setattr(fit, "has_batch_norm", lambda model: False)
        assert [each.option for each in ChooseFit().on_resolve(kept)] == ["data.fit"]
