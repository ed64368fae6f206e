"""Fine-tuning on images with any number of labels: what works as ever, what falls back, and what is refused."""

from pathlib import Path

import pytest

from running import command


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_the_classifier_starts_from_a_probe_of_all_labels(
    pictures: Path, pretrained: str, cache: Path, tmp_path: Path, freeze: str
) -> None:
    options = ["--epochs", "2", "--batch-size", "8", "--mixed-precision", "fp32", "--freeze", freeze]
    assert command("--dataset", pictures, "--model", pretrained, *options, "--output", tmp_path / "run") == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "the classifier starts from" in log
    assert "start      validation mAP " in log
    assert ("computed once and kept" in log) == (freeze == "backbone")
    assert "result     mAP " in log


@pytest.mark.parametrize("flag", ["--probe", "--check", "--compare"])
def test_looks_at_single_labels_are_refused(
    pictures: Path, pretrained: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    again = pretrained.replace("local-dir:", "local-dir:/.")
    models = [flag, f"{pretrained},{again}"] if flag == "--compare" else [flag, "--model", pretrained]
    assert command("--dataset", pictures, *models, "--mixed-precision", "fp32") == 2
    error = capsys.readouterr().err
    assert "may have several" in error
    assert error.count("\n") == 1
