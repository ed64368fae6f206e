"""The licence of weights: that of those they started from, asked for where it is not known, never guessed."""

from botzoo.errors import ConfigError


def forbids_commerce(license: str | None) -> bool:
    """Tell whether ``license``, by its name, forbids commercial use."""
    return license is not None and ("-nc" in license or "noncommercial" in license)


def inherited_license(weights: str | None, data: str | None) -> str | None:
    """Return the licence that trained weights have without anybody's choice, None where somebody has to choose.

    That of the ``weights`` which they started from is inherited, if it is known, unless they allow commercial use and
    the licence of the ``data`` forbids it.
    """
    known = None if weights in (None, "unknown") else weights
    return None if forbids_commerce(data) and not forbids_commerce(known) else known


def combined_license(weights: str | None, data: str | None, chosen: str | None) -> str | None:
    """Return the licence of trained weights, None where it is open and nobody chose.

    Raises:
        ConfigError: one is chosen against that of the weights which they started from.
    """
    inherited = inherited_license(weights, data)
    if inherited is not None and chosen not in (None, inherited):
        raise ConfigError(
            f"--license is {chosen!r}, but the licence of the weights it starts from is {inherited!r}: leave --license out."
        )
    return inherited or chosen
