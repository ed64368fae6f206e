"""What an ablation says of its runs: means, paired differences, and when a difference is no more than noise."""

import json
from pathlib import Path

import pytest
from scipy import stats

from botzoo.errors import ConfigError
from botzoo.experiments.estimate import estimate
from botzoo.experiments.report import Ablation, Cell, as_json, as_markdown, as_table, ladder_figure, write_report
from botzoo.recipes.ladders import Ladder, Rung

TOP1 = {"plain": [70.0, 71.0, 69.5], "cosine": [72.0, 73.1, 71.4], "noise": [72.5, 72.6, 71.6]}
FACTS = {"hardware": "1 process", "python": "3.11.7", "versions": {"torch": "2.15.0"}, "images": {"train": 1000}}


def cell(rung: str, seed: int, top1: float) -> Cell:
    return Cell(rung, seed, {"top1": top1, "top5": 90.0, "loss": 1.0}, 5000, 100.0 + seed, 2.0, 0.5)


def ablation(folder: Path, seeds: int = 3) -> Ablation:
    """Three rungs: the second far above the first, the third not to be told from the second."""
    rungs = (
        Rung("plain", {"lr": 1.0}, None, "nothing", 77.16),
        Rung("cosine", {"lr": 2.0}, "plain", "a cosine", 77.91),
        Rung("noise", {"lr": 3.0}, "cosine", "nothing at all"),
    )
    cells = {
        (name, seed): cell(name, seed, top1)
        for name, values in TOP1.items()
        for seed, top1 in enumerate(values[:seeds])
    }
    options = {rung.name: rung.options for rung in rungs}
    ladder = Ladder("mine.yaml", "A ladder", rungs)
    return Ablation(ladder, options, list(range(seeds)), folder, "botzoo ablate", cells, {}, {0: FACTS})


def test_the_interval_is_students() -> None:
    values = TOP1["plain"]
    found = estimate(values)
    expected = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_difference_is_paired(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    found = results.difference(results.ladder.rung("cosine"))
    expected = stats.ttest_rel(TOP1["cosine"], TOP1["plain"]).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("rung", "noise"), [("cosine", False), ("noise", True)])
def test_what_is_within_noise_is_called_so(tmp_path: Path, rung: str, noise: bool) -> None:
    row = next(line for line in as_markdown(ablation(tmp_path)).splitlines() if line.startswith(f"| {rung} "))
    assert ("within noise" in row) == noise
    assert ("| gain |" in row) != noise


def test_one_seed_leaves_the_noise_unknown(tmp_path: Path) -> None:
    table = as_markdown(ablation(tmp_path, seeds=1))
    assert "| cosine | 72.00 % | 1 | +2.00 to plain |  | one seed: noise unknown | +0.75 |" in table


def test_equal_seeds_leave_the_noise_unknown(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    for seed in range(3):
        results.cells["cosine", seed] = cell("cosine", seed, TOP1["plain"][seed] + 0.3)
    found = as_json(results)["rungs"][1]["difference"]
    assert (found["interval_95"], found["within_noise"]) == (None, None)
    assert "| +0.30 to plain |  | equal seeds: noise unknown |" in as_markdown(results)


def test_every_one_of_equal_seeds_is_drawn_as_a_ring_of_its_own(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    results.cells["plain", 2] = cell("plain", 2, TOP1["plain"][0])
    rings = [line for line in ladder_figure(results).axes[0].lines if line.get_marker() == "o"][:3]
    assert len({(line.get_xdata()[0], line.get_markersize()) for line in rings}) == 3
    assert {line.get_markerfacecolor() for line in rings} == {"none"}


def test_runs_of_earlier_commands_are_said_to_be_there(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    assert "earlier" not in as_markdown(results)
    results.earlier = True
    assert "earlier" in as_markdown(results)


def test_diverged_runs_are_counted_and_left_out(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    del results.cells["cosine", 2]
    results.diverged["cosine", 2] = "NaN"
    row = next(line for line in as_markdown(results).splitlines() if line.startswith("| cosine "))
    assert "| 72.55 %" in row
    assert "| 2, 1 diverged |" in row


def test_a_rung_that_only_diverged_is_shown(tmp_path: Path) -> None:
    results = ablation(tmp_path, seeds=1)
    del results.cells["noise", 0]
    results.diverged["noise", 0] = "NaN"
    write_report(results)
    assert "noise   " in as_table(results)


def test_rungs_that_come_to_the_same_options_are_called_so(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    results.options["cosine"] = results.options["plain"]
    assert "the same options on this hardware" in as_table(results)


def test_a_missing_seed_drops_out_of_the_pairs_only(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    del results.cells["plain", 2]
    found = results.difference(results.ladder.rung("cosine"))
    assert found == estimate([2.0, 73.1 - 71.0])


def test_the_papers_own_difference_stands_beside_ours(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    assert results.paper_difference(results.ladder.rung("cosine")) == pytest.approx(0.75)
    assert results.paper_difference(results.ladder.rung("noise")) is None


def test_an_interval_of_an_accuracy_stays_below_100(tmp_path: Path) -> None:
    results = ablation(tmp_path, seeds=2)
    results.cells["plain", 0] = cell("plain", 0, 99.9)
    assert "to 100.00)" in as_table(results)


def test_the_json_holds_every_run(tmp_path: Path) -> None:
    found = json.loads(json.dumps(as_json(ablation(tmp_path)), allow_nan=False))
    assert [[run["top1"] for run in rung["runs"]] for rung in found["rungs"]] == list(TOP1.values())
    assert found["rungs"][1]["difference"]["within_noise"] is False


def test_table_and_picture_are_written(tmp_path: Path) -> None:
    write_report(ablation(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ablation.json", "ablation.md", "ablation.png"]
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_another_figure_of_the_runs_is_compared_where_the_ladder_says_so(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    results.figure = ("top5", "top-5")
    assert as_json(results)["rungs"][1]["top5"]["mean"] == 90
    assert "| top-5, mean" in as_markdown(results)


def test_a_figure_that_the_runs_do_not_have_is_named(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    results.figure = ("top4", "top-4")
    with pytest.raises(ConfigError, match=r"no figure 'top4'\. Did you mean 'top5' or 'top1'"):
        as_json(results)


WEIGHTS = {"source": "runs/a|b", "seed": 0, "dataset": "photos", "images": "1", "epochs": 3, "score": "top-1 50.00 %"}


def test_what_rungs_start_from_is_said_and_where_their_networks_differ(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    results.weights = {name: WEIGHTS | {"network": f"resnet10{name[0]}"} for name in ("plain", "cosine")}
    text = as_markdown(results)
    assert r"| plain | resnet10p | runs/a\|b | 0 | photos | 3 | top-1 50.00 % |" in text
    assert "The networks differ (resnet10p and resnet10c)" in text
    assert "not all trained on the same images" not in text


def test_weights_of_other_images_are_said_to_be(tmp_path: Path) -> None:
    results = ablation(tmp_path)
    results.weights = {name: WEIGHTS | {"network": "x", "images": name} for name in ("plain", "cosine")}
    assert "not all trained on the same images" in as_markdown(results)
