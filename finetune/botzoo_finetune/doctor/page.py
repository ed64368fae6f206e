"""What was found: lines for the terminal, JSON, a list of the images to look at, and one HTML page that needs nothing else."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from botzoo.errors import DataError, printable
from botzoo.pages.render import render
from botzoo.pages.thumbnails import thumbnail
from botzoo.sources.groups import SERIES
from botzoo.util.outgoing import one_line
from botzoo.util.text import counted, few, under
from botzoo_finetune.doctor.findings import Check, Finding, Report

ADVICE: dict[Check, str] = {
    "usable": "nothing can be trained on it as it is",
    "names": "give a class one name, in every split",
    "counts": "gather more images of the rare classes, and read their recall beside the accuracy",
    "corrupt": "mend or remove them, or train with --skip-corrupt",
    "groups": f"where they are of one patient, place or video, keep them together: --data.group '{SERIES}'",
    "duplicates": "keep one of each; what is in two splits makes the figures too good",
    "near duplicates": "keep one of each; what is in two splits makes the figures too good",
    "labels": "look at them, the worst first, and move those that are wrong",
    "blank": "remove them, unless nothing is what they should show",
    "placeholder": "remove them, unless they are what the network should know",
    "tiny": "look whether they are thumbnails or icons that came along by mistake",
    "aspect": "crop them to what matters, or see --data.fit",
    "sizes": "",
    "unreadable": "mend or remove them",
    "no area": "mend or remove them: a box needs a width and a height",
    "outside": "look whether they are of another picture, or of the same in another size",
    "double": "keep one of each",
    "size": "make picture and annotation of one size, or mend the annotation",
    "ignored": "draw the classes, or remove them",
    "nothing on it": "",
    "unused class": "add some, or remove the class",
    "two splits": "keep it in one; its figures are too good",
}
"""What to do about the findings of each check; the order is that of the reports."""
WIDTH = max(map(len, ADVICE))  # of the column of headings in the terminal
SHOWN = 5  # findings of a check that the terminal shows, at most
OTHERS = 3  # other images that are named beside one of a group, at most
FINDINGS = 60  # of a check that are pictured, at most
GROUP = 6  # images of a finding that are pictured, at most
MANY = 20  # classes from which on their table is folded up


def by_check(report: Report) -> Iterator[tuple[Check, list[Finding]]]:
    """Yield the findings check by check, in the order of ``ADVICE``."""
    for check in ADVICE:
        if findings := [finding for finding in report.findings if finding.check == check]:
            yield check, findings


def lines(report: Report) -> Iterator[str]:
    """Yield the report for the terminal."""
    held = (
        report.roll.splits
    )  # an image may be of several classes, or of none; only of unusable data they are not known
    images = {role: len(held[role]) if role in held else int(count.sum()) for role, count in report.counts.items()}
    sizes = ", ".join(f"{count:,} {role}" for role, count in images.items())
    names = report.roll.class_names
    several = f": {sizes} images in {counted(len(names), 'class', 'classes')} ({few(names)})" if sizes else ""
    remarks = (printable(remark, 500) for remark in report.remarks)
    yield from under("data", [f"{report.dataset}{several}", *remarks, *facts(report)], WIDTH)
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
    return f"{counted(len(look), 'finding')} to look at" + (f", of {counted(len(images), 'image')}" if images else "")


def to_look_at(report: Report) -> Iterator[str]:
    """Yield one line for each image to look at: its name, a tab, and why, with others of the same group."""
    for finding in (finding for _, found in by_check(report) for finding in found if finding.look):
        names = [report.roll.entry(i).name for i in finding.images]
        for k, name in enumerate(names):
            others = names[:k] + names[k + 1 :]
            more = f" and {len(others) - OTHERS:,} more" if len(others) > OTHERS else ""
            also = f": also {', '.join(others[:OTHERS])}{more}" if others else ""
            yield f"{one_line(name)}\t{one_line(finding.reason + also)}\n"


def as_json(report: Report) -> dict[str, Any]:
    """Return all that is known, for check.json."""
    names, findings = report.roll.class_names, []
    for finding in (finding for _, found in by_check(report) for finding in found):
        images = [report.roll.entry(i)._asdict() for i in finding.images]
        suggested = names[finding.suggested] if finding.suggested is not None else None
        own = asdict(finding) | {"images": images, "suggested": suggested}
        findings.append({key: value for key, value in own.items() if value is not None})
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
        "findings": findings,
    }


def page(report: Report) -> str:
    """Return the page: small pictures in it, no scripts."""
    names, roles = report.roll.class_names, list(report.counts)
    rows = [(name, [int(report.counts[role][k]) for role in roles]) for k, name in enumerate(names)] if roles else []
    sections = [
        (check, ADVICE[check], len(found), [(finding, pictures(report, finding)) for finding in found[:FINDINGS]])
        for check, found in by_check(report)
    ]
    return render(
        Path(__file__).with_name("page.html"),
        title=f"The data of {report.dataset}",
        verdict=verdict(report),
        remarks=[*report.remarks, *facts(report)],
        roles=roles,
        rows=rows,
        folded=len(names) > MANY,
        sections=sections,
    )


def pictures(report: Report, finding: Finding) -> list[tuple[str, list[str], str | None]]:
    """Return name, words and picture, as a data: URI, of the first images of a finding; None where one is gone by now."""
    shown = []
    for i in finding.images[:GROUP]:
        entry = report.roll.entry(i)
        inside = entry.name.removeprefix(f"{report.dataset.rstrip('/')}/")
        words = [inside, " · ".join(text for text in entry[1:] if text)]
        shown.append((entry.name, words, picture(report, i) if i < len(report.roll) else None))
    return shown


def picture(report: Report, i: int) -> str | None:
    """Return a small picture of a readable image as a data: URI; None where it is gone by now."""
    try:
        return thumbnail(report.roll.image(i))
    except DataError:
        return None
