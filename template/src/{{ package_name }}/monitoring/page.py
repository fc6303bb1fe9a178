"""The report as one HTML file, which loads nothing: charts are SVG, without scripts."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, MARGIN = 420, 150, 28
MAX_BINS_SHOWN = 12

STYLE = Path(__file__).with_name("page.css").read_text("utf-8")


def page(summary: Mapping[str, Any]) -> str:
    """Return the report of a summary as HTML."""
    days = summary["days"]
    unmatched, unknown = summary["num_unmatched_labels"], summary["num_unknown_labels"]
    parts = [
        f"<h1>Monitoring</h1><p class=about>Model {_text(summary['model_version'])}, "
        f"{summary['num_predictions']:,} recorded predictions, the truth for "
        f"{summary['num_with_truth']:,}. {_text(summary['since'])} to {_text(summary['time'])}"
        f"{', as the log is full' * summary['is_cut']}.</p>"
        f"<p class=about>Labels whose id is of no record: {unmatched:,}; that the model "
        f"does not know: {unknown:,}.</p>",
        _verdict(summary),
        "<h2>Metrics</h2>",
        _metrics(summary),
        "<h2>Traffic</h2><div class=charts>",
        _figure("Predictions", _bars(days, "num_predictions"), "recorded per day"),
        _figure("Latency", _lines(days, ["latency_p50_ms", "latency_p99_ms"]), "ms, p50 and p99"),
        _figure("Confidence", _lines(days, ["confidence"]), "mean"),
        "</div>",
        "<h2>Drift</h2>",
        _drift(summary["drift"]),
        "<h2>Versions</h2>",
        _table(("model_version", "predictions"), summary["versions"].items()),
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Monitoring</title>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _text(value: Any) -> str:
    """Return a value as text for HTML, short and without markup."""
    return escape(f"{value:.4g}" if isinstance(value, float) else f"{value!s:.80}")


def _verdict(summary: Mapping[str, Any]) -> str:
    if not summary["alerts"]:
        return "<div class=verdict>Nothing is past its threshold.</div>"
    listed = "".join(f"<li>{_text(alert)}</li>" for alert in summary["alerts"])
    return f'<div class="verdict bad"><ul>{listed}</ul></div>'


def _metrics(summary: Mapping[str, Any]) -> str:
    if not summary["metrics"]:
        return "<p>No prediction has its truth yet: <code>POST /feedback</code> brings it.</p>"
    days = [day for day in summary["days"] if day["metrics"]]
    figures = []
    for name, value in summary["metrics"].items():
        promised = summary["promised"].get(name)
        series = [{**day, name: day["metrics"][name]} for day in days]
        note = (
            f"{_text(value)}, promised {_text(promised)}" if promised is not None else _text(value)
        )
        figures.append(_figure(name, _lines(series, [name], promised), note))
    return f"<div class=charts>{''.join(figures)}</div>"


def _figure(title: str, chart: str, note: str) -> str:
    caption = f"<figcaption><b>{_text(title)}</b><small>{note}</small></figcaption>"
    return f"<figure>{caption}{chart}</figure>"


def _lines(
    days: Sequence[Mapping[str, Any]], names: Sequence[str], promised: float | None = None
) -> str:
    """Return a chart with a line for each name, over days, and a dashed one for a promise."""
    series = [
        [(x, day[name]) for x, day in enumerate(days) if day[name] is not None] for name in names
    ]
    values = [y for line in series for _, y in line]
    if not values:
        return "<p class=about>Nothing recorded.</p>"
    low, high = min([*values, promised or min(values)]), max([*values, promised or max(values)])
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    room = (high - low) * 0.1

    def place(x: float, y: float) -> str:
        across = (x + 0.5) / len(days) * (WIDTH - 2 * MARGIN) + MARGIN * 1.6
        up = (y - low + room) / (high - low + 2 * room) * (HEIGHT - MARGIN)
        return f"{across:.1f},{HEIGHT - MARGIN - up:.1f}"

    drawn = []
    if promised is not None:
        ends = f"{place(-0.5, promised)} {place(len(days) - 0.5, promised)}"
        drawn.append(
            f'<polyline points="{ends}" fill=none stroke="var(--soft)" stroke-dasharray="5 4"/>'
        )
    for number, line in enumerate(series):
        colour = "var(--then)" if number < len(series) - 1 else "var(--now)"
        points = " ".join(place(x, y) for x, y in line)
        drawn.append(f'<polyline points="{points}" fill=none stroke="{colour}" stroke-width=2 />')
        for x, y in line:
            across, up = place(x, y).split(",")
            title = f"<title>{_text(days[x]['day'])}: {_text(float(y))}</title>"
            drawn.append(f'<circle cx="{across}" cy="{up}" r=3 fill="{colour}">{title}</circle>')
    scale = "".join(
        f'<text x=0 y="{float(place(0, y).split(",")[1]) + 4:.1f}">{_text(float(y))}</text>'
        for y in (low, high)
    )
    return _svg(scale + "".join(drawn) + _days(days))


def _bars(days: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return a chart with a bar for each day."""
    if not days:
        return "<p class=about>Nothing recorded.</p>"
    most = max(day[name] for day in days)
    step = (WIDTH - 2 * MARGIN) / len(days)
    drawn = [f"<text x=0 y=12>{most:,}</text>"]
    for x, day in enumerate(days):
        tall = day[name] / most * (HEIGHT - MARGIN - 4)
        drawn.append(
            f'<rect x="{MARGIN * 1.6 + (x + 0.15) * step:.1f}" y="{HEIGHT - MARGIN - tall:.1f}" '
            f'width="{min(0.7 * step, 40):.1f}" height="{tall:.1f}" fill="var(--now)">'
            f"<title>{_text(day['day'])}: {day[name]:,}</title></rect>"
        )
    return _svg("".join(drawn) + _days(days))


def _days(days: Sequence[Mapping[str, Any]]) -> str:
    """Return the first and the last day below a chart."""
    y = HEIGHT - 8
    first = f'<text x="{MARGIN * 1.6}" y="{y}">{_text(days[0]["day"])}</text>'
    if len(days) == 1:
        return first
    return f'{first}<text x="{WIDTH}" y="{y}" text-anchor=end>{_text(days[-1]["day"])}</text>'


def _svg(content: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role=img>{content}</svg>'


def _drift(drifts: Sequence[Mapping[str, Any]]) -> str:
    if not drifts:
        return "<p>No features are recorded (<code>monitoring.features</code>).</p>"
    rows = "".join(
        f"<tr{' class=drifts' if one['drifts'] else ''}><td>{_text(one['name'])}</td>"
        f"<td class=number>{one['psi']:.3f}</td><td class=number>{one['p_value']:.2g}</td>"
        f"<td>{_text(one['test'])}</td><td class=number>{one['num_rows']:,}</td>"
        f"<td>{_pairs(one)}</td></tr>"
        for one in drifts
    )
    names = ("feature", "PSI", "p", "test", "rows", "distribution")
    head = "".join(f"<th>{name}" for name in names)
    key = (
        '<p class=key><b style="background:var(--then)"></b>reference'
        '<b style="background:var(--now)"></b>production</p>'
    )
    return f"{key}<div class=scroll><table><tr>{head}</tr>{rows}</table></div>"


def _pairs(drift: Mapping[str, Any]) -> str:
    """Return small bars of the shares in each bin, of the reference and of production."""
    shares = list(zip(drift["bins"], drift["reference"], drift["current"], strict=True))
    shares = shares[:MAX_BINS_SHOWN]
    most = max(max(one, other) for _, one, other in shares) or 1
    step = 180 / len(shares)
    bars = "".join(
        f'<rect x="{(x + at) * step:.1f}" y="{36 - 34 * share / most:.1f}" '
        f'width="{0.4 * step:.1f}" height="{34 * share / most:.1f}" fill="var(--{colour})">'
        f"<title>{_text(name)}: {share:.1%}</title></rect>"
        for x, (name, one, other) in enumerate(shares)
        for at, share, colour in ((0.05, one, "then"), (0.5, other, "now"))
    )
    return f'<svg viewBox="0 0 180 36" role=img>{bars}</svg>'


def _table(head: Sequence[str], rows: Any) -> str:
    titles = "".join(f"<th>{_text(one)}" for one in head)
    body = "".join(f"<tr>{''.join(f'<td>{_text(one)}' for one in row)}</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"
