"""Linters of workflows, projects and repositories: what they find here, and in generated projects.

Each finding is fixed, or its reason is given: ours in `[tool.repo-review]` of pyproject.toml, those
of projects here.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from choices import CHOICES
from conftest import Render

ROOT = Path(__file__).parents[1]
PROJECTS = {
    "text": {},
    "image": {"modality": "image", "tracking": "wandb"},
    "tabular": {"modality": "tabular", "serving": "bentoml"},
    "full": {
        "pretrained": "huggingface",
        "distributed": "ray",
        "orchestration": "kubeflow",
        "deployment": "kubernetes",
    },
}

# What sp-repo-review asks of a project that it does not get.
REASONS = {
    "MY100": "the type checker is ty, not mypy",
    "PC100": "the hooks are local ones, with the versions of uv.lock",
    "PC110": "ruff format is a local hook",
    "PC140": "ty is a local hook",
    "PC160": "a spell checker would stop at the words of a user's field",
    "PC170": "there is no reStructuredText",
    "PC180": "Markdown is written as its author likes",
    "PC190": "ruff check is a local hook",
    "PC901": "pre-commit.ci is not used",
    "PC902": "pre-commit.ci is not used",
    "PC903": "pre-commit.ci is not used",
    "PP304": "at INFO, Hydra, MLflow and Ray would drown what a failed test says",
    "PY004": "the documentation of a project is its README.md",
    "PY007": "the task runner is make",
    "RF003": "without `src`, a folder that a run leaves may count as a package of the project",
    "SEC001": "these tests run zizmor, over each workflow that is generated",
}
IMPORTED_AS = {
    "hydra-core": "hydra",
    "ipython": "IPython",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "pillow": "PIL",
    "protobuf": "google",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
# Dependencies that no module of a project imports.
NOT_IMPORTED = {
    "dvc": "it is a command",
    "httptools": "uvicorn takes it",
    "model-signing": "it is imported by its name, where a key is set",
    "pyopenssl": "model-signing imports it",
    "onnx": "torch.onnx.export imports it",
    "onnxscript": "torch.onnx.export imports it",
    "uvloop": "uvicorn takes it",
    "psutil": "MLflow reads the metrics of the system with it",
    "protobuf": "the versions that kfp works with",
}


@pytest.fixture(scope="module", params=["ours", *PROJECTS])
def folder(request: pytest.FixtureRequest, render: Render) -> Path:
    """Our repository, then projects that have every file of the template between them."""
    return ROOT if request.param == "ours" else render(**PROJECTS[request.param])


def lint(*command: str, cwd: Path) -> str:
    """What a linter printed; it fails the test if it found something."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_zizmor_finds_nothing(folder: Path) -> None:
    lint("zizmor", "--offline", "--no-progress", ".github", cwd=folder)


def test_actionlint_finds_nothing(folder: Path) -> None:
    workflows = sorted(map(str, folder.glob(".github/workflows/*.y*ml")))
    assert workflows
    # Both are programs of their own, which a machine may have.
    lint("actionlint", "-shellcheck=", "-pyflakes=", *workflows, cwd=folder)


@pytest.mark.parametrize("ci", ["ours", *CHOICES["ci"]])
def test_there_is_one_bot_and_its_settings_are_valid(ci: str, render: Render) -> None:
    folder = ROOT if ci == "ours" else render(ci=ci)
    bots = {"dependabot": ".github/dependabot.yml", "renovate": "renovate.json"}
    found = {name: path for name, path in bots.items() if (folder / path).exists()}
    expected = {"github": ["dependabot"], "gitlab": ["renovate"], "ours": ["renovate"], "none": []}
    assert [*found] == expected[ci]
    for name, path in found.items():
        lint("check-jsonschema", f"--builtin-schema=vendor.{name}", path, cwd=folder)


def test_validate_pyproject_finds_nothing(folder: Path) -> None:
    lint("validate-pyproject", "pyproject.toml", cwd=folder)


def test_deptry_finds_nothing(folder: Path) -> None:
    if folder == ROOT:
        lint("deptry", "src", cwd=folder)
        return
    pyproject = tomllib.loads((folder / "pyproject.toml").read_text())
    groups = [name for name in pyproject["dependency-groups"] if name not in ("dev", "s3")]
    others = (pyproject["dependency-groups"][name] for name in groups)
    listed = " ".join(set(pyproject["project"]["dependencies"]).union(*others))
    unused = [name for name in NOT_IMPORTED if name in listed]
    lint(
        *("deptry", "src", "notebooks"),
        *("--non-dev-dependency-groups", ",".join(groups)),
        *("--package-module-name-map", ",".join(f"{k}={v}" for k, v in IMPORTED_AS.items())),
        # A notebook is for development, and so is what it shows things with.
        *("--per-rule-ignores", f"DEP002={'|'.join(unused)},DEP004=IPython"),
        cwd=folder,
    )


def test_repo_review_finds_what_there_is_a_reason_for(folder: Path) -> None:
    reasons = REASONS
    if folder == ROOT:
        pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
        reasons = pyproject["tool"]["repo-review"]["ignore"]
    # A check that does not exist takes the place of those that pyproject.toml leaves out.
    command = [sys.executable, "-m", "repo_review", ".", "--format=json", "--ignore=ZZ999"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    checks = json.loads(done.stdout)["checks"]
    assert {name for name, check in checks.items() if check["result"] is False} == {*reasons}


def test_dependabot_leaves_the_actions_of_the_template_to_it(render: Render) -> None:
    project = render()
    used = {
        action
        for path in project.glob(".github/workflows/*.yml")
        for action in re.findall(r"uses: ([^@\s]+)@", path.read_text())
    }
    settings = yaml.safe_load((project / ".github" / "dependabot.yml").read_text())
    dependencies, actions = settings["updates"]
    assert [one["dependency-name"] for one in actions["ignore"]] == sorted(used)
    assert dependencies["versioning-strategy"] == "lockfile-only"


def test_renovate_finds_each_version_that_the_template_pins() -> None:
    """Its patterns are JavaScript's, in which a named group has no P."""
    settings = json.loads((ROOT / "renovate.json").read_text())
    (bounds,), uv = (
        [re.compile(text.replace("(?<", "(?P<")) for text in one["matchStrings"]]
        for one in settings["customManagers"]
    )
    pyproject = (ROOT / "template" / "pyproject.toml.jinja").read_text()
    capped = [line for line in pyproject.splitlines() if re.match(r' +"\S+,<', line)]
    assert len(capped) == len(bounds.findall(pyproject)) > 20
    read = settings["customManagers"][1]["managerFilePatterns"]
    pinned = [
        path
        for path in (ROOT / "template").rglob("*")
        if path.is_file() and re.search(rb"\buv(==|:)\d+\.\d+\.\d", path.read_bytes())
    ]
    assert len(pinned) == 4
    for path in pinned:
        name = path.relative_to(ROOT).as_posix()
        assert any(re.search(pattern.strip("/"), name) for pattern in read), name
        assert any(pattern.search(path.read_text()) for pattern in uv), name
