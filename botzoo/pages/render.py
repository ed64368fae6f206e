"""From a template beside the code and plain values to one HTML file."""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from botzoo.util.outgoing import one_line
from botzoo.util.text import counted


def render(template: Path, script: Path | None = None, **values: Any) -> str:
    """Return the page that a template makes of values.

    All text that is not ``markupsafe.Markup`` is shown as it is, on one line and without secrets, so names of strangers may
    stand anywhere in a template but in an attribute without quotes, a script or a style.

    Args:
        template: the file of a Jinja template that extends ``pages/base.html`` and sets ``title``; others beside it may
            be included.
        script: a file of JavaScript, put into the page as it is. It alone is allowed to run: the page's policy names its
            SHA-256. Values reach it through the document, as in ``data-`` attributes.
        values: what the template names; one that is missing is an error.
    """
    code = script.read_text(encoding="utf-8") if script is not None else ""
    digest = b64encode(sha256(code.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'" if code else "script-src 'none'"
    page = _environment(template.parent).get_template(template.name)
    return page.render(policy=f"{POLICY}; {allowed}", script=Markup(code), **values)


HERE = Path(__file__).parent
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may do for a page: show what is in it, and nothing else."""


@cache
def _environment(folder: Path) -> Environment:
    loader = ChoiceLoader([FileSystemLoader(folder), PrefixLoader({"pages": FileSystemLoader(HERE)})])
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_harmless)
    made.lstrip_blocks = True
    made.globals["counted"] = counted
    return made


def _harmless(value: Any) -> Any:
    return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value
