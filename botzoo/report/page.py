"""report.html: from a finished run to one file."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from botzoo.errors import ConfigError
from botzoo.pages.render import render
from botzoo.pages.thumbnails import thumbnail
from botzoo.report import dense, figures, mistakes
from botzoo.report.advice import advice, verdict
from botzoo.report.embedding import Map, map_of
from botzoo.report.material import Material, of_folder
from botzoo.report.mistakes import Album
from botzoo.report.reasons import asked, reasons
from botzoo.results.card.sections import without_folders
from botzoo.results.classification import sureness
from botzoo.results.metrics import metrics_notes, units
from botzoo.results.record import RunRecord
from botzoo.results.words import dense_words, words_of
from botzoo.tasks.metrics.dense.resampling import RESAMPLES
from botzoo.util.files import read_json, write_text
from botzoo.util.text import and_list, counted, duration, epochs_words, interval_words

log = logging.getLogger("botzoo")

NAME = "report.html"
MAKER = "botzoo report"
"""Stands at the top of a page that may be made anew without being asked."""
SUSPECTS = 12  # images with doubtful labels that are shown
FINDINGS = 20  # of a check that are listed
HERE = Path(__file__).parent


def write_report(record: RunRecord, path: Path, material: Material | None = None, *, overwrite: bool = False) -> None:
    """Write the page of a finished run.

    Args:
        path: of the page. One that botzoo made as a report is made anew.
        material: what can be had of images and network; by default what is found from the run's folder.
        overwrite: replace any other file too.

    Raises:
        ConfigError: another file is there already.
        BotzooError: see ``of_folder``.
        OSError: it cannot be written.
    """
    check_replaceable(path, overwrite=overwrite)
    write_text(path, page(record, material or of_folder(record)))


def check_replaceable(path: Path, *, overwrite: bool) -> None:
    """Raise ConfigError where a file at ``path`` is none of ours, or it cannot be written there."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: give the name of a file.", value=str(path))
    if not path.parent.is_dir():
        raise ConfigError(f"There is no folder {path.parent} for {path.name}: make it first.", value=str(path))
    if (path.exists() or path.is_symlink()) and not overwrite and not _is_ours(path):
        raise ConfigError(f"{path} is there already and no report: give another name, or --overwrite.", value=str(path))


def _is_ours(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return f'content="{MAKER}"'.encode() in file.read(1000)


def page(record: RunRecord, material: Material) -> str:
    """Return the page as HTML: at most some 2 MB, however many images and classes there are."""
    found = _map(record, material)
    classes, unlisted = figures.class_rows(record)
    album = Album(record, material.evaluated)
    values: dict[str, Any] = {
        "title": f"{record.facts['name']}: {record.facts['network']['architecture']} on {record.facts['data']['title']}",
        "maker": MAKER,
        "one_label": record.task.one_label,
        "record": record,
        "curves": figures.curves(record),
        "reliability": figures.reliability_chart(record),
        "words": words_of(record),
        "classes": classes,
        "unlisted": unlisted,
        "augmented": figures.augmented(record, material),
        "sizes": figures.sizes(material.evaluated, len(record.evaluation)),
        "spread": figures.spread(record.facts["data"]["class_counts"]),
        "findings": check_findings(record),
        "augmentation": augmentation(record),
        "at_temperature": at_temperature(record),
        "sureness": _sureness(record),
        "command": without_folders(record.facts.get("command", "")),
        "recipe": _recipe(record),
        "run": list(run_facts(record)),
        **(_of_images(album, material) if record.task.whole_image else _of_places(record, material)),
        **_mapped(record, album, found),
    }
    suspects = int(found.suspected.sum()) if found is not None else 0
    values |= {
        "verdict": verdict(record),
        "advice": advice(record, suspects),
        "remarks": remarks(record, material, album),
    }
    return render(HERE / "report.html", HERE / "report.js", **values)


def _sureness(record: RunRecord) -> list[str]:
    """Return how sure the network is; a temperature that is only fitted here, to images given, is not in config.json."""
    if (found := record.calibration) is None:
        return []
    return list(sureness(found, in_config=found.kept == record.temperature))


def _map(record: RunRecord, material: Material) -> Map | None:
    if material.model is None or not record.task.one_label:
        return None
    return map_of(material.model, material.evaluated, record.evaluation)


def _mapped(record: RunRecord, album: Album, found: Map | None) -> dict[str, Any]:
    if found is None:
        return {"map": None}
    chart, coloured = figures.map_chart(record, found)
    doubtful = found.rows[found.suspected]
    order = np.argsort(-record.evaluation.nll[doubtful], kind="stable")
    suspects = [album.small(i) for i in doubtful[order][:SUSPECTS].tolist()]
    return {"map": chart, "coloured": coloured, "mapped": found, "suspects": suspects, "suspected": len(doubtful)}


def _of_images(album: Album, material: Material) -> dict[str, Any]:
    """Return mistakes and confusions where an answer is of a whole image."""
    record, found = album.record, _gallery(album, material) | {"matrix": None, "pairs": [], "beside": None}
    found["wrong"] = int(mistakes.are_wrong(record).sum())
    shown = [Metric(m.metric.title, m.metric.text(m.value), m.interval, m.metric.says) for m in record.metrics]
    found |= {"metrics": shown, "metrics_notes": list(metrics_notes(record))}
    if not record.task.one_label:
        return found
    kept = mistakes.most_confused(record.evaluation, len(record.class_names))
    matrix = mistakes.matrix_of(record.evaluation, record.class_names, kept)
    return found | {"matrix": matrix, "matrix_says": MATRIX, "pairs": mistakes.pairs_of(album, kept)}


class Metric(NamedTuple):
    """A line of the table of metrics."""

    title: str
    value: str
    interval: str
    says: str


MATRIX = "Rows are the classes of the labels, columns the answers. A number leads to its images."


def _of_places(record: RunRecord, material: Material) -> dict[str, Any]:
    """Return the worst answers and confusions where an answer is of places in an image."""
    beside, keys, wrong = dense.worst(record, material)
    matrix, says = dense.matrix_of(record)
    _, *others = dense_words(record).whole(record)
    how = f"The intervals are percentiles of {RESAMPLES:,} bootstrap resamples of the {units(record)}, seed 0."
    metrics = [Metric(f.name, f"{f.value:.2f} %", interval_words(f.interval), f.says) for f in others]
    return {
        "gallery": [],
        "metrics": metrics,
        "metrics_notes": [how],
        "beside": beside,
        "keys": keys,
        "wrong": wrong,
        "matrix": matrix,
        "matrix_says": says,
        "pairs": [],
    }


def _gallery(album: Album, material: Material) -> dict[str, Any]:
    """Return the worst mistakes with their pictures and, where the network can be asked, what spoke for the answer."""
    record = album.record
    rows = mistakes.worst(record).tolist()
    pictures = [album.originals.picture(i) for i in rows]
    found = reasons(material.model, pictures, asked(record.task, record.evaluation, rows), mistakes.LARGE)
    shown = []
    for k, i in enumerate(rows):
        both = (pictures[k], found.pictures[k])
        sources = [thumbnail(each, mistakes.LARGE) if each is not None else None for each in both]
        shown.append(album.shown(i, *sources)._replace(reason=record.class_names[found.of[k]]))
    return {"gallery": shown, "layer": found.layer}


def remarks(record: RunRecord, material: Material, album: Album) -> list[str]:
    """Return sentences on what the page cannot show, and what is to be kept in mind when reading it."""
    found = [*material.absent, *not_shown(album)]
    if record.chosen_on_split:
        found.append("These images also chose the epoch, so expect a little less on new ones.")
    if record.task.whole_image and (odd := int((~np.isfinite(record.evaluation.nll)).sum())):
        found.append(
            f"The loss of {counted(odd, 'image')} is no number (NaN or infinite): weights or images are damaged."
        )
    return found


def not_shown(album: Album) -> Iterator[str]:
    """Yield which images a page shows by a frame alone, and why."""
    if lost := len(album.originals.lost):
        theirs = "its" if lost == 1 else "their"
        yield f"{counted(lost, 'image')} that the page would show can no longer be read: a frame stands in {theirs} place."
    if album.wanting:
        yield "Some images have file names only: more pictures would make the page too large."


def check_findings(record: RunRecord) -> list[tuple[str, int, list[str]]]:
    """Return what ``--check`` found, where its check.json lies in the run's folder or in check/ beside it."""
    places = record.folder / "check.json", record.folder.parent / "check" / "check.json"
    for place in places:
        try:
            found = read_json(place)
            if place.parent == record.folder or found["dataset"] == record.options["dataset"]:
                return _by_check(found["findings"])
        except (OSError, ValueError, TypeError, KeyError):
            continue  # none is there, or it is none of ours
    return []


def _by_check(findings: Any) -> list[tuple[str, int, list[str]]]:
    by: dict[str, list[str]] = {}
    for finding in findings:
        names = [str(image["name"]) for image in finding["images"][:3]]
        more = f" and {len(finding['images']) - 3} more" if len(finding["images"]) > 3 else ""
        reason = str(finding["reason"])
        by.setdefault(str(finding["check"]), []).append(f"{', '.join(names)}{more}: {reason}" if names else reason)
    return [(check, len(lines), lines[:FINDINGS]) for check, lines in by.items()]


def run_facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield what is to be known of the run, by its name: time, hardware, versions, weights; of a mere model the latter."""
    facts, network = record.facts, record.facts["network"]
    yield "network", f"{network['architecture']}, {network['parameters']:,} parameters, from {network['source']}"
    yield "input", f"{record.size} pixels, {facts['input']['crop_mode']}, crop {facts['input']['crop_pct']:g}"
    if "schedule" in facts:
        yield "length", f"{facts['steps']:,} steps, {epochs_words(facts['schedule']['epochs'])}"
        yield "arithmetic", f"{facts['precision']['name']} ({facts['precision']['reason']})"
        yield "time", f"{duration(facts['seconds'])}, finished on {facts['finished']}"
        yield "hardware", facts["hardware"]
        versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
        yield "versions", f"Python {facts['python']}, {versions}"
    yield "weights", f"SHA-256 {facts.get('weights_sha256') or 'not known'}"


def at_temperature(record: RunRecord) -> str:
    """Return what the line of the answers at a temperature is called, "" where there is none."""
    found = record.calibration
    return f"at temperature {found.temperature:.3g}" if found is not None and found.sureness is not None else ""


def _recipe(record: RunRecord) -> list[str]:
    """Return the lines of the recipe beside the weights; none where it is gone."""
    try:
        return (record.model_folder / "recipe.yaml").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []


def augmentation(record: RunRecord) -> str:
    """Return what was done to training images, in words, and what the pictures of them do not show."""
    config = record.config
    crop, flips = config.data.crop_min or 1.0, config.data.hflip or 0.0
    first = f"random crops of {crop:.0%} to 100 %" if crop < 1 else "whole images"
    if (scales := record.task.scales(config)) is not None:
        first = "pictures {:g} to {:g} times as large, anywhere in the input".format(*scales)
    more = [name.replace("_", " ") for name, value in vars(config.augment).items() if value]
    later = [name for name in ("mixup", "cutmix", "paper_augment") if getattr(config, name)]
    said = ", ".join([first, f"flipped with probability {flips:g}", *more])
    return f"{said}; {and_list(later).replace('_', ' ')} came after that" if later else said
