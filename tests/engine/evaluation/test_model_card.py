from dataclasses import replace

import numpy as np
import pytest
from toy_project.config import OnDuplicate, RegistryConfig, SplitBy
from toy_project.data.preprocessing import SplitName
from toy_project.evaluation.model_card import model_card
from toy_project.evaluation.report import Report, shown
from toy_project.lineage import current_lineage
from toy_project.models.bundle import Bundle
from toy_project.objectives.classification import (
    Classification,
)

from ..conftest import DATA, make_config

TARGETS = np.array([0, 0, 0, 1, 1, 2])
"""Of animals, plants and stones."""
PREDICTED = np.array([0, 0, 1, 1, 1, 0])
CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])


def outputs(predicted: np.ndarray) -> np.ndarray:
    """Logits of which the softmax gives these labels this confidence."""
    probabilities = np.repeat((1 - CONFIDENCE[:, None]) / 2, 3, axis=1)
    probabilities[np.arange(6), predicted] = CONFIDENCE
    return np.log(probabilities)


@pytest.fixture
def report(bundle: Bundle) -> Report:
    """The results of a model that is right four times of six."""
    return Report(
        bundle=replace(bundle, lineage=current_lineage(make_config(), run_id="run-7")),
        outputs=outputs(PREDICTED),
        targets=TARGETS,
        baseline_scores={"majority": np.eye(3, dtype=np.float32)[[0] * 6]},
        num_rows={"train": 1234, "validation": 5, "test": 6},
        test_rows=[],
    )


def test_the_card_has_its_sections(report: Report) -> None:
    card = model_card(report, make_config(registry=RegistryConfig(model_name="finder")))
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == [
        "# finder",
        "## Data",
        "## Results",
        "## Each label",
        "## Training",
        "## Lineage",
        "## Intended use and limits",
    ]


def test_it_says_how_much_better_than_the_baselines(report: Report) -> None:
    card = model_card(report, make_config())
    assert "|  | this model | majority |" in card
    assert "| accuracy | **0.667** | 0.500 (+0.167) |" in card
    assert "| macro f1 | **0.489** | 0.222 (+0.267) |" in card
    assert "| log loss | **0.772** | 18.02 (+17.25) |" in card


def test_the_printed_table_has_a_row_per_metric(report: Report) -> None:
    header, *rows = report.table().splitlines()
    assert header.split() == ["model", "majority"]
    assert rows[0].split() == ["accuracy", "0.667", "0.500", "(+0.167)"]
    assert [row.split()[0] for row in rows] == list(Classification.metrics)
    assert max(map(len, rows)) < 60


def test_what_was_tuned_is_shown_before_and_after(report: Report) -> None:
    assert "Tuned" not in model_card(report, make_config())
    objective = Classification(("animals", "plants", "stones"), calibrate=True, temperature=2.0)
    tuned = replace(report.bundle.spec, objective=objective)
    tuned_report = replace(report, bundle=replace(report.bundle, spec=tuned))
    card = model_card(tuned_report, make_config())
    before, after = (f"{one.metrics['log_loss']:.3f}" for one in (report, tuned_report))
    assert f"| log_loss | {before} | {after} |" in card
    assert "| accuracy | 0.667 | 0.667 |" not in card


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(
            (0.0, "0.000"),
            (0.6123, "0.612"),
            (-0.5, "-0.500"),
            (53.812, "53.81"),
            (9.9999, "10.00"),
        ),
        *((1234567.8, "1,234,568"), (0.00123, "0.0012"), (float("nan"), "nan")),
    ],
)
def test_a_figure_has_about_four_digits(value: float, expected: str) -> None:
    assert shown(value) == expected
    assert shown(value, "+") == (expected if value < 0 else f"+{expected}")


def test_it_has_a_line_per_label_and_split(report: Report) -> None:
    card = model_card(report, make_config())
    assert "| animals | 0.67 | 0.67 | 0.67 | 3 |" in card
    assert "| stones | 0.00 | 0.00 | 0.00 | 1 |" in card
    assert "| train | 1,234 |" in card


def test_it_says_where_the_model_comes_from(report: Report) -> None:
    lineage = report.bundle.lineage
    card = model_card(report, make_config())
    for value in (lineage.data_hash, lineage.config_hash, "run-7", lineage.created_at):
        assert str(value) in card
    assert f"`{report.bundle.version}`" in card


def test_settings_are_shown_only_where_they_trained_the_model(report: Report) -> None:
    config = make_config()
    assert f"training.epochs={config.training.epochs}\n" in model_card(report, config)
    assert "training.epochs" not in model_card(report, replace(config, seed=1))


def test_it_says_what_the_figures_are_worth(report: Report) -> None:
    card = model_card(report, make_config())
    assert "It is right in 67% of the cases; its mean confidence is 65%." in card
    assert "Its most frequent mistake is plants for animals: 1 of 3." in card


def test_a_model_without_mistakes_is_doubted(report: Report) -> None:
    perfect = replace(report, outputs=outputs(TARGETS))
    assert "reason to doubt the split" in model_card(perfect, make_config())


def test_it_says_when_baselines_learned_from_fewer_rows(report: Report) -> None:
    large = replace(report, num_rows={**report.num_rows, "train": 100_001})
    sentence = "The baselines learned from about 100,000 training rows, evenly spaced."
    assert sentence in model_card(large, make_config())
    assert "baselines learned" not in model_card(report, make_config())


@pytest.mark.parametrize("on_duplicate", OnDuplicate)
@pytest.mark.parametrize(
    "settings",
    [{}, {"split": SplitBy.time}, {"split": SplitBy.given}, {"path": dict.fromkeys(SplitName, "")}],
)
def test_it_says_whether_duplicates_were_removed(report, settings, on_duplicate) -> None:
    config = make_config(data=replace(DATA, on_duplicate=on_duplicate, **settings))
    is_said = "Exact duplicates are removed. The " in model_card(report, config)
    assert is_said == (on_duplicate is OnDuplicate.drop)


def test_it_names_the_data(report: Report) -> None:
    assert "standard library" in model_card(report, make_config())
    mine = make_config(data=replace(DATA, path="data/external/mine.csv"))
    assert "The rows of `data/external/mine.csv`." in model_card(report, mine)


def test_a_label_cannot_break_out_of_its_table(report: Report) -> None:
    spec = replace(report.bundle.spec, objective=Classification(("animals", "plants", "a|b\nc")))
    odd = replace(report, bundle=replace(report.bundle, spec=spec))
    assert "| a&#124;b c | 0.00 |" in model_card(odd, make_config())
