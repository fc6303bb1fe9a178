"""What is rendered: exactly these files, each of them whole."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from choices import CHOICES, COMPONENTS, DEFAULTS, FOUND, PRESETS
from conftest import Render, Run
from templates import commit, commit_template

from mlscaffold.new import new


def files_of(option: str) -> set[str]:
    """The files that one choice or another of the option brings."""
    components = COMPONENTS[option].values()
    return {
        path.replace("<package>", "toy_project").replace("<modality>", DEFAULTS["modality"])
        for component in components
        for path in component.files
    }


TEMPLATE = Path(__file__).parents[1] / "template"
PYTHONS = next(one.values for one in FOUND.questions if one.name == "python_version")
LICENSES = ("mit", "apache-2.0", "bsd-3-clause", "proprietary")

SHARED = {
    "modality": {
        *("README.md", "configs/config.yaml", "notebooks/01_eda.ipynb", "pyproject.toml"),
        *("configs/training/default.yaml", "src/toy_project/data/image.js", "tests/miniature.py"),
    },
    "pretrained": {"README.md", "pyproject.toml", "tests/test_configs.py"},
    "tracking": {
        *(".env.example", ".github/workflows/train.yml", ".gitignore", "Makefile", "README.md"),
        *("configs/config.yaml", "pyproject.toml", "tests/conftest.py"),
    },
    "serving": {
        *(".gitignore", "AGENTS.md", "Makefile", "README.md", "configs/serve.yaml"),
        "pyproject.toml",
    },
    "monitoring": {
        *(".gitignore", "AGENTS.md", "Dockerfile", "Makefile", "README.md"),
        "configs/serve.yaml",
    },
    "distributed": {".env.example", "Makefile", "README.md", "pyproject.toml"},
    "orchestration": {".gitignore", "AGENTS.md", "Makefile", "README.md", "pyproject.toml"},
    "deployment": {
        *(".gitignore", "AGENTS.md", "Makefile", "README.md", "configs/serve.yaml"),
        "pyproject.toml",
    },
    "ci": {"README.md"},
    "torch_backend": {"README.md", "pyproject.toml"},
}

# An option, a value that is not the default, and the files that may differ for it.
OWNED = [
    *(("license", value, {"LICENSE", "pyproject.toml", "README.md"}) for value in LICENSES[1:]),
    *(
        (
            "python_version",
            value,
            {".devcontainer/devcontainer.json", "Dockerfile", "README.md", "pyproject.toml"},
        )
        for value in PYTHONS
        if value != "{}.{}".format(*sys.version_info)
    ),
    *(
        (option, choice, SHARED[option] | files_of(option))
        for option, choices in CHOICES.items()
        for choice in choices
        if choice != DEFAULTS[option]
    ),
]


@pytest.fixture(scope="module")
def toy(render: Render) -> Path:
    """The default project."""
    return render()


def contents(project: Path) -> dict[str, bytes]:
    """Every file's bytes by its path."""
    files = (path for path in project.rglob("*") if path.is_file())
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in files}


def test_every_file_parses(toy: Path) -> None:
    parsers = {
        ".toml": tomllib.loads,
        ".yaml": lambda text: list(yaml.safe_load_all(text)),
        ".yml": lambda text: list(yaml.safe_load_all(text)),
        ".json": json.loads,
        ".ipynb": json.loads,
        ".py": ast.parse,
    }
    parsed = set()
    for path in filter(Path.is_file, toy.rglob("*")):
        text = path.read_text(encoding="utf-8")
        if path.suffix in parsers:
            parsers[path.suffix](text)
            parsed.add(path.suffix)
    assert parsed >= {".toml", ".yaml", ".yml", ".ipynb", ".py"}


def test_no_jinja_is_left(toy: Path) -> None:
    for name, content in contents(toy).items():
        # ${{ }} is how a workflow asks for a value.
        text = re.sub(r"\$\{\{.*?\}\}", "", content.decode())
        assert not re.search(r"\{\{ *\w+ *\}\}|\{%|\{#|#\}", text), name
        assert "{{" not in name and ".jinja" not in name


def test_no_python_file_of_the_package_holds_jinja() -> None:
    package = Path(__file__).parents[1] / "template" / "src"
    assert not [path for path in package.rglob("*.jinja") if ".py" in path.suffixes]


@pytest.mark.parametrize(("option", "value", "owned"), OWNED)
def test_an_option_changes_only_its_own_files(
    option: str, value: str, owned: set[str], toy: Path, render: Render
) -> None:
    before, after = contents(toy), contents(render(**{option: value}))
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed - {".copier-answers.yml"} <= owned
    assert changed & owned


SEAMS = ("configs", "src/toy_project/data", "src/toy_project/models", "src/toy_project/objectives")
"""Folders in which projects of two modalities may differ."""
FEW = {"README.md", "notebooks/01_eda.ipynb", "pyproject.toml", "tests/miniature.py"}
"""Files that may differ too: examples, dependencies, and the rows of tests."""


@pytest.mark.parametrize("serving", CHOICES["serving"])
def test_modalities_differ_at_the_seams_alone(serving: str, render: Render) -> None:
    projects = [contents(render(modality=m, serving=serving)) for m in CHOICES["modality"]]
    common = set.intersection(*(set(one.items()) for one in projects))
    differing = {name for one in projects for name in dict(one.items() - common)}
    elsewhere = {name for name in differing if not name.startswith(SEAMS)}
    assert elsewhere == FEW | {".copier-answers.yml"}
    assert all(any(name.startswith(seam) for name in differing) for seam in SEAMS[:3])
    # All objectives are in every project, so that a setting chooses one.
    names = {path.stem for path in (TEMPLATE / "configs" / "objective").glob("*.yaml")}
    for files in projects:
        found = {name for name in files if name.startswith("src/toy_project/objectives/")}
        assert {f"src/toy_project/objectives/{name}.py" for name in names} <= found
    assert not any(name.startswith(SEAMS[3]) for name in differing)


@pytest.mark.parametrize("license", LICENSES)
def test_the_licence_is_what_it_says(license: str, render: Render) -> None:
    project = render(license=license, author_name="Ada <Lovelace> & 'Co'")
    text = (project / "LICENSE").read_text()
    first = {
        "mit": "MIT License",
        "apache-2.0": "Apache License",
        "bsd-3-clause": "BSD 3-Clause License",
        "proprietary": "Copyright (c) Ada <Lovelace> & 'Co'. All rights reserved.",
    }
    assert text.splitlines()[0].strip() == first[license]
    assert "Ada <Lovelace> & 'Co'" in text
    assert text.endswith("\n") and not text.endswith("\n\n")


@pytest.mark.parametrize("python", PYTHONS)
def test_its_own_linter_agrees_whatever_the_version_of_python(
    python: str, render: Render, run_in: Run
) -> None:
    full = {"tracking": "wandb", "serving": "bentoml", **PRESETS["full"]}
    of_text = {"pretrained": "huggingface"}
    for preset in (of_text, {**of_text, **full, "modality": "image"}, {"modality": "tabular"}):
        project = render(python_version=python, **preset)
        metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        assert metadata["requires-python"] == f"=={python}.*"
        # Recordings of W&B, whose folder has the name of the package.
        (project / "wandb" / "offline-run-1").mkdir(parents=True)
        run_in(project, "ruff", "check", "--no-cache")
        run_in(project, "ruff", "format", "--check", "--no-cache")


def test_the_python_that_runs_new_is_the_default(render: Render, tmp_path: Path) -> None:
    running = "{}.{}".format(*sys.version_info)
    metadata = tomllib.loads((render() / "pyproject.toml").read_text())["project"]
    assert metadata["requires-python"] == f"=={running}.*"
    # A template that offers other versions keeps its own default.
    template = commit_template(tmp_path / "template")
    with (template / "copier.yml").open("a") as questions:
        questions.write('python_version: {type: str, choices: ["2.7", "3.0"], default: "3.0"}\n')
    commit(template)
    made = new(str(tmp_path / "toy"), given={}, template=str(template), with_lock=False)
    assert made.answers["python_version"] == "3.0"


def test_two_renders_are_equal_to_the_byte(toy: Path, render: Render) -> None:
    assert contents(toy) == contents(render())


def test_its_own_formatter_changes_nothing(toy: Path, project_env: Path) -> None:
    ruff = str(project_env / "bin" / "ruff")
    before = contents(toy)
    subprocess.run([ruff, "format", "--quiet", "--no-cache"], cwd=toy, check=True)
    assert contents(toy) == before
