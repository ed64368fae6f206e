"""A link in a run's folder is never written through: what it leads to stays as it is, whatever a run writes there."""

import shutil
from pathlib import Path

import pytest

from botzoo.options.command_line import load_config
from botzoo.options.config import TrainConfig
from botzoo.results.report import describe
from botzoo.training.run import train


@pytest.mark.slow
def test_what_the_files_of_a_run_lead_to_is_never_changed(finished_run: Path, tmp_path: Path) -> None:
    run, kept = (Path(shutil.copytree(finished_run, tmp_path / name)) for name in ("run", "kept"))
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    targets = [kept / path.relative_to(run) for path in files]
    before = [(target.read_bytes(), target.stat().st_mtime_ns) for target in targets]
    for path, target in zip(files, targets, strict=True):
        path.unlink()
        path.symlink_to(target)
    train(load_config(run / "config.yaml", TrainConfig), resume=run)
    describe(run)
    changed = [
        target.name
        for target, (content, at) in zip(targets, before, strict=True)
        if (target.read_bytes(), target.stat().st_mtime_ns) != (content, at)
    ]
    assert changed == []
