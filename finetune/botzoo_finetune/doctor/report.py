"""What was found, as lines for the terminal, as JSON, and as a list of the images to look at."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from botzoo.errors import printable
from botzoo.util.text import under
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
WIDTH = max(map(len, ADVICE))
"""Of the column of headings in the terminal."""
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
    sizes = ", ".join(f"{int(count.sum()):,} {role}" for role, count in report.counts.items())
    several = f": {sizes} images in {len(report.roll.class_names)} classes" if sizes else ""
    remarks = (printable(remark, 500) for remark in report.remarks)
    yield from under("data", [f"{printable(report.dataset)}{several}", *remarks, *facts(report)], WIDTH)
    for check, findings in by_check(report):
        look = sum(finding.look for finding in findings)
        counts = [f"{look:,} to look at"] if look else []
        if rest := len(findings) - look:
            counts.append(f"{rest:,} worth knowing" if look else "worth knowing")
        first = sorted(findings, key=lambda finding: not finding.look)[:SHOWN]
        shown = [f"  {printable(with_names(report, finding), 400)}" for finding in first]
        shown += [f"  and {len(findings) - SHOWN:,} more"] if len(findings) > SHOWN else []
        yield from under(check, [": ".join(filter(None, [", ".join(counts), ADVICE[check]])), *shown], WIDTH)
    yield from under("result", [verdict(report)], WIDTH)


def facts(report: Report) -> Iterator[str]:
    """Yield sentences on the sizes of the images and on the estimate."""
    if (s := report.sizes) is not None:
        yield f"shorter sides of {s.least:,} to {s.most:,} px, {s.median:,} in the middle; the network's input has {s.input:,}"
    if report.accuracy is not None:
        wrong = f", and takes {report.noise:.1%} of the labels to be wrong" if report.noise is not None else ""
        yield f"an estimate from the network's features agrees with the labels of {report.accuracy:.1%} of the images{wrong}"


def with_names(report: Report, finding: Finding) -> str:
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
    for finding in (finding for _, findings in by_check(report) for finding in findings if finding.look):
        names = [report.roll.entry(i).name for i in finding.images]
        for k, name in enumerate(names):
            others = names[:k] + names[k + 1 :]
            more = f" and {len(others) - OTHERS:,} more" if len(others) > OTHERS else ""
            also = f": also {', '.join(others[:OTHERS])}{more}" if others else ""
            yield f"{_plain(name)}\t{_plain(finding.reason + also)}\n"


def _plain(text: str) -> str:
    """Return ``text`` on one line: tabs, line ends and control characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def as_json(report: Report) -> dict[str, Any]:
    """Return all that is known, for check.json."""
    names = report.roll.class_names
    findings = [
        asdict(finding)
        | {"images": [report.roll.entry(i)._asdict() for i in finding.images]}
        | {"suggested": names[finding.suggested] if finding.suggested is not None else None}
        for _, found in by_check(report)
        for finding in found
    ]
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
        "findings": [{key: value for key, value in own.items() if value is not None} for own in findings],
    }
