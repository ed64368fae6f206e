"""What card, Hub and terminal say of the metrics besides the headline figure."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from botzoo.results.card.card import card
from botzoo.results.record import RunRecord
from botzoo.results.summary import summary
from recorded import a_record, answers


def ranked(**changed: Any) -> Any:
    """Return answers with the probabilities of all classes."""
    seen = answers()
    log_p = np.full((len(seen), 6), -4.0, np.float16)
    log_p[np.arange(len(seen)), seen.predicted] = -0.1
    return replace(seen, log_p=log_p, **changed)


def terminal(record: RunRecord) -> str:
    return "\n".join(summary(record))


def test_the_card_has_a_row_for_each_metric_but_that_of_ordered_classes() -> None:
    text = card(a_record(seen=ranked()))
    titles = ("balanced accuracy", "macro F1", "ROC-AUC", "average precision", "Cohen's kappa", "log-loss")
    assert [title for title in titles if f"\n| {title} | " not in text] == []
    assert "quadratic" not in text
    assert "percentiles of 1,000 bootstrap resamples of the images, seed 0." in text
    assert "Not known" not in text


def test_what_chose_the_epoch_is_said_and_stands_first_in_the_terminal() -> None:
    line = {"step": 20, "split": "validation", "epoch": 2, "top1": 81.25, "quadratic_kappa": 60.0, "loss": 0.5}
    record = a_record(seen=ranked(), options={"select_by": "quadratic-kappa"}, history=(line,), split="test")
    assert "The validation images, which did, by quadratic kappa, gave 60.00 %." in card(record)
    labels, predicted = record.evaluation.labels, record.evaluation.predicted
    kappa = 100 * cohen_kappa_score(labels, predicted, weights="quadratic")
    assert f"metrics    quadratic kappa {kappa:.2f} % (95 % interval " in terminal(record)


def test_intervals_of_groups_say_so() -> None:
    record = a_record(seen=ranked(groups=np.arange(120) // 10))
    assert "over 12 groups of images)" in terminal(record)
    assert card(record).count("1,000 bootstrap resamples of the 12 groups of images, seed 0") == 2


def test_images_of_one_class_have_no_ranking() -> None:
    seen = ranked()
    first = {name: column[:20] for name, column in vars(seen).items() if isinstance(column, np.ndarray)}
    record = a_record(seen=type(seen)(**first))
    assert "Not known: ROC-AUC and average precision (the images show one class only)." in card(record)


@pytest.mark.parametrize("resamples", [25, 300])
def test_fewer_resamples_are_said(resamples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botzoo.tasks.metrics.metric.WORK", resamples * 120 * 6)
    what = "percentiles" if resamples > 200 else "the value more or less 1.96 standard deviations"
    expected = f"; of ROC-AUC and average precision, which take long, {what} of {resamples}."
    assert expected in card(a_record(seen=ranked()))
