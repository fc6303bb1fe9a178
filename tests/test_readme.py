"""The README and its fellows: every command in them is run, every link leads somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from choices import COVERING, Answers, named
from conftest import Render

from mlscaffold.rendering.releases import PUBLIC_URL

ROOT = Path(__file__).parents[1]
PAGES = [
    *(
        ROOT / f"{name}.md"
        for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY", "AGENTS")
    ),
    *sorted((ROOT / "docs").glob("*.md")),
]


def commands(page: Path) -> list[str]:
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def targets(makefile: Path) -> set[str]:
    """The targets that a Makefile's help lists."""
    return set(re.findall(r"^([a-z-]+):.*## ", makefile.read_text(), flags=re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """The names by which the page's headings are linked to."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            linked = page.parent / name if name else page
            assert linked.exists(), link
            assert not anchor or anchor in anchors(linked), link


def test_every_make_target_is_there(render: Render) -> None:
    ours, theirs = targets(ROOT / "Makefile"), targets(render() / "Makefile")
    asked = {line.split()[1] for page in PAGES for line in commands(page) if "make " in line}
    assert asked <= ours | theirs
    assert {"demo", "setup", "repro", "register", "serve"} <= asked


@pytest.mark.parametrize("answers", COVERING, ids=named)
def test_every_make_target_of_the_projects_readme_is_there(
    answers: Answers, render: Render
) -> None:
    project = render(**answers)
    lines = [line.split() for line in commands(project / "README.md")]
    asked = {words[1] for words in lines if words[0] == "make"}
    assert {"setup", "repro"} <= asked
    assert ("register" in asked) == (answers["tracking"] != "none")
    assert ("serve" in asked) == (answers["serving"] != "none")
    assert asked <= targets(project / "Makefile")


def test_the_projects_readme_says_how_to_update_without_an_installation(render: Render) -> None:
    address = f"git+{PUBLIC_URL.removesuffix('.git')}"
    assert f"uv tool install {address}" in commands(ROOT / "README.md")
    assert f"`uvx --from {address} mlscaffold update`" in (render() / "README.md").read_text()


@pytest.mark.parametrize(
    "line", [line for page in PAGES for line in commands(page) if "mlscaffold " in line]
)
def test_a_command_of_ours_runs(line: str, tmp_path: Path, render: Render) -> None:
    program, *arguments = shlex.split(line, comments=True)
    makes = arguments[0] == "new"
    here = tmp_path / "here" if makes else render(with_git=True)
    here.mkdir(exist_ok=True)
    command = [sys.executable, "-m", Path(program).name, *arguments]
    command += ["--no-lock"] if makes else []
    subprocess.run(command, cwd=here, check=True, stdin=subprocess.DEVNULL)
    made = here / arguments[1] if makes else here
    assert (made / "Makefile").is_file()


def test_the_commands_in_its_table_are_all_there_are() -> None:
    listed = set(re.findall(r"^\| `mlscaffold (\w+)", PAGES[0].read_text(), flags=re.MULTILINE))
    shown = subprocess.run(
        [sys.executable, "-m", "mlscaffold", "--help"], capture_output=True, text=True
    ).stdout
    assert listed == set(re.findall(r"^  (\w+) ", shown.partition("Commands:")[2], re.MULTILINE))


def test_the_options_in_its_table_are_the_questions() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\|$", PAGES[0].read_text(), re.MULTILINE)
    from mlscaffold.options import options

    questions = {question.name: question for question in options().questions}
    assert [name for name, _, _ in rows] == list(questions)
    for name, default, choices in rows:
        assert choices == ", ".join(map(str, questions[name].values))
        assert not choices or default.split()[-1] == questions[name].default


def test_the_presets_in_its_table_are_all_there_are() -> None:
    from mlscaffold.options import options

    rows = re.findall(r"^\| `--preset (\w+)` \| (.*) \|$", PAGES[0].read_text(), re.MULTILINE)
    expected = {
        name: ", ".join(f"`{key}={value}`" for key, value in answers.items()) or "every default"
        for name, answers in options().presets.items()
    }
    assert dict(rows) == expected


def test_make_lists_its_targets() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("help", "setup", "lint", "test", "demo", "build", "clean"):
        assert f"  make {target} " in listed
