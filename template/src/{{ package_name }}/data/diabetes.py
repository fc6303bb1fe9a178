"""Diabetes: ten measurements of 442 patients, and how far the disease was a year later.

Scikit-learn's bundled copy of the data of Efron et al. 2004, "Least Angle Regression".
"""

from collections.abc import Iterator

from .rows import Values


def rows() -> Iterator[Values]:
    """Yield the measurements of each patient, in their own units, and the target."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    for measured, target in zip(data.data.tolist(), data.target.tolist(), strict=True):
        yield {**dict(zip(data.feature_names, measured, strict=True)), "target": target}
