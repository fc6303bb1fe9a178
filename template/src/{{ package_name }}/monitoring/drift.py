"""How far the distribution of a feature is from its reference."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NUM_BINS = 10
"""Bins of a number, with the same share of the reference in each."""
MAX_CATEGORIES = 20
"""Frequent ones of the reference; the others are one."""
MISSING, OTHER = "missing", "other"


@dataclass(frozen=True)
class Drift:
    """A feature in the reference and in production."""

    name: str
    test: str
    psi: float
    """Population stability index: Siddiqi 2006, Credit Risk Scorecards. 0 for equal shares; by a
    rule of thumb, above 0.1 the shares differ, above 0.25 much."""
    p_value: float
    """Probability of such a difference by chance."""
    bins: list[str]
    reference: list[float]
    """Share of the reference in each bin."""
    current: list[float]
    num_rows: int
    drifts: bool = False


def drift_of(name: str, reference: Sequence[Any], current: Sequence[Any]) -> Drift:
    """Compare two samples of a feature, of numbers or of categories, with `None` as missing."""
    is_number = all(isinstance(one, int | float) for one in reference if one is not None)
    compare = _numbers if is_number else _categories
    test, p_value, bins, counts = compare(reference, current)
    psi = population_stability_index(*counts)
    shares = [(each / max(each.sum(), 1)).tolist() for each in counts]
    return Drift(name, test, psi, p_value, bins, *shares, num_rows=len(current))


def population_stability_index(reference: np.ndarray, current: np.ndarray) -> float:
    """Return the index of two histograms, whose empty bins count as half a row."""
    one, other = (np.maximum(each, 0.5) / each.sum() for each in (reference, current))
    return float(((other - one) * np.log(other / one)).sum())


Comparison = tuple[str, float, list[str], tuple[np.ndarray, np.ndarray]]


def _numbers(reference: Sequence[Any], current: Sequence[Any]) -> Comparison:
    """Return the Kolmogorov-Smirnov test, and the counts in bins and of missing values.

    The test is scipy's: Hodges 1958, The significance probability of the Smirnov two-sample test.
    """
    from scipy.stats import ks_2samp

    one, other = (np.array([_number(x) for x in each]) for each in (reference, current))
    given = [each[~np.isnan(each)] for each in (one, other)]
    if not len(given[0]):
        return _categories(reference, current)
    p_value = float(ks_2samp(*given).pvalue) if len(given[1]) else 0.0
    inner = np.unique(np.quantile(given[0], np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
    size = len(inner) + 1
    counts = [np.bincount(inner.searchsorted(each), minlength=size) for each in given]
    missing = [len(each) - len(some) for each, some in zip((one, other), given, strict=True)]
    bins = [f"≤ {edge:.4g}" for edge in inner] + [f"> {inner[-1]:.4g}"]
    if any(missing):
        # A change of what is missing counts too: the test of the shares that are.
        p_value = min(
            p_value,
            _chi_square(
                np.array([[len(some), gap] for some, gap in zip(given, missing, strict=True)])
            ),
        )
        counts = [np.append(each, gap) for each, gap in zip(counts, missing, strict=True)]
        bins.append(MISSING)
    return "Kolmogorov-Smirnov", p_value, bins, (counts[0], counts[1])


def _categories(reference: Sequence[Any], current: Sequence[Any]) -> Comparison:
    """Return Pearson's chi-square test of the counts of categories, and these."""
    tallies = [
        Counter(MISSING if x is None else str(x) for x in each) for each in (reference, current)
    ]
    known = [name for name, _ in tallies[0].most_common(MAX_CATEGORIES)]
    counts = [np.array([tally[name] for name in known]) for tally in tallies]
    others = [tally.total() - each.sum() for tally, each in zip(tallies, counts, strict=True)]
    if any(others):
        known.append(OTHER)
        counts = [np.append(each, gap) for each, gap in zip(counts, others, strict=True)]
    return "chi-square", _chi_square(np.array(counts)), known, (counts[0], counts[1])


def _chi_square(table: np.ndarray) -> float:
    """Return the p-value of a table of counts: [2, categories]."""
    from scipy.stats import chi2_contingency

    table = table[:, table.any(axis=0)]
    is_comparable = table.shape[1] > 1 and table.any(axis=1).all()
    return float(chi2_contingency(table).pvalue) if is_comparable else 1.0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan
