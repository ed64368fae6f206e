"""Colours of classes that people with any kind of colour vision can tell apart."""

COLOURS: tuple[tuple[int, int, int], ...] = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66), (0, 114, 178), (213, 94, 0)),
    *((105, 30, 0), (120, 255, 255), (75, 30, 120), (0, 0, 255), (105, 90, 90), (135, 210, 165), (135, 120, 255)),
    *((75, 45, 180), (195, 15, 15)),
)
"""Red, green and blue. The first seven are those of Okabe and Ito (2008); each further one is, of a grid of colours, the one
whose nearest neighbour among those before it is furthest away in OKLab (Ottosson, 2020), to the eye that sees the least
difference: a normal, a protanopic, a deuteranopic or a tritanopic one (Machado et al., 2009)."""


def colour_of(k: int) -> tuple[int, int, int]:
    """Return the colour of class ``k``; from the 17th class on they come round again, see ``rounds``."""
    return COLOURS[k % len(COLOURS)]


def rounds(k: int) -> int:
    """Return how many classes before ``k`` have its colour: those are told apart by their patterns."""
    return k // len(COLOURS)


def ink_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return black or white, whichever can be read better on ``colour`` (WCAG 2.2, contrast ratio)."""
    red, green, blue = ((c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (0, 0, 0) if (light + 0.05) ** 2 > 0.05 * 1.05 else (255, 255, 255)
