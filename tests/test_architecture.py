"""Imports point one way: from a layer to those below it, never up, and never round in a circle."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import botzoo
import botzoo_finetune

ROOTS = {"botzoo": Path(botzoo.__path__[0]), "botzoo_finetune": Path(botzoo_finetune.__path__[0])}

LAYERS: list[tuple[str, ...]] = [
    ("botzoo.errors",),
    ("botzoo.hub_cache", "botzoo.guard"),
    ("botzoo.tricks*",),
    ("botzoo.models*",),
    ("botzoo.recipes*",),
    ("botzoo.training", "botzoo.training.config", "botzoo.training.interrupt", "botzoo.training.memory"),
    ("botzoo.training.licence", "botzoo.training.label_lists"),
    ("botzoo.training.command_line", "botzoo.training.sources", "botzoo.training.decoded"),
    ("botzoo.training.augment", "botzoo.training.mixing", "botzoo.training.swats", "botzoo.training.imbalance"),
    ("botzoo.training.data", "botzoo.training.shards"),
    ("botzoo.training.stream",),
    ("botzoo.training.model", "botzoo.training.objective", "botzoo.training.optim"),
    ("botzoo.training.soup", "botzoo.training.batch_norm"),
    ("botzoo.training.trainer", "botzoo.training.multi_label", "botzoo.training.checkpoint", "botzoo.training.history"),
    ("botzoo.training.lr_finder",),
    ("botzoo.training.engine", "botzoo.training.cost"),
    ("botzoo.training.folder", "botzoo.training.plan", "botzoo.training.teacher", "botzoo.training.budget"),
    ("botzoo.training.prepare",),
    ("botzoo.training.measure", "botzoo.training.batch_size"),
    ("botzoo.training.run",),
    ("botzoo.training.series",),
    ("botzoo.training.*",),
    ("botzoo.inference", "botzoo.inference.images", "botzoo.inference.views", "botzoo.inference.fold"),
    ("botzoo.inference.classifier", "botzoo.inference.catalogue", "botzoo.inference.describe"),
    ("botzoo.inference.*",),
    ("botzoo.publishing", "botzoo.publishing.calibration", "botzoo.publishing.claim", "botzoo.publishing.markdown"),
    ("botzoo.publishing.front_matter", "botzoo.publishing.per_class", "botzoo.publishing.usage"),
    ("botzoo.publishing.sections",),
    ("botzoo.publishing.card", "botzoo.publishing.multi_label_card"),
    ("botzoo.publishing.summary", "botzoo.publishing.recipe", "botzoo.publishing.package"),
    ("botzoo.publishing.hub", "botzoo.publishing.reproduce"),
    ("botzoo.publishing.job", "botzoo.publishing.verify", "botzoo.publishing.ablation_report"),
    ("botzoo.publishing.*",),
    ("botzoo.commands.parsing",),
    ("botzoo.commands*",),
    ("botzoo.cli", "botzoo.__main__"),
    ("botzoo_finetune", "botzoo_finetune.config", "botzoo_finetune.freeze", "botzoo_finetune.layer_decay"),
    ("botzoo_finetune.pixels", "botzoo_finetune.probe", "botzoo_finetune.auto"),
    ("botzoo_finetune.features", "botzoo_finetune.outcomes"),
    ("botzoo_finetune.first_look", "botzoo_finetune.head_only"),
    ("botzoo_finetune.compare",),
    ("botzoo_finetune.several",),
    ("botzoo_finetune.folds", "botzoo_finetune.seeds", "botzoo_finetune.search"),
    ("botzoo_finetune.doctor", "botzoo_finetune.doctor.findings", "botzoo_finetune.doctor.noise"),
    ("botzoo_finetune.doctor.duplicates", "botzoo_finetune.doctor.names", "botzoo_finetune.doctor.counts"),
    ("botzoo_finetune.doctor.near", "botzoo_finetune.doctor.labels", "botzoo_finetune.doctor.sizes"),
    ("botzoo_finetune.doctor.roll",),
    ("botzoo_finetune.doctor.examine",),
    ("botzoo_finetune.doctor.report", "botzoo_finetune.doctor.page"),
    ("botzoo_finetune.doctor.check",),
    ("botzoo_finetune.*",),
]
"""From the bottom up; a module belongs to the first layer that has a pattern for it."""


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


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports below ``node`` that are ever executed."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from statements(child)


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of ours that ``module`` imports anywhere, inside functions too."""
    names: set[str] = set()
    for statement in statements(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        else:
            assert not statement.level, f"{module} imports relatively"
            source = str(statement.module)
            names |= {n if (n := f"{source}.{alias.name}") in modules() else source for alias in statement.names}
    return frozenset(names & set(modules()) - {module})


def layer(module: str) -> int:
    return next(i for i, patterns in enumerate(LAYERS) if any(fnmatch(module, pattern) for pattern in patterns))


@pytest.mark.parametrize("module", modules())
def test_no_module_imports_from_a_layer_above(module: str) -> None:
    above = {other for other in imports(module) if layer(other) > layer(module)}
    assert not above, f"{module} is below {', '.join(above)}"


def test_there_are_no_cycles() -> None:
    package_of = {m: {o for o in imports(m) if not m.startswith(o + ".")} for m in modules()}
    assert len(list(TopologicalSorter(package_of).static_order())) == len(modules())


def test_the_zoo_knows_nothing_of_transfer() -> None:
    for name, path in modules().items():
        if name.startswith("botzoo."):
            assert not [s for s in statements(ast.parse(path.read_text())) if "botzoo_finetune" in ast.unparse(s)], name


@pytest.mark.parametrize("trick", [m for m in modules() if m.startswith("botzoo.tricks.")])
def test_a_trick_stands_alone(trick: str) -> None:
    assert imports(trick) <= {"botzoo.errors"}
