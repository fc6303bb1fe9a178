"""Names: whatever is given ends in one clear line or in a project that works."""

import ast
import json
import keyword
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from choices import COVERING
from conftest import Render
from hypothesis import given, settings
from hypothesis import strategies as st

from mlscaffold.errors import AnswerError, MlscaffoldError
from mlscaffold.new import new
from mlscaffold.rendering.answers import resolve
from mlscaffold.rendering.questions import read_questions, read_yaml
from mlscaffold.rendering.validators import Validators

ROOT = Path(__file__).parents[1]
RESERVED = frozenset((ROOT / "reserved-names.txt").read_text().split())
ENTRIES = read_yaml((ROOT / "copier.yml").read_text())
QUESTIONS = read_questions(ENTRIES)
VALIDATORS = Validators(ENTRIES, lambda path: (ROOT / path).read_text())

NASTY = [
    "", " ", ".", "..", "../x", "../../x", "/x/y", "/", "~", "~/x", "-", "-rf", "--help", "a/b",
    "a\\b", "C:\\x", "C:x", "con", "CON", "nul", "aux", "com1", "lpt9", "con.txt", "class", "None",
    "match", "async", "torch", "mlflow", "hydra", "sklearn", "yaml", "numpy", "tests", "src", "os",
    "json", "antigravity", "1proj", "_x", "x_", "x-", "-x", "a b", " a", "a\n", "a\tb", "a\0b",
    'a"b\nimport os', "a'b", 'a"b', "`id`", "$(id)", "${HOME}", "{{7*7}}", "{% raw %}", "{#", "%s",
    "a;b", "a|b", "a&b", "a*", "é", "ünï", "名前", "🚀", "a\u200bb", "a\u202eb", "\ud800",
    "x" * 300,
]  # fmt: skip
KEPT = [
    "{{7*7}}", "{% raw %}", "{# x #}", "🚀 fast", '"quoted"', "it's", "a\\nb", "a: b # c", "- x",
    "%YAML", "<b>&amp;</b>", "${HOME} $(id) `id`", "ünïcode 名前", "x" * 200, "'''", '"""',
    "null", "[1, 2]",
]  # fmt: skip

names = st.one_of(
    st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9._-]{1,70}", fullmatch=True),
    st.sampled_from(sorted(RESERVED)),
    st.sampled_from(NASTY),
    st.text(max_size=80),
)
texts = st.one_of(st.sampled_from(NASTY + KEPT), st.text(max_size=220))


def answered(**given: str) -> dict[str, str]:
    """All answers, or AnswerError."""
    answers = resolve(QUESTIONS, given=given, suggested={}, complaint=VALIDATORS.complaint)
    return {key: str(value) for key, value in answers.items()}


def refuse_unclear(error: MlscaffoldError) -> None:
    """Fails unless the error is one line that can be printed anywhere."""
    assert str(error).isprintable()
    assert len(str(error)) < 400


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, str]], None]:
    """Renders every file of the template in which an answer stands, and parses the outcome."""
    from jinja2 import FileSystemLoader
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(
        loader=FileSystemLoader([ROOT / "template", ROOT]),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
        keep_trailing_newline=True,
    )
    template = FileSystemLoader(ROOT / "template").list_templates()
    sources = [name for name in template if name.endswith(".jinja") and "_copier" not in name]

    def render(answers: Mapping[str, str]) -> None:
        for source in sources:
            text = environment.get_template(source).render(**answers)
            parse(source.removesuffix(".jinja"), text)

    return render


def parse(name: str, text: str) -> None:
    """Fails unless the text is what the file's name says."""
    if name.endswith(".toml"):
        tomllib.loads(text)
    elif name.endswith((".yaml", ".yml")):
        list(yaml.safe_load_all(text))
    elif name.endswith((".json", ".ipynb")):
        json.loads(text)
    elif name.endswith(".py"):
        ast.parse(text)


def parse_project(folder: Path) -> None:
    """Fails unless every file of the project is what its name says."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert folder / "pyproject.toml" in files
    for path in files:
        parse(path.name, path.read_text())


@pytest.mark.slow
def test_2000_names_are_refused_in_one_line_or_render_and_import(
    rendered: Callable, project_env: Path, tmp_path: Path
) -> None:
    accepted = set()

    @settings(max_examples=2000, deadline=None, database=None)
    @given(project=names, package=st.none() | names)
    def refused_or_rendered(project: str, package: str | None) -> None:
        given = {"project_name": project} | ({} if package is None else {"package_name": package})
        try:
            answers = answered(**given)
        except AnswerError as error:
            refuse_unclear(error)
            return
        rendered(answers)
        accepted.add(answers["package_name"])

    refused_or_rendered()
    assert len(accepted) > 200
    assert imported_unhidden(accepted, project_env / "bin" / "python", folder=tmp_path)


def imported_unhidden(packages: set[str], python: Path, *, folder: Path) -> bool:
    """Whether each name is free in the project's environment, and imports when it is a package."""
    script = (
        "import importlib.util, sys\n"
        "names = sys.stdin.read().split()\n"
        "print([name for name in names if importlib.util.find_spec(name)])\n"
        "sys.path.append(sys.argv[1])\n"
        "importlib.invalidate_caches()\n"
        "print([name for name in names if importlib.import_module(name).marked != name])\n"
    )
    for name in packages:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"marked = {name!r}\n")
    command = [str(python), "-P", "-c", script, str(folder)]
    stdin = "\n".join(packages)
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True)
    return (done.stdout, done.stderr) == ("[]\n[]\n", "")


def test_reserved_names_hold_keywords_modules_and_direct_dependencies(
    render: Render, project_env: Path
) -> None:
    words = {*keyword.kwlist, *keyword.softkwlist, *sys.stdlib_module_names}
    texts = [(render(**answers) / "pyproject.toml").read_text() for answers in COVERING]
    groups = [
        group
        for pyproject in map(tomllib.loads, texts)
        for group in (
            pyproject["project"]["dependencies"],
            *pyproject["dependency-groups"].values(),
        )
    ]
    direct = {normalised(re.split(r"[<>=[]", line)[0]) for group in groups for line in group}
    script = "import json; from importlib import metadata as m; "
    script += "print(json.dumps(m.packages_distributions()))"
    command = [str(project_env / "bin" / "python"), "-c", script]
    modules = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    imported = {name for name, owners in modules.items() if direct & set(map(normalised, owners))}
    assert {"torch", "sklearn", "hydra", "wandb", "bentoml", "ray", "kfp"} <= imported
    possible = {word.lower() for word in words | direct | imported if not word.startswith("_")}
    assert possible <= RESERVED


def test_reserved_names_hold_what_tests_import_by_name(render: Render) -> None:
    modules = {path.stem for answers in COVERING for path in render(**answers).glob("tests/*.py")}
    assert modules <= RESERVED


def normalised(distribution: str) -> str:
    """The distribution's name as a package would spell it."""
    return re.sub(r"[-_.]+", "_", distribution.lower())


@pytest.mark.slow
@settings(max_examples=500, deadline=None, database=None)
@given(description=texts, author=texts)
def test_texts_are_refused_in_one_line_or_kept_to_the_letter(
    description: str, author: str, rendered: Callable
) -> None:
    try:
        answers = answered(description=description, author_name=author)
    except AnswerError as error:
        refuse_unclear(error)
        return
    assert (answers["description"], answers["author_name"]) == (description, author)
    rendered(answers)


@pytest.mark.parametrize("text", KEPT)
def test_a_text_stands_in_the_project_as_it_was_given(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "toy-project"
    new(str(folder), given={"description": text}, with_git=False, with_lock=False)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["description"] == text
    assert yaml.safe_load((folder / ".copier-answers.yml").read_text())["description"] == text


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_a_nasty_project_name_is_refused_or_works(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner" / "toy"
    try:
        new(str(folder), given={"project_name": name}, with_git=False, with_lock=False)
    except AnswerError as error:
        refuse_unclear(error)
        assert list(tmp_path.iterdir()) == []
    else:
        assert [path.name for path in tmp_path.iterdir()] == ["inner"]
        assert [path.name for path in folder.parent.iterdir()] == ["toy"]
        parse_project(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NASTY if not n.startswith("/x")], ids=ascii)
def test_a_nasty_destination_is_refused_or_the_only_thing_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "a" / "b" / "c"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    before = set(tmp_path.rglob("*"))
    try:
        made = new(name, given={"project_name": "toy"}, with_git=False, with_lock=False)
    except MlscaffoldError as error:
        refuse_unclear(error)
        assert set(tmp_path.rglob("*")) == before
    else:
        written = set(tmp_path.rglob("*")) - before
        assert all(made.path in (p, *p.parents) or p in made.path.parents for p in written)
        parse_project(made.path)
