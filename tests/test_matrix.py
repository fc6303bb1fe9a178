"""Every combination of choices is a whole project that speaks of nothing that was not chosen."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain, combinations, product
from pathlib import Path

import pytest
from choices import (
    CHOICES,
    COMPONENTS,
    COVERING,
    EVERY_COMBINATION,
    OF_TWO,
    PRESETS,
    Answers,
    named,
)
from conftest import AUTHOR, Render, Run, inside
from toys import cli, status

from demo import post, server
from mlscaffold.new import new

ROOT = Path(__file__).parents[1]
BASE_FILES = Path(__file__).with_name("expected_files.txt")

# By what one would recognise a choice; nobody else's project holds it.
TRACES = {
    (
        "modality",
        "text",
    ): r"docstring-topics|docstrings of python|text\.py\b|configs/data/docstrings",
    ("modality", "image"): r"kornia|handwritten|vision transformer",
    ("modality", "tabular"): r"breast.cancer|diabetes",
    ("pretrained", "huggingface"): r"hugging ?face|\btransformers\b|\bpeft\b|\blora\b",
    ("tracking", "mlflow"): r"mlflow|mlruns",
    ("tracking", "wandb"): r"wandb|weights (&|and) biases|\bw&b\b",
    ("serving", "fastapi"): r"fastapi",
    ("serving", "bentoml"): r"bento",
    ("distributed", "ray"): r"\bray\b",
    ("orchestration", "kubeflow"): r"kubeflow|\bkfp\b",
    ("monitoring", "drift"): r"\bdrift|configs/monitoring",
    ("deployment", "kubernetes"): r"kustom|deploy/|cyclonedx|signature_key|opentelemetry|shadow",
    ("ci", "github"): r"\.github/|github actions",
    ("ci", "gitlab"): r"\.gitlab\b|gitlab runs",
    ("torch_backend", "cpu"): r"pytorch-cpu|download\.pytorch\.org",
}
OF_ANY_SERVER = r"\bserv(e|es|ing)\b"


def texts(project: Path) -> Iterator[tuple[str, str]]:
    """Every file's path and text, without the answers, which name each option."""
    for path in sorted(filter(Path.is_file, project.rglob("*"))):
        name = path.relative_to(project).as_posix()
        if name != ".copier-answers.yml" and not {".git", ".ruff_cache"} & set(path.parts):
            yield name, path.read_text(encoding="utf-8")


def owned(answers: Answers) -> set[str]:
    """The files that the choices bring, by the written table."""
    files = (COMPONENTS[question][choice].files for question, choice in answers.items())
    missing = {path for path, other in OF_TWO.items() if other not in answers.items()}
    named = {"<package>": "toy_project", "<modality>": answers["modality"]}
    found = set(chain(*files)) - missing
    return {re.sub("<.*?>", lambda one: named[one[0]], path) for path in found}


def test_the_table_lists_every_choice_of_every_option() -> None:
    assert {name: tuple(choices) for name, choices in COMPONENTS.items()} == CHOICES
    assert set(CHOICES) == {
        *("modality", "pretrained", "tracking", "serving", "distributed", "orchestration"),
        *("monitoring", "deployment", "ci", "torch_backend"),
    }


def test_the_covering_combinations_hold_every_pair_of_choices() -> None:
    impossible = [
        {("modality", "tabular"), ("pretrained", "huggingface")},
        {("serving", "none"), ("deployment", "kubernetes")},
        {("serving", "none"), ("monitoring", "drift")},
    ]
    for (one, ones), (other, others) in combinations(CHOICES.items(), 2):
        for pair in product(ones, others):
            both = set(zip((one, other), pair, strict=True))
            assert (both not in impossible) == any(both <= row.items() for row in COVERING)


REFUSED = {
    ("modality=tabular", "pretrained=huggingface"): (
        "must be none for tables; there are pretrained models of texts and of images"
    ),
    ("serving=none", "monitoring=drift"): (
        "must be none where serving is none: there are no predictions to record"
    ),
    ("serving=none", "deployment=kubernetes"): (
        "must be none where serving is none: there is no server to deploy"
    ),
}


@pytest.mark.parametrize(("one", "other"), REFUSED)
def test_choices_that_exclude_each_other_are_refused_in_one_line(
    one: str, other: str, render: Render, tmp_path: Path
) -> None:
    reason, [question, choice] = REFUSED[one, other], other.split("=")
    line = f"error: {question}: {reason}; got '{choice}'\n"
    made = tmp_path / "toy"
    both = ("-d", one, "-d", other)
    done = cli("new", made, "--defaults", "--no-lock", *both)
    assert (done.exit_code, done.stderr, made.exists()) == (2, line, False)
    project = render(with_git=True, **{question: choice})
    for command in (["set", one, "--project"], ["update", *both[:2]]):
        done = cli(*command, project)
        assert (done.exit_code, done.stderr, status(project)) == (2, line, [])
    copier = [sys.executable, "-m", "copier", "copy", "--defaults", "--trust", "--vcs-ref=HEAD"]
    told = subprocess.run([*copier, *both, ROOT, made], capture_output=True, text=True)
    assert told.returncode != 0 and reason in told.stderr and not made.exists()


@pytest.mark.parametrize("answers", COVERING, ids=named)
def test_a_combination_is_a_whole_project(
    answers: Answers, render: Render, project_env: Path
) -> None:
    project = render(**answers)
    require_whole(project, answers)
    require_formatted(project, project_env)


@pytest.mark.nightly
def test_every_combination_is_a_whole_project(tmp_path: Path, project_env: Path) -> None:
    for number, answers in enumerate(EVERY_COMBINATION):
        project = tmp_path / str(number) / "toy-project"
        new(str(project), given={**AUTHOR, **answers}, with_git=False, with_lock=False)
        require_whole(project, answers)
    require_formatted(tmp_path, project_env)  # each project by its own settings


def require_whole(project: Path, answers: Answers) -> None:
    """Fail unless the project holds the files of its choices, each whole, and no other's traces."""
    found = dict(texts(project))
    expected = set(BASE_FILES.read_text().splitlines()) - {".copier-answers.yml"}
    assert set(found) == expected | owned(answers)
    unchosen = [trace for trace in TRACES if answers[trace[0]] != trace[1]]
    patterns = [TRACES[trace] for trace in unchosen]
    patterns += [OF_ANY_SERVER] if answers["serving"] == "none" else []
    for name, text in found.items():
        for pattern in patterns:
            assert not re.search(pattern, f"{name}\n{text}", re.IGNORECASE), (name, pattern)
        if name.endswith(".py"):
            compile(text, name, "exec")
        elif name.endswith(".toml"):
            tomllib.loads(text)
        assert not re.search(r"\n\n\n\n|[ \t]\n|\n\n\Z", text) or name.endswith(".ipynb"), name
        assert text.endswith("\n") or not text, name


def require_formatted(folder: Path, project_env: Path) -> None:
    """Fail unless the projects in a folder pass their own linter and formatter."""
    ruff = str(project_env / "bin" / "ruff")
    for check in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        done = subprocess.run(
            [ruff, *check, "--no-cache"], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("question", "choice"), TRACES)
def test_a_trace_is_there_where_its_choice_is_made(
    question: str, choice: str, render: Render
) -> None:
    found = texts(render(**{question: choice}))
    pattern = re.compile(TRACES[question, choice], re.IGNORECASE)
    assert any(pattern.search(text) for _, text in found)


@pytest.fixture(scope="session")
def distributions(project_env: Path) -> dict[str, list[str]]:
    """Which distributions a top-level module comes from."""
    script = (
        "import importlib.metadata as m, json; print(json.dumps(dict(m.packages_distributions())))"
    )
    command = [str(project_env / "bin" / "python"), "-c", script]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def canonical(requirement: str) -> str:
    """The name of a required distribution."""
    [name] = re.findall(r"^[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(project: Path) -> Iterator[str]:
    """The top-level modules that the project's code and tests import from elsewhere."""
    for path in project.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield str(node.module).partition(".")[0]


def dependencies(project: Path, *, optional: bool = False) -> set[str]:
    """The distributions that a project installs, or all that it declares."""
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    groups = pyproject["dependency-groups"]
    chosen = groups if optional else pyproject["tool"]["uv"]["default-groups"]
    lists = (groups[group] for group in chosen)
    return set(map(canonical, set(pyproject["project"]["dependencies"]).union(*lists)))


@pytest.fixture(scope="session")
def everywhere(render: Render) -> set[str]:
    """The distributions that every project installs."""
    return set.intersection(*(dependencies(render(**row)) for row in COVERING))


@pytest.mark.parametrize("answers", COVERING, ids=named)
def test_what_is_imported_is_declared(
    answers: Answers,
    render: Render,
    distributions: dict[str, list[str]],
    everywhere: set[str],
) -> None:
    project = render(**answers)
    declared, installed = dependencies(project, optional=True), dependencies(project)
    for module in sorted(set(imported(project)) & distributions.keys()):
        assert declared & set(map(canonical, distributions[module])), module
    # And the written table tells what a choice adds.
    for question, choice in answers.items():
        assert set(map(canonical, COMPONENTS[question][choice].dependencies)) <= installed
    brought = [
        canonical(dependency)
        for question, choice in answers.items()
        for dependency in COMPONENTS[question][choice].dependencies
    ]
    assert installed - everywhere <= set(brought)


@pytest.mark.parametrize("answers", COVERING, ids=named)
def test_the_commands_of_a_choice_are_targets(answers: Answers, render: Render) -> None:
    targets = subprocess.run(
        ["make"], cwd=render(**answers), capture_output=True, text=True, check=True
    ).stdout
    brought = {
        command
        for question, choice in answers.items()
        for command in COMPONENTS[question][choice].commands
    }
    others = {
        command
        for choices in COMPONENTS.values()
        for component in choices.values()
        for command in component.commands
    } - brought
    assert all(f"  {command} " in targets for command in brought)
    assert not any(f"  {command} " in targets for command in others)


@pytest.mark.slow
@pytest.mark.parametrize("answers", COVERING, ids=named)
def test_types_and_its_own_tests_pass(answers: Answers, render: Render, run_in: Run) -> None:
    # Imports are wrapped by length: the longest name that is allowed.
    project = render(with_git=True, package_name="q" * 50, **answers)
    run_in(project, "make", "lint")
    assert " passed" in run_in(project, "make", "test").stdout


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["minimal", "full"])
def test_a_preset_goes_the_whole_way(
    preset: str, render: Render, run_in: Run, project_env: Path
) -> None:
    """Together with the demo and the tests of each system: every choice trains and registers."""
    others = {"serving": "bentoml", "ci": "none", "torch_backend": "cpu"}
    project = render(with_git=True, **PRESETS[preset], **(others if preset == "full" else {}))
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"}
    registers = PRESETS[preset].get("tracking") != "none"
    for stage in ("fetch", "preprocess", "train", "evaluate", *["register"] * registers):
        arguments = "training=smoke registry.threshold=0" if stage != "fetch" else ""
        run_in(project, "make", stage, f"ARGS={arguments}", env=env)
    if PRESETS[preset].get("serving") == "none":
        targets = run_in(project, "make").stdout
        assert "serve" not in targets and "register" not in targets
        return
    with server(project, env=inside(project, project_env)) as url:
        answer = post(f"{url}/predict", {"text": "Open a socket and wait for a connection."})
    assert set(answer) == {"prediction", "confidence", "model_version"}


def test_the_cpu_build_of_torch_comes_from_its_own_index(render: Render) -> None:
    pyproject = tomllib.loads((render(torch_backend="cpu") / "pyproject.toml").read_text())
    uv = pyproject["tool"]["uv"]
    assert uv["sources"]["torch"] == {"index": "pytorch-cpu"}
    [index] = uv["index"]
    assert (index["name"], index["explicit"]) == ("pytorch-cpu", True)
    assert index["url"] == "https://download.pytorch.org/whl/cpu"


@pytest.mark.slow
def test_the_cpu_build_locks_without_its_index_where_asked_to(render: Render, run_in: Run) -> None:
    project = render(torch_backend="cpu")
    run_in(project, "uv", "lock", env={"UV_NO_SOURCES": "1"})
    lock = tomllib.loads((project / "uv.lock").read_text())
    # One for each platform that has a build of its own.
    versions = {package["version"] for package in lock["package"] if package["name"] == "torch"}
    assert {version.partition("+")[0] for version in versions} == {"2.13.0"}
