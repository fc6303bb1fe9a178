from toy_project.data.rows import Row
from toy_project.data.spec import DataSpec
from toy_project.data.text import TextEncoder
from toy_project.evaluation.report import baselines
from toy_project.objectives.classification import (
    Classification,
)


def row(text: str, label: str) -> Row:
    return Row({"text": text, "label": label}, "")


TRAIN = [row(f"good fine {i % 3}", "yes") for i in range(6)] + [row("bad poor", "no")] * 4
TEST = [row("good", "yes"), row("bad", "no")]
SPEC = DataSpec(TextEncoder(4, ()), Classification(("no", "yes")))


def test_baselines_learn_from_train_and_give_scores_of_test():
    results = baselines(SPEC, TRAIN, TEST)
    assert results["majority"].tolist() == [[0.4, 0.6], [0.4, 0.6]]
    assert results["tfidf_logistic_regression"].argmax(dim=-1).tolist() == [1, 0]
