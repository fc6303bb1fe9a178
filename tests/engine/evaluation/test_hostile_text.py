"""Labels and texts that are code to whoever shows them: a browser, a spreadsheet, a terminal."""

import csv
import json
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from toy_project.artifacts import MODEL_CARD, REPORTS
from toy_project.config import RegistryConfig
from toy_project.evaluation.report import read_predictions
from toy_project.rules import ConfigError

LABELS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</table></code><!--",
    "a | b",
    "a\\|b\\",
    "`a` ``b``",
    "[x](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "<https://example.org>",
    "# x",
    "*a* _b_ __init__ ~~c~~",
    "a\n\n# b\n| c |",
    "&lt;b&gt; &copy;",
    "\x1b[31m\x1b]0;x\x07\x9b31m",
    "\u202etxt.exe",
    "=1+1",
    "=HYPERLINK(A1)",
    "+1-cmd|' /C calc'!A0",
    "-1+1",
    "@SUM(A1)",
    "'=1",
    "-1",
    "+0.5",
    "a;=1",
    '"b", "=1"',
    "a$b$c",
    "$\\frac{",
    "comp.graphics",
)
ACTIVE = ("=", "+", "-", "@", "\t", "\r")


@pytest.fixture
def made(workspace: Path, tracking, monkeypatch, capfd) -> str:
    """What the stages print, run to the end on hostile data: the champion is registered."""
    with Path("mine.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label", "module"))
        for number, label in enumerate(LABELS):
            writer.writerows((f"{label} word{number} n{i}", label, f"{label}{i}") for i in range(8))
    settings = ("data.path=mine.csv", "model=mlp", "registry.threshold=0", "training=smoke")
    for stage in ("fetch", "preprocess", "train", "evaluate", "register"):
        monkeypatch.setattr(sys, "argv", [stage, *settings])
        import_module(f"toy_project.{stage}").main()
    return "".join(capfd.readouterr())


class Page(HTMLParser):
    """The tags of a page, the cells of each row of its tables, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._open = tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open in ("td", "th"):
            self.rows[-1][-1] += data
        if self._open in ("h1", "h2"):
            self.headings[-1] += data


def shown(label: str) -> str:
    """A label on a line, without what a terminal would obey."""
    for control in "\x1b\x07\x9b\u202e":
        label = label.replace(control, "�")
    return " ".join(label.split())


def test_hostile_data_goes_all_the_way_and_is_only_ever_shown(made):
    card = MODEL_CARD.read_text("utf-8")
    page = Page(MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(card))
    assert page.tags == {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td"} | {
        *("ul", "li", "code", "strong", "img", "pre")
    }
    assert page.headings[1:] == [
        *("Data", "Results", "Each label", "Training", "Lineage", "Intended use and limits")
    ]
    labels = [row for row in page.rows if len(row) == 5]
    assert [row[0] for row in labels[1:]] == [shown(label) for label in sorted(LABELS)]
    assert {len(row) for row in page.rows} == {2, 4, 5}
    joined = ", ".join(shown(label) for label in sorted(LABELS))
    assert f"{len(LABELS)} labels: {joined}." in " ".join(page.text.split())

    path = REPORTS / "predictions.csv"
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert [cell for cell in cells if cell.startswith(ACTIVE) and cell not in ("-1", "+0.5")] == []
    [first, *_] = (REPORTS / "predictions.csv").read_text("utf-8").splitlines()
    assert first == '"id","text","target","prediction","confidence"'
    predictions = read_predictions(path)
    assert {prediction["target"] for prediction in predictions} == set(LABELS)
    assert all(prediction["id"].startswith("mine.csv:") for prediction in predictions)

    assert "\x1b" not in made
    assert "Traceback" not in made
    assert "Glyph" not in made
    assert (REPORTS / "figures" / "confusion.png").stat().st_size > 10_000
    json.loads((REPORTS / "metrics.json").read_text("utf-8"))


@pytest.mark.parametrize("name", ["", "..", "../x", "/x", "a/b", "a\\b", "a:b", "a\nb", "\x1b[31m"])
def test_a_registered_models_name_is_no_path(name):
    expected = f"registry.model_name must be a name without / \\ :, not of dots alone, got {name!r}"
    with pytest.raises(ConfigError) as caught:
        RegistryConfig(model_name=name)
    assert str(caught.value) == expected
