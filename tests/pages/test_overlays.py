"""Boxes and masks on pictures."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from botzoo.pages import overlays
from botzoo.pages.overlays import UNKNOWN, BoxMarks, MaskMarks, on_picture, overlay
from botzoo.pages.palette import COLOURS, colour_of, ink_on
from botzoo.pages.sheet import LISTED, Pair, fitting, legend, sheet
from botzoo.util.pictures import font_file

NAMES = ("cat", "dog")
GREY = Image.new("RGB", (120, 90), (90, 90, 90))

EYES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""What is left of linear red, green and blue to an eye without one of its receptors (Machado et al., 2009, table 1)."""


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, int)


def boxes(corners: object, labels: object, frame: tuple[int, int] = (120, 90), **more: object) -> BoxMarks:
    return BoxMarks(np.array(corners, float).reshape(-1, 4), np.array(labels, int), frame, **more)  # type: ignore[arg-type]


def oklab(colour: tuple[int, int, int], eye: object) -> np.ndarray:
    """Return a colour in OKLab (Ottosson, 2020) as an eye sees it."""
    srgb = np.array(colour) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ np.array(eye).T
    cones = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
    axes = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return np.asarray(np.cbrt(linear.clip(0, 1) @ np.array(cones).T) @ np.array(axes).T)


@pytest.mark.parametrize("eye", EYES)
def test_any_two_colours_can_be_told_apart(eye: str) -> None:
    seen = [oklab(colour, EYES[eye]) for colour in COLOURS]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 0.07


def test_letters_are_black_on_yellow_and_white_on_blue() -> None:
    assert (ink_on((240, 228, 66)), ink_on((0, 0, 255))) == ((0, 0, 0), (255, 255, 255))


def test_a_box_is_drawn_in_its_colour_at_its_edges_and_nowhere_else() -> None:
    drawn = pixels(overlay(GREY, boxes([[20, 30, 100, 80]], [1]), NAMES))
    assert (drawn[55, [20, 100]] == colour_of(1)).all()
    assert (drawn[[55, 85], [60, 110]] == 90).all()


def test_corners_are_of_the_stored_picture_however_large_it_is_drawn() -> None:
    stored, reduced = boxes([[200, 300, 1000, 800]], [0], (1200, 900)), boxes([[20, 30, 100, 80]], [0])
    assert overlay(GREY, stored, NAMES, 240) == overlay(GREY, reduced, NAMES, 240)


def test_a_faulty_box_has_gaps() -> None:
    whole, dashed = (
        pixels(overlay(GREY, boxes([[20, 30, 100, 80]], [0], faulty=np.array([odd])), NAMES)) for odd in (False, True)
    )
    of_class = [(drawn[40:80, 20] == colour_of(0)).all(-1).mean() for drawn in (whole, dashed)]
    assert of_class[0] == 1
    assert 0.2 < of_class[1] < 0.8


def test_what_no_box_can_be_drawn_of_costs_nothing() -> None:
    odd = boxes([[np.nan] * 4, [5, 5, 5, 5], [-900, -900, 1e9, 1e9], [80, 80, 20, 20]], [0, 1, 0, 700])
    assert overlay(GREY, odd, NAMES).size == GREY.size
    assert overlay(GREY, boxes([], []), NAMES) == GREY


def test_a_thousand_boxes_have_as_many_tags_as_there_is_room_for() -> None:
    corners = np.random.default_rng(0).uniform(0, 300, (1000, 2))
    many = boxes(np.hstack([corners, corners + 9]), [0] * 1000, (320, 320), scores=np.linspace(1, 0, 1000))
    drawn = pixels(overlay(Image.new("RGB", (320, 320)), many, NAMES))
    assert (drawn == colour_of(0)).all(-1).mean() > 0.2


def test_a_mask_takes_the_colours_of_its_classes_and_leaves_unknown_pixels() -> None:
    mask = np.full((90, 120), UNKNOWN, np.uint8)
    mask[:, :40] = 1
    drawn = pixels(overlay(GREY, MaskMarks(mask), NAMES))
    assert np.abs(drawn[5, 5] - (0.4 * 90 + 0.6 * np.array(colour_of(1)))).max() <= 1
    assert (drawn[:, 42:] == 90).all()


def test_classes_of_one_colour_have_patterns_of_their_own() -> None:
    masks = (np.full((90, 120), k * len(COLOURS), np.uint8) for k in range(4))
    drawn = [pixels(overlay(GREY, MaskMarks(mask), ())).tobytes() for mask in masks]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize(
    ("name", "shown"),
    [("cat", "cat"), ("\x1b[31mred", "\\x1b[31mred"), ("白血球", "0"), ("", "(no name)"), ("n" * 99, "n" * 17 + "…")],
)
def test_a_name_on_a_picture_is_harmless_and_can_be_read(name: str, shown: str) -> None:
    assert on_picture([name], 0) == shown


def test_a_sheet_has_truth_and_answer_side_by_side() -> None:
    empty, found = boxes([], []), boxes([[20, 30, 100, 80]], [1])
    whole = pixels(sheet([Pair(GREY, empty, found, "\u202eone\nline")], NAMES, 120))
    of_class = (whole == colour_of(1)).all(-1).any(0)
    assert not of_class[30:131].any()  # the legend's swatch lies before
    assert of_class[10 + 130 + 20]


def test_the_line_below_a_picture_has_its_underscores() -> None:
    with_and_without = (sheet([Pair(GREY, boxes([], []), None, line)], NAMES, 120) for line in ("_", " "))
    assert (pixels(next(with_and_without)) != pixels(next(with_and_without))).any()


@pytest.mark.parametrize("width", [120, 600, 2000])
def test_letters_stay_on_their_tag(width: int) -> None:
    picture, ink = Image.new("RGB", (width, 200), (90, 90, 90)), colour_of(1)
    overlays.Pen.of(picture).tag(ImageDraw.Draw(picture), [9, 100, 9, 100], "_Åg", ink, overlays._Room(picture.size))
    drawn = pixels(picture)
    assert ((drawn != 90).any(-1).any(1) == (drawn == ink).all(-1).any(1)).all()


def test_a_legend_of_many_classes_names_the_first_and_keeps_its_width() -> None:
    few, many = (legend(range(n), [f"class number {k}" for k in range(n)], 300) for n in (LISTED, 250))
    assert few.width == many.width == 300
    assert 0 <= many.height - few.height < 40


@pytest.mark.parametrize("text", ["", "short", "w" * 500, "ﷺ" * 200])
def test_a_line_is_cut_to_its_width(text: str) -> None:
    font = ImageFont.truetype(font_file(), 15)
    cut = fitting(text, font, 90)
    assert font.getlength(cut) <= 90
    assert cut == text or cut.endswith("…")


def test_a_mask_is_painted_in_parts_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    small = np.random.default_rng(0).integers(0, 60, (9, 12), np.uint8)
    marks = MaskMarks(np.where(small > 50, UNKNOWN, small).astype(np.uint8))
    whole = overlay(GREY, marks, NAMES)
    monkeypatch.setattr(overlays, "AT_ONCE", 7 * GREY.width)
    assert overlay(GREY, marks, NAMES) == whole
