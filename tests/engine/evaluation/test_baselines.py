from toy_project.data.preprocessing import SplitName
from toy_project.data.rows import Row, Rows
from toy_project.data.spec import DataSpec
from toy_project.data.text import TextEncoder
from toy_project.evaluation import report
from toy_project.evaluation.report import baselines
from toy_project.objectives.classification import (
    Classification,
)


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
    assert seen == [every[0], every[(len(every) - 1) // 2], every[-1]]


def test_baselines_learn_from_train_and_give_scores_of_test():
    results = baselines(SPEC, TRAIN, TEST)
    assert results["majority"].tolist() == [[0.4, 0.6], [0.4, 0.6]]
    assert results["tfidf_logistic_regression"].argmax(dim=-1).tolist() == [1, 0]
