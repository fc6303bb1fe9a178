"""Breast cancer (Wisconsin, diagnostic): 30 measurements of cell nuclei, benign or malignant.

Scikit-learn's bundled copy, 569 rows. For `objective=multilabel` a row has findings too:
`malignant`, and two that are thresholds of inputs, `large` cells and `rough` texture.
"""

from collections.abc import Iterator

from .rows import Values

LARGE_AREA, ROUGH_TEXTURE = 1000, 30
"""The area and the texture of the worst cells above which a row has these findings."""


def rows() -> Iterator[Values]:
    """Yield the measurements of each row, its label and its findings."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    for measured, target in zip(data.data.tolist(), data.target.tolist(), strict=True):
        values = dict(zip(data.feature_names.tolist(), measured, strict=True))
        label = str(data.target_names[target])
        findings = {
            "malignant": label == "malignant",
            "large": values["worst area"] > LARGE_AREA,
            "rough": values["worst texture"] > ROUGH_TEXTURE,
        }
        yield {**values, "label": label, "labels": [name for name in findings if findings[name]]}
