"""What was found, as lines for the terminal, as JSON, and as a list of the images to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from botzoo.errors import printable
from botzoo_finetune.doctor.examine import Report
from botzoo_finetune.doctor.findings import Check, Finding

ADVICE: dict[Check, str] = {
    "usable": "nothing can be trained on it as it is",
    "names": "give a class one name, in every split",
    "counts": "gather more images of the rare classes, and read their recall beside the accuracy",
    "corrupt": "mend or remove them, or train with --skip-corrupt",
    "duplicates": "keep one of each; what is in two splits makes the figures too good",
    "near duplicates": "keep one of each; what is in two splits makes the figures too good",
    "labels": "look at them, the worst first, and move those that are wrong",
    "blank": "remove them, unless nothing is what they should show",
    "tiny": "look whether they are thumbnails or icons that came along by mistake",
    "aspect": "crop them to what matters: the network sees the middle only",
    "sizes": "",
}
"""What to do about the findings of each check; the order is that of the reports."""
SHOWN = 5
"""At most so many findings of a check are shown in the terminal."""
OTHERS = 3
"""At most so many other images are named beside one of a group."""


def by_check(report: Report) -> Iterator[tuple[Check, list[Finding]]]:
    """Yield the findings check by check, in the order of ``ADVICE``."""
    order = list(ADVICE)
    ordered = sorted(report.findings, key=lambda finding: order.index(finding.check))
    for check, findings in groupby(ordered, key=lambda finding: finding.check):
        yield check, list(findings)


def lines(report: Report) -> Iterator[str]:
    """Yield the report for the terminal."""
    for i, line in enumerate(_data(report)):
        yield _line("" if i else "data", line)
    for check, findings in by_check(report):
        look = sum(finding.look for finding in findings)
        count = f"{look:,} to look at" if look else "worth knowing"
        rest = len(findings) - look
        count += f", {rest:,} worth knowing" if look and rest else ""
        yield _line(check, f"{count}: {ADVICE[check]}" if ADVICE[check] else count)
        for finding in sorted(findings, key=lambda finding: not finding.look)[:SHOWN]:
            yield _line("", f"  {printable(told(report, finding), 400)}")
        if len(findings) > SHOWN:
            yield _line("", f"  and {len(findings) - SHOWN:,} more")
    yield _line("result", verdict(report))


def _line(heading: str, text: str) -> str:
    return f"{heading:<15} {text}"


def _data(report: Report) -> Iterator[str]:
    sizes = ", ".join(f"{int(count.sum()):,} {role}" for role, count in report.counts.items())
    yield printable(report.dataset) + (f": {sizes} images in {len(report.roll.class_names)} classes" if sizes else "")
    yield from (printable(remark, 500) for remark in report.remarks)
    yield from facts(report)


def facts(report: Report) -> Iterator[str]:
    """Yield sentences on the sizes of the images and on the estimate."""
    if (s := report.sizes) is not None:
        yield f"shorter sides of {s.least:,} to {s.most:,} px, {s.median:,} in the middle; the network's input has {s.input:,}"
    if report.accuracy is not None:
        wrong = f", and takes {report.noise:.1%} of the labels to be wrong" if report.noise is not None else ""
        yield f"an estimate from the network's features agrees with the labels of {report.accuracy:.1%} of the images{wrong}"


def told(report: Report, finding: Finding) -> str:
    """Return a finding with the names of its images in front, the first few of them."""
    names = [report.roll.entry(i).name for i in finding.images[: OTHERS + 1]]
    more = [f"{len(finding.images) - len(names)} more"] if len(finding.images) > len(names) else []
    return f"{', '.join([*names, *more])}: {finding.reason}" if names else finding.reason


def verdict(report: Report) -> str:
    """Return the last line: how much is to be looked at."""
    if report.well:
        return "nothing to look at"
    look = [finding for finding in report.findings if finding.look]
    images = {i for finding in look for i in finding.images}
    return f"{len(look):,} finding(s) to look at" + (f", of {len(images):,} image(s)" if images else "")


def to_look_at(report: Report) -> Iterator[str]:
    """Yield one line for each image to look at: its name, a tab, and why, with others of the same group."""
    for _, findings in by_check(report):
        for finding in findings:
            if finding.look:
                for i in finding.images:
                    yield f"{_plain(report.roll.entry(i).name)}\t{_plain(_why(report, finding, i))}"


def _why(report: Report, finding: Finding, i: int) -> str:
    others = [report.roll.entry(k).name for k in finding.images if k != i]
    more = f" and {len(others) - OTHERS:,} more" if len(others) > OTHERS else ""
    return finding.reason + (f": also {', '.join(others[:OTHERS])}{more}" if others else "")


def _plain(text: str) -> str:
    """Return ``text`` on one line: tabs, line ends and control characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def as_json(report: Report) -> dict[str, Any]:
    """Return all that is known, for check.json."""
    names = report.roll.class_names
    return {
        "format": 1,
        "dataset": report.dataset,
        "well": report.well,
        "class_names": list(names),
        "counts": {role: count.tolist() for role, count in report.counts.items()},
        "sizes": asdict(report.sizes) if report.sizes is not None else None,
        "estimate_accuracy": report.accuracy,
        "label_noise": report.noise,
        "remarks": list(report.remarks),
        "findings": [_finding(report, finding) for _, findings in by_check(report) for finding in findings],
    }


def _finding(report: Report, finding: Finding) -> dict[str, Any]:
    own = asdict(finding) | {"images": [report.roll.entry(i)._asdict() for i in finding.images]}
    if finding.suggested is not None:
        own["suggested"] = report.roll.class_names[finding.suggested]
    return {key: value for key, value in own.items() if value is not None}
