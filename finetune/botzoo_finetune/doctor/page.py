"""The report as one HTML page that needs nothing else: small pictures in it, no scripts, all names escaped."""

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from io import BytesIO

from PIL import Image

from botzoo.errors import DataError
from botzoo_finetune.doctor.examine import Report
from botzoo_finetune.doctor.findings import Check, Finding
from botzoo_finetune.doctor.report import ADVICE, by_check, facts, verdict

SIDE = 112
"""Longer side of the pictures, in pixels."""
FINDINGS = 60
"""At most so many findings of a check are pictured."""
GROUP = 6
"""At most so many images of a finding are pictured."""
MANY = 20
"""Classes from which on their table is folded up."""
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin: 2.2rem 0 .2rem } p { margin: .3rem 0 }
table { border-collapse: collapse } td, th { padding: .1rem .8rem .1rem 0; text-align: right }
th:first-child { text-align: left; font-weight: normal; overflow-wrap: anywhere } summary { cursor: pointer }
.findings { display: flex; flex-wrap: wrap; gap: .8rem; margin-top: .8rem }
.finding { border: 1px solid #8886; border-radius: .5rem; padding: .6rem .7rem; box-sizing: border-box; max-width: 100% }
.finding p { margin: 0 0 .5rem; contain: inline-size } .wide { width: 100% }
.images { display: flex; flex-wrap: wrap; gap: .8rem } figure { margin: 0; width: 9rem; font-size: .8rem }
figcaption { overflow-wrap: anywhere } img { display: block; margin-bottom: .2rem } .quiet { opacity: .7 }
"""


def page(report: Report) -> str:
    """Return the page."""
    title = f"The data of {escape(report.dataset)}"
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{STYLE}</style></head><body>",
            f"<h1>{title}</h1><p><b>{escape(verdict(report))}</b></p>",
            *(["<ul>", *(f"<li>{escape(text)}</li>" for text in [*report.remarks, *facts(report)]), "</ul>"]),
            *counts(report),
            *(line for check, findings in by_check(report) for line in section(report, check, findings)),
            "</body></html>",
        ]
    )


def counts(report: Report) -> Iterator[str]:
    """Yield the table of how many images each class has, folded up where it is long."""
    if not report.counts:
        return
    names = report.roll.class_names
    folded, which = ("", f"of {len(names):,} classes") if len(names) > MANY else (" open", "class")
    yield f"<h2>Images</h2><details{folded}><summary>of each {which}</summary><table>"
    yield "<tr><th></th>" + "".join(f"<th>{escape(role)}</th>" for role in report.counts) + "</tr>"
    for k, name in enumerate(names):
        cells = "".join(f"<td>{int(count[k]):,}</td>" for count in report.counts.values())
        yield f"<tr><th>{escape(name)}</th>{cells}</tr>"
    yield "</table></details>"


def section(report: Report, check: Check, findings: list[Finding]) -> Iterator[str]:
    """Yield the findings of a check, the first of them with pictures."""
    yield f"<h2>{escape(check.capitalize())} ({len(findings):,})</h2>"
    yield f'<p class="quiet">{escape(ADVICE[check])}</p>'
    yield '<div class="findings">'
    for finding in findings[:FINDINGS]:
        wide, quiet = "" if finding.images else " wide", "" if finding.look else " quiet"
        yield f'<div class="finding{wide}{quiet}"><p>{escape(finding.reason)}</p><div class="images">'
        yield from (figure(report, i) for i in finding.images[:GROUP])
        yield "</div>"
        if len(finding.images) > GROUP:
            yield f"<p>and {len(finding.images) - GROUP:,} more images, in check.json</p>"
        yield "</div>"
    yield "</div>"
    if len(findings) > FINDINGS:
        yield f"<p>and {len(findings) - FINDINGS:,} more, in check.json</p>"


def figure(report: Report, i: int) -> str:
    """Return the picture of an image, where there is one, with its name, split and label."""
    entry = report.roll.entry(i)
    inside = entry.name.removeprefix(f"{report.dataset.rstrip('/')}/")
    caption = f"{escape(inside)}<br>{' · '.join(escape(text) for text in entry[1:] if text)}"
    source = picture(report, i) if i < len(report.roll) else None
    shown = f'<img alt="" src="{source}">' if source else ""
    return f'<figure title="{escape(entry.name)}">{shown}<figcaption>{caption}</figcaption></figure>'


def picture(report: Report, i: int) -> str | None:
    """Return a small picture of a readable image as a data: URI; None where it is gone by now."""
    try:
        image = report.roll.image(i)
    except DataError:
        return None
    scale = SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    sampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    file = BytesIO()
    image.resize((width, height), sampling).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"
