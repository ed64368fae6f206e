"""Text on its way out: what others have written, made harmless, and addresses without their secrets.

Names of classes, files and data sets, licences and what other libraries complain of may hold anything. Each exit has its
one function: ``say`` for the terminal, ``tidied`` for the log, ``as_json``, ``csv_line`` and ``as_html``; Markdown has a
file of its own, and so have pictures. Little is imported here, since the frame of every command needs it.
"""

import re
import shlex
import sys
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

HIDDEN = "***"
"""What stands in the place of a secret."""

# A ``Path`` of an address has one slash left. So has word:/path#x, which is none: of an unknown scheme it takes a query.
_REMOTE = r"https?|ftps?|sftp|s3[an]?|gc?s|abfss?|az|adl|oss|r2|hf|hdfs|webhdfs|webdav|smb"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]{0,20}://|(?<![\w.-])[a-z][a-z0-9+.-]{1,20}:/(?!/))(\S*)", re.I)
_KNOWN = re.compile(rf".*://|(?:.*\+)?(?:{_REMOTE}):/", re.I)
_WITHIN = re.compile(rf"([a-z][a-z0-9+.-]{{0,20}}://|(?<![\w.-])(?:{_REMOTE}):/)(\S*)", re.I)
# What user:password@ may stand behind; a drive such as C:/ has one letter, and local-dir: is before a path.
_WORD = re.compile(r"(?<![\w+./@-])(hf-hub|(?!local-dir:)[a-z_][\w+.-]*)(:(?![/\\])|(?<=\w\w):/(?!/))", re.I)
_AFTER = "'\")]}>,.;:"  # what may stand behind an address and is no part of it
_JOINERS = "\u200c\u200d"  # which Persian, Hindi and many emoji are written with
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # before what a spreadsheet computes, also in full width


def without_secrets(text: str, *known: str, mark: str = HIDDEN) -> str:
    """Return ``text`` with all addresses in it shown without user, password, query and fragment: each may be a secret.

    Args:
        known: addresses whose secrets are left out wherever they stand: other libraries quote parts of an address.
        mark: stands in their place; without one, nothing says that something was left out.
    """
    for address in known:
        for secret in _secrets(address):
            text = text.replace(secret, mark)
    text = _ADDRESS.sub(lambda found: _public(found, mark), text) if ":/" in text else text
    return re.sub(r"\S+", lambda found: _without_login(found[0], mark), text) if "@" in text else text


def _without_login(text: str, mark: str) -> str:
    """Return ``text``, which has no spaces, without user:password@ where no // comes before it.

    Behind hf-hub: it has a second colon, since owner/name@v1 and name@refs/pr/1 are no secrets.
    """
    end = text.rfind("@") + 1
    for word in _WORD.finditer(text, 0, end):
        start = word.end()
        first = text[start:end].partition("/")[0]
        if (":" if word[1].lower() == "hf-hub" else "@") in first:
            return text[:start] + (f"{mark}@" if mark else "") + text[end:]
    return text


def _public(found: re.Match[str], mark: str) -> str:
    scheme, whole = found.groups()
    if not (_KNOWN.fullmatch(scheme) or "=" in whole.partition("?")[2]):  # a path, in which an address may stand
        return scheme + _WITHIN.sub(lambda inner: _public(inner, mark), whole)
    rest = whole[_user_ends(whole) :]
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    query = rest[len(place) :].rstrip(_AFTER)
    end = rest[len(place) + len(query) :]
    if "@" in place:  # of an address within this one
        place = re.sub(r"(://)\S*@", rf"\1{mark}@" if mark else r"\1", place)
    place = re.sub(r"\bhf_\w{20,}", mark, place)
    user = f"{mark}@" if mark and rest != whole else ""
    if len(query) > 1:  # else it is the question mark of a sentence
        query = query[:1] + mark if mark else ""
    return f"{scheme}{user}{place}{query}{end}"


def _user_ends(rest: str) -> int:
    """Return where the user and password end in what follows the scheme of an address, 0 where there are none."""
    before = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host = before.rpartition("@")[2]
    if ":" not in host or re.fullmatch(r"(localhost|[\d.]+|\[.*\])(:\d*)?\W*", host):
        return len(before) - len(host)
    # what looks like a port may be the start of a password with a slash in it, as many keys have
    return max(len(before) - len(host), rest.rfind("@") + 1)


def _secrets(address: str) -> list[str]:
    """Return the secrets of an address, the longest first."""
    found = _ADDRESS.search(address)
    if found is None:
        return []
    rest = found[2]
    user, query = rest[: max(_user_ends(rest) - 1, 0)], re.split(r"[?#]", rest[_user_ends(rest) :], maxsplit=1)[1:]
    password = user.partition(":")[2]
    parts = {user, password, f"{password}@", *query, *(part.partition("=")[2] for q in query for part in q.split("&"))}
    return sorted((part for part in parts if len(part) > 2), key=len, reverse=True)


def secret_left_out(address: str) -> bool:
    """Tell whether an address had a secret in it, which ``without_secrets`` has left out."""
    return HIDDEN in address


def last_part(place: str) -> str:
    """Return the last part of a path or an address: what a data set is called where its place stays private."""
    path = Path(without_secrets(place, mark=""))
    with suppress(RuntimeError):  # ~name of no user is a name like any other
        path = path.expanduser()
    return path.resolve().name


def as_typed(words: Iterable[str]) -> str:
    """Return the words of a command as one would type them, without secrets."""
    return shlex.join(map(without_secrets, words))


def public(values: Any) -> Any:
    """Return ``values``, nested as they may be, with all texts in them without secrets."""
    if isinstance(values, dict):
        return {public(key): public(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [public(value) for value in values]
    return without_secrets(values) if isinstance(values, str) else values


def is_harmful(letter: str) -> bool:
    """Tell whether a letter moves the cursor, turns the direction of writing, ends a line or cannot be written at all."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in _JOINERS


def one_line(text: str) -> str:
    r"""Return ``text`` on one line, without secrets, and with what is harmful as \n, \x1b or \u202e."""
    return plain(without_secrets(text))


def plain(text: str) -> str:
    """Return ``text`` as ``one_line`` does but with all addresses whole, for names that stand for something in data."""
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if is_harmful(c) else c for c in text)


def in_quotes(value: object) -> str:
    """Return text between quotation marks, as it stands: ``repr`` doubles backslashes. Other values are as Python has them."""
    if not isinstance(value, str):
        return repr(value)
    mark = '"' if "'" in value and '"' not in value else "'"
    return f"{mark}{value}{mark}"


def squeezed(text: object) -> str:
    """Return ``text`` with one space for all white space between its words, and none around them."""
    return " ".join(str(text).split())


def shown(name: str) -> str:
    """Return the name of a class as card and terminal show it: on one line, squeezed, without secrets, and never empty."""
    return one_line(squeezed(name)) or "(no name)"


def say(*lines: object, file: TextIO | None = None) -> None:
    """Print lines for a reader; a line end within one of them is shown as such."""
    for line in lines or ("",):
        print(one_line(str(line)), file=file or sys.stdout, flush=True)


def tidied(record: Any) -> bool:
    """Make one line of a ``logging.LogRecord``, before any handler sees it."""
    record.msg, record.args = one_line(record.getMessage()), None
    return True


def as_json(values: Any, indent: int | None = None) -> str:
    r"""Return values as JSON, with what is harmful as \u escapes; letters of all scripts stay as they are."""
    import json

    text = json.dumps(values, indent=indent, ensure_ascii=False)
    return "".join(json.dumps(c)[1:-1] if is_harmful(c) and c != "\n" else c for c in text)


def csv_line(cells: Iterable[object]) -> str:
    """Return a line of CSV without its end; an apostrophe stands before text that a spreadsheet would compute."""
    import csv
    import io

    line = io.StringIO()  # the csv module writes into files only
    csv.writer(line, lineterminator="").writerow([_no_formula(c) if isinstance(c, str) else c for c in cells])
    return line.getvalue()


def _no_formula(cell: str) -> str:
    text = plain(cell)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def as_html(text: str) -> str:
    """Return ``text`` as HTML that shows it as it is, on one line."""
    from html import escape

    return escape(one_line(text))
