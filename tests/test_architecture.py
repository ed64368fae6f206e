"""Imports point one way: from a layer to those below it, never up, and never round in a circle."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import botzoo
import botzoo_finetune

ROOTS = {"botzoo": Path(botzoo.__path__[0]), "botzoo_finetune": Path(botzoo_finetune.__path__[0])}

ROOMS: list[tuple[str, ...]] = [
    ("botzoo.errors", "botzoo.util"),
    ("botzoo.pages",),
    ("botzoo.tricks",),
    ("botzoo.recipes",),
    ("botzoo.options",),
    ("botzoo.models",),
    ("botzoo.pixels",),
    ("botzoo.sources",),
    ("botzoo.data",),
    ("botzoo.tasks",),
    ("botzoo.training",),
    ("botzoo.results",),
    ("botzoo.inference",),
    ("botzoo.explain",),
    ("botzoo.report",),
    ("botzoo.hub",),
    ("botzoo.experiments",),
    ("botzoo.api",),
    ("botzoo.commands", "botzoo.cli", "botzoo.__main__"),
    ("botzoo_finetune",),
]
"""The folders from the bottom up: each may import from itself and from those before it."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the two packages by its dotted name, the package botzoo itself left out."""
    found: dict[str, Path] = {}
    for root, folder in ROOTS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (root, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    del found["botzoo"]  # its only import happens when timm is imported
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports below ``node``, those for type checkers too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from statements(child)


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of ours that ``module`` imports anywhere, inside functions too."""
    names: set[str] = set()
    for statement in statements(tree(module)):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        else:
            assert not statement.level, f"{module} imports relatively"
            source = str(statement.module)
            names |= {n if (n := f"{source}.{alias.name}") in modules() else source for alias in statement.names}
    return frozenset(names & set(modules()) - {module})


def room(module: str) -> int:
    return next(i for i, names in enumerate(ROOMS) for name in names if f"{module}.".startswith(f"{name}."))


def test_a_folder_imports_only_from_those_above_it_in_the_list() -> None:
    assert not {(module, other) for module in modules() for other in imports(module) if room(other) > room(module)}


def test_there_are_no_cycles() -> None:
    package_of = {m: {o for o in imports(m) if not m.startswith(o + ".")} for m in modules()}
    assert len(list(TopologicalSorter(package_of).static_order())) == len(modules())


def test_the_zoo_knows_nothing_of_transfer() -> None:
    for name in modules():
        if name.startswith("botzoo."):
            assert not [s for s in statements(tree(name)) if "botzoo_finetune" in ast.unparse(s)], name


@pytest.mark.parametrize("trick", [m for m in modules() if m.startswith("botzoo.tricks.")])
def test_a_trick_stands_alone(trick: str) -> None:
    assert imports(trick) <= {"botzoo.errors"}


@pytest.mark.parametrize("folder", sorted({path.parent for path in modules().values()}), ids=lambda path: path.name)
def test_a_folder_has_a_dozen_files_at_most(folder: Path) -> None:
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 12


def test_no_folder_holds_more_than_a_fifth_of_all_lines() -> None:
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in modules().values()}
    for folder in {path.parent for path in lines} - set(ROOTS.values()):
        held = sum(count for path, count in lines.items() if folder in path.parents)
        assert held <= sum(lines.values()) / 5, folder


def test_only_tasks_and_results_ask_which_task_it_is() -> None:
    for module in modules():
        if not module.startswith(("botzoo.tasks.", "botzoo.results.", "botzoo.sources.")):
            asked = {getattr(node, "attr", getattr(node, "id", "")).lower() for node in ast.walk(tree(module))}
            assert not asked & {"multi_label", "detection", "segmentation", "boxsplit", "masksplit"}, module


def test_paths_of_users_are_read_by_one_function() -> None:
    """pathlib ends in a RuntimeError where there is no such user."""
    others = [name for name, path in modules().items() if "expanduser" in path.read_text(encoding="utf-8")]
    assert others == ["botzoo.util.environment", "botzoo.util.outgoing"]
