"""Text of others and addresses with secrets, at every exit."""

import ast
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

import botzoo
import botzoo_finetune
from botzoo.errors import BotzooError, printable
from botzoo.util import markdown, text
from botzoo.util.outgoing import (
    as_html,
    as_json,
    as_typed,
    csv_line,
    is_harmful,
    last_part,
    one_line,
    public,
    say,
    secret_left_out,
    without_secrets,
)
from botzoo.util.pictures import label, new_figure

PIECES = (
    *("\x1b[31m", "\x1b]8;;http://evil/\x07", "\x9b2J", "\u202e", "\u2066", "\n", "\r", "\t", "\0", "\u2028", "\udcff"),
    *(
        "`",
        "``",
        "|",
        "\\",
        "<script>alert(1)</script>",
        '" onload="x',
        "[x](javascript:x)",
        "![x](y)",
        "&#x202e;",
        "$x^2$",
    ),
    *("$", "=", "+", "-", "@", "\uff1d", "**", "_", "# ", "a"),
)
NASTY = [*PIECES, *map("".join, product(PIECES[::2], PIECES[1::2])), *(f"a {piece} b" for piece in PIECES)]
"""Names that somebody may give to a class, a file or a data set."""


def said(name: str) -> str:
    file = io.StringIO()
    say(name, file=file)
    return file.getvalue().removesuffix("\n")


def logged(name: str) -> str:
    record = logging.LogRecord("botzoo", logging.INFO, "", 0, "%s", (name,), None)
    logging.getLogger("botzoo").filter(record)
    return record.getMessage()


EXITS: list[Callable[[str], str]] = [
    *(one_line, said, logged, printable, as_html, markdown.escaped, markdown.quoted, markdown.code, as_json),
    *(lambda name: str(BotzooError(name)), lambda name: text.brief(OSError(name))),
    *(lambda name: csv_line([name, 1]), lambda name: next(text.table([[name, "1"]])), label),
]


@pytest.mark.parametrize("way_out", EXITS, ids=lambda way_out: way_out.__name__)
def test_nothing_that_a_terminal_obeys_comes_out(way_out: Callable[[str], str]) -> None:
    for name in NASTY:
        assert not [letter for letter in way_out(name) if is_harmful(letter)], ascii(name)


def test_what_was_made_harmless_stays_as_it_is() -> None:
    assert all(one_line(one_line(name)) == one_line(name) for name in NASTY)


def test_letters_of_all_scripts_stay() -> None:
    for name in ("café", "кошка", "猫", "می\u200cروم", "a\xa0b", "👩\u200d🌾"):
        assert one_line(name) == name


def rendered(source: str) -> list[tuple[str, str]]:
    """Return type and content of all that CommonMark with tables makes of ``source``."""
    found = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table").parse(source)
    inner = [child for token in found for child in token.children or ()]
    return [(token.type, token.content) for token in inner if token.type != "text" or token.content]


def plainly(name: str) -> str:
    return one_line(" ".join(name.split()))


def test_markdown_shows_a_name_as_it_is() -> None:
    for name in filter(plainly, NASTY):
        found = rendered(f"of {markdown.quoted(name)}.")
        assert {kind for kind, _ in found} <= {"text", "text_special"}, ascii(name)
        assert "".join(content for _, content in found) == f'of "{plainly(name)}".'


def test_markdown_shows_code_as_it_is() -> None:
    for name in filter(plainly, NASTY):
        assert rendered(f"of {markdown.code(name)}.")[1] == ("code_inline", plainly(name)), ascii(name)


def test_a_cell_of_markdown_does_not_end_early() -> None:
    for name in filter(plainly, NASTY):
        for cell in (markdown.escaped(name), markdown.code(name)):
            row = markdown.table(("a", "b"), [(cell, "last")]).splitlines()[-1]
            assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3, ascii(name)


def test_html_keeps_a_name_out_of_the_markup() -> None:
    assert not [name for name in NASTY if set(as_html(name)) & set("<>\"'")]


def test_a_spreadsheet_computes_no_cell() -> None:
    first = [csv_line([name, 1]).lstrip("\"' ") and csv_line([name, 1]).lstrip('"')[0] for name in NASTY]
    assert not set(first) & set("=+-@\t\r\uff1d")
    assert csv_line([-1, "a,b", "-b"]) == '-1,"a,b",\'-b'


def test_json_gives_back_what_was_put_in() -> None:
    assert json.loads(as_json(NASTY)) == NASTY


def test_a_picture_draws_any_name_and_no_formula() -> None:
    figure, file = new_figure(1, 1), io.StringIO()
    for name in PIECES:
        figure.text(0, 0, label(name))
    figure.savefig(file, format="svg")
    assert "svg" in file.getvalue()
    assert not [name for name in NASTY if re.search(r"(?<!\\)\$", label(name))]


# Addresses

USERS = (
    "",
    "SECRET@",
    "alice:SECRET@",
    ":SECRET@",
    "AKIA:SEC/SECRET+x@",
    "a:SECRET?x@",
    "a:S@SECRET@",
    "u:12345678/SECRET@",
    *(f"{user}:{start}{end}SECRET@" for user, start, end in product(("user", "a.b", "me@x.org"), ("", "123"), "/?#+")),
)
QUERIES = ("", "?SECRET", "?sig=SECRET", "?a=b/c&X-Amz-Signature=SECRET&b=@x", "?x=http://u:SECRET@host/")
FRAGMENTS = ("", "#SECRET", "#token=SECRET")
SCHEMES = ("http", "s3", "HTTPS", "simplecache::s3", "webdav+https")
HOSTS = ("host", "localhost:8080", "127.0.0.1:80", "[::1]:80")
PATHS = ("", "/", "/a.tar", "/a/train-{0000..0003}.tar", "/a@b/c:d.png")
EVERY = [f"{s}://{u}{h}{p}{q}{f}" for s, u, h, p, q, f in product(SCHEMES, USERS, HOSTS, PATHS, QUERIES, FRAGMENTS)]
ADDRESSES = EVERY[::7]  # which has every two parts together: each kind of part is there in another number than 7
WORDS = ("word", "a_user", "folder.a", "data-set")
PLACES = ("x", "x/y", "host.org/a#b")
SAYINGS = ("{}", "'{}': mend it.", "({})", "see {}, and", "url={}", "[x]({})", "`{}`", '{{"a": "{}"}}', "<{}>\n{}")


def test_no_secret_of_an_address_comes_out() -> None:
    for address in ADDRESSES:
        assert "SECRET" not in without_secrets(address), address
        assert "SECRET" not in without_secrets(str(Path(address))), address
        assert "SECRET" not in without_secrets(f"word:/path,{address}"), address


@pytest.mark.parametrize("saying", SAYINGS)
def test_nor_does_it_out_of_a_sentence(saying: str) -> None:
    for address in ADDRESSES[:: len(SAYINGS)]:
        assert "SECRET" not in without_secrets(saying.format(address, address)), address


def test_what_is_no_secret_stays() -> None:
    for scheme, host, path in [*product(SCHEMES, HOSTS, PATHS), *product(SCHEMES, ["host:8080"], PATHS[:-1])]:
        address = f"{scheme}://{host}{path}"
        assert without_secrets(f"'{address}'? See {address}, there.") == f"'{address}'? See {address}, there."
        assert without_secrets(f"{scheme}://a:SECRET@{host}{path}?SECRET", mark="") == address
        assert without_secrets(f"{scheme}://a:SECRET@{host}{path}?SECRET") == f"{scheme}://***@{host}{path}?***"


def test_paths_and_names_are_no_addresses() -> None:
    for name in (
        "/home/me@work/a?b",
        "hf-hub:owner/name@v1",
        "local-dir:/a@b?c",
        "C:\\a@b",
        "C:/a@b/?",
        "a@b.c",
        "what?",
        "file:///a@b/c",
        *(
            f"{word}:{path}"
            for word, path in product(WORDS, ("/path#x", "/a/b?c", "/home/me@work/a#1", "a/b@v1", " a@b"))
        ),
        *(f"hf-hub:{name}@{revision}" for name, revision in product(("name", "owner/name"), ("v1", "refs/pr/1"))),
    ):
        assert without_secrets(name) == name


@pytest.mark.parametrize("saying", SAYINGS)
def test_a_login_without_an_address_does_not_come_out(saying: str) -> None:
    for user, password, place in product(("u", "a.b", ""), ("SECRET", "12/SECRET", "a:SECRET", "S@SECRET"), PLACES):
        login = f"hf-hub:{user}:{password}@{place}"
        assert without_secrets(saying.format(login, login)) == saying.format(*[f"hf-hub:***@{place}"] * 2)
    for word, password, place in product(WORDS, ("SECRET", "a:SECRET", "S@SECRET"), PLACES):
        login = f"{word}:{password}@{place}"
        assert without_secrets(saying.format(login, login)) == saying.format(*[f"{word}:***@{place}"] * 2)


@pytest.mark.parametrize(
    "long", ["a://", "a:/", "a", "://", "@", "a://b:c@", "?'", "a:b", "aa:/", "hf-hub:", "a:@", "hf_" + "a" * 20 + "/"]
)
def test_a_name_of_any_length_is_taken(long: str) -> None:
    for name in (long * 20_000, f"http://{long * 20_000}"):
        assert without_secrets(without_secrets(name)) == without_secrets(name)


def test_an_address_tells_that_its_secret_was_left_out() -> None:
    for address in ADDRESSES:
        shown = without_secrets(address)
        assert (without_secrets(shown), secret_left_out(shown)) == (shown, shown != address), address


def test_other_libraries_do_not_quote_a_secret_either() -> None:
    url = "s3://AKIA:p/w@bucket/x?sig=abcd"
    assert (
        without_secrets("bad bucket 'AKIA:p/w@bucket': p/w@bucket, abcd", url)
        == "bad bucket '***@bucket': ***bucket, ***"
    )


def leaving(address: str) -> Iterator[str]:
    error = BotzooError(f"There is no {address}.", value=address, accepted=[address], cure=f"Mend {address}.")
    yield from (str(error), str(error.value))
    yield from (way_out(address) for way_out in EXITS if way_out is not as_json and way_out.__name__ != "<lambda>")
    yield from (
        as_json(public({address: [address]})),
        as_typed(["--dataset", address]),
        as_typed([f"--dataset={address}"]),
    )
    yield last_part(address)


def test_no_exit_lets_a_secret_through() -> None:
    for address in ADDRESSES[::37]:
        assert not [found for found in leaving(address) if "SECRET" in found], address


def test_everything_is_printed_by_one_function() -> None:
    for package in (botzoo, botzoo_finetune):
        for path in [path for path in Path(package.__path__[0]).rglob("*.py") if "print(" in path.read_text()]:
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            printed = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
            changing = [call for call in printed if not isinstance(call.args[0], ast.Constant)]
            assert not changing or path.name == "outgoing.py", path
