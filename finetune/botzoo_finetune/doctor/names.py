"""Names of classes: alike but not the same, or in one split and not in another."""

import re
from collections.abc import Mapping, Sequence

from botzoo.util.text import listing
from botzoo_finetune.doctor.findings import Finding


def check_names(names: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Compare the names that the splits use, by role, that of training first.

    Names that differ by case, spaces, dashes and underscores only count as the same class spelt in two ways; they are not
    reported as missing.
    """
    trained, spellings = names.get("train", ()), dict[str, dict[str, list[str]]]()
    findings: list[Finding] = []
    if len(trained) == 1:
        text = f"the training images are of one class, {trained[0]!r}: a classifier needs two or more"
        findings.append(Finding("names", text))
    for role, own in names.items():
        for name in own:
            spellings.setdefault(folded(name), {}).setdefault(name, []).append(role)
    for spelt in spellings.values():
        if len(spelt) > 1:
            named = " and ".join(f"{name!r} ({', '.join(roles)})" for name, roles in spelt.items())
            findings.append(Finding("names", f"{named} differ by case, spaces, dashes or underscores only"))
    for role, own in names.items():
        if untaught := _without(own, trained):
            findings.append(Finding("names", f"{role} has {listing(untaught)}, which train has not"))
        if unseen := _without(trained, own):
            text = f"{role} has no images of {listing(unseen)}: nothing is known of them there"
            findings.append(Finding("names", text))
    return findings


def folded(name: str) -> str:
    """Return ``name`` without case, and with single spaces for spaces, dashes and underscores."""
    return re.sub(r"[\s_-]+", " ", name.casefold()).strip()


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return those of ``names`` that are in ``others`` in no spelling."""
    spelt = {folded(name) for name in others}
    return [name for name in names if folded(name) not in spelt]
