import numpy as np
import pytest
from toy_project.data.preprocessing import SplitName
from toy_project.data.rows import Row, Rows, write_rows
from toy_project.data.spec import DataSpec
from toy_project.data.text import TextEncoder
from toy_project.evaluation import report
from toy_project.evaluation.report import baselines
from toy_project.objectives.classification import Classification
from toy_project.objectives.multilabel import Multilabel


def row(text: str, label: str) -> Row:
    return Row({"text": text, "label": label}, "")


TRAIN = [row(f"good fine {i % 3}", "yes") for i in range(6)] + [row("bad poor", "no")] * 4
TEST = [row("good", "yes"), row("bad", "no")]
SPEC = DataSpec(TextEncoder(4, ()), Classification(("no", "yes")))


def test_a_large_training_split_is_thinned(bundle, processed, tmp_path, monkeypatch):
    processed.save(tmp_path)
    rows = {name.value: Rows(tmp_path / f"{name}.parquet") for name in SplitName}
    seen = []
    monkeypatch.setattr(report, "BASELINE_ROWS", 3)
    monkeypatch.setattr(report, "baselines", lambda spec, train, test: seen.extend(train) or {})
    report.evaluate_bundle(bundle, tmp_path, rows)
    every = list(rows["train"])
    spaced = [every[0], every[(len(every) - 1) // 2], every[-1]]
    assert [one for one in seen if one in spaced] == spaced
    assert len(seen) <= 3 + bundle.spec.objective.num_outputs


def test_baselines_of_a_thinned_split_know_rare_labels(tmp_path, monkeypatch):
    train = [row(f"good n{i}", "yes") for i in range(9)]
    train[1] = row("bad", "no")
    train[3] = row("odd", "other")
    write_rows(train, tmp_path / "train.parquet")
    monkeypatch.setattr(report, "BASELINE_ROWS", 3)
    objective = Classification(("no", "other", "yes"))
    thinned = list(report._spaced(Rows(tmp_path / "train.parquet"), objective))
    assert len(thinned) == 5
    results = baselines(DataSpec(TextEncoder(4, ()), objective), thinned, TEST)
    assert {scores.shape for scores in results.values()} == {(2, 3)}


@pytest.mark.parametrize("objective", [Classification, Multilabel])
def test_gradient_boosting_of_many_rows_takes_a_label_of_one_row(objective):
    targets = np.arange(10_001) % 2 + 1
    targets[0] = 0  # above 10,000 rows, scikit-learn would hold out some of each label
    if objective is Multilabel:
        targets = targets[:, None] == np.arange(3)
        made = Multilabel(("a", "b", "c"), (0.5,) * 3)
    else:
        made = Classification(("a", "b", "c"))
    _, boosting = made.baselines()["boosting"]
    assert boosting.fit(np.zeros((10_001, 1)), targets).predict_proba([[0]]).shape == (1, 3)


def test_baselines_learn_from_train_and_give_scores_of_test():
    results = baselines(SPEC, TRAIN, TEST)
    assert results["majority"].tolist() == [[0.4, 0.6], [0.4, 0.6]]
    assert results["tfidf_logistic_regression"].argmax(axis=-1).tolist() == [1, 0]
