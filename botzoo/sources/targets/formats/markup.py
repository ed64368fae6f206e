"""XML of others, read without anything that can make it more than it is: no document types, entities or endless depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate

from botzoo.errors import DataError
from botzoo.sources.files import named, read_file
from botzoo.util.text import brief

BYTES = 16 << 20
"""Of one file; the annotation of an image with a thousand boxes has 300 kB."""

ELEMENTS = 500_000
"""Of one file: ten thousand boxes of Pascal VOC have 110,000."""

DEPTH = 20
"""Elements within one another; Pascal VOC has four."""


def read_xml(path: Path) -> Element:
    """Return the root of an XML file.

    Raises:
        DataError: it cannot be read, is no XML, or declares a document type, in which entities could stand for gigabytes
            or for other files.
    """
    try:
        with named(path):
            return parse_xml(read_file(path, BYTES))
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there any more: check its folder.") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path} is no XML that is read ({brief(error)}): mend or remove it.") from error


def parse_xml(content: bytes) -> Element:
    """Return the root of an XML text; raise ValueError as ``read_xml`` does DataError."""
    builder, depth, count = TreeBuilder(), 0, 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if count > ELEMENTS:
            raise ValueError(f"it has more than {ELEMENTS:,} elements")
        if depth > DEPTH:
            raise ValueError(f"it has more than {DEPTH} elements within one another")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*declared: Any) -> None:
        raise ValueError("it declares a document type or an entity")

    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (ExpatError, LookupError) as error:  # the latter where Python does not know the encoding that it names
        raise ValueError(brief(error)) from error
    return builder.close()
