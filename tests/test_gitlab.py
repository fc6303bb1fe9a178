"""GitLab's pipeline of a project: its rules, its rights, and its merge requests."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from choices import CHOICES
from ci_jobs import Context, Variables, evaluated, finished, of_gitlab, stand_in
from conftest import Render
from templates import commit, copy_checkout, git
from toys import cli, edit, files_of

GITLAB = ".gitlab-ci.yml"
KEYWORDS = {"workflow", "variables", "default"}
SCHEMAS = ((GITLAB, "vendor.gitlab-ci"), (".github/workflows/*", "vendor.github-workflows"))
MAIN = {"CI_DEFAULT_BRANCH": "main"}


@pytest.fixture(scope="module")
def pipeline(render: Render) -> dict[str, Any]:
    """The pipeline of a project."""
    return yaml.safe_load((render(ci="gitlab") / GITLAB).read_text())


@pytest.fixture(scope="module")
def jobs(pipeline: dict[str, Any]) -> dict[str, Any]:
    """Its jobs."""
    return {name: job for name, job in pipeline.items() if name not in KEYWORDS}


@pytest.mark.parametrize(("pattern", "schema"), SCHEMAS)
def test_a_pipeline_follows_its_schema(pattern: str, schema: str, render: Render) -> None:
    ci = "gitlab" if "gitlab" in pattern else "github"
    projects = [render(ci=ci, tracking=tracking) for tracking in CHOICES["tracking"]]
    files = [path for project in projects for path in project.glob(pattern)]
    assert len(files) % len(projects) == 0 < len(files)
    program = str(Path(sys.executable).with_name("check-jsonschema"))
    command = [program, "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def applies(rules: list[dict[str, Any]], variables: Variables) -> bool:
    """Whether one of the rules adds a job or a pipeline; paths that `changes` names have."""
    return any(evaluated(rule["if"], variables=Context(variables)) for rule in rules)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"CI_PIPELINE_SOURCE": "merge_request_event"}, {"check"}),
        ({"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}, {"check", "train"}),
        ({"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "mine"}, set()),
        ({"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "v1"}, set()),
        ({"CI_PIPELINE_SOURCE": "web", "CI_COMMIT_BRANCH": "mine"}, {"check", "train"}),
        ({"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "main"}, {"template-update"}),
    ],
)
def test_an_event_starts_its_jobs(
    event: Variables, expected: set[str], pipeline: dict[str, Any], jobs: dict[str, Any]
) -> None:
    variables = {**MAIN, **event}
    starts = applies(pipeline["workflow"]["rules"], variables)
    started = {name for name, job in jobs.items() if starts and applies(job["rules"], variables)}
    assert started == expected


def test_training_starts_for_the_paths_that_it_starts_for_on_github(
    jobs: dict[str, Any], render: Render
) -> None:
    [*_, rule] = jobs["train"]["rules"]
    # GitLab's `**` needs a name behind it, or it finds what is directly in the folder alone.
    found = [re.sub(r"/\*\*/\*$", "/**", path) for path in rule["changes"]]
    workflow = render() / ".github" / "workflows" / "train.yml"
    # YAML 1.1 reads the key `on` as true.
    assert found == yaml.safe_load(workflow.read_text())[True]["push"]["paths"]


def test_a_job_is_cancelled_by_a_newer_commit_of_a_merge_request_alone(
    pipeline: dict[str, Any], jobs: dict[str, Any]
) -> None:
    assert [name for name, job in jobs.items() if job.get("interruptible")] == ["check"]
    request, other = pipeline["workflow"]["rules"]
    assert "auto_cancel" not in request
    assert other["auto_cancel"] == {"on_new_commit": "none"}
    assert all("timeout" in job for job in jobs.values())


@pytest.mark.parametrize("tracking", CHOICES["tracking"])
def test_what_is_secret_is_for_the_job_that_needs_it(tracking: str, render: Render) -> None:
    text = (render(ci="gitlab", tracking=tracking) / GITLAB).read_text()
    found = yaml.safe_load(text)
    jobs = {name: job for name, job in found.items() if name not in KEYWORDS}
    # A variable that is limited to an environment is not given to jobs without it.
    scopes = {name: job["environment"] for name, job in jobs.items() if "environment" in job}
    assert scopes == {
        name: {"name": name, "action": "access"} for name in ("train", "template-update")
    }
    assert [name for name, job in jobs.items() if "id_tokens" in job] == ["train"]
    named = re.findall(r"^# - ([\w-]+): (.*(?:\n#  .*)*)", text, flags=re.MULTILINE)
    documented = {scope: set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", words)) for scope, words in named}
    assert documented.keys() == scopes.keys()
    tracked = {"mlflow": {"MLFLOW_TRACKING_URI"}, "wandb": {"WANDB_API_KEY"}, "none": set()}
    assert documented["train"] == {"AWS_ROLE_ARN", "AWS_DEFAULT_REGION"} | tracked[tracking]
    assert documented["template-update"] == {"TEMPLATE_UPDATE_TOKEN"}
    # A job that may write to the repository uses nothing that another job left behind.
    assert jobs["template-update"]["inherit"] == {"default": ["image"]}
    assert found["default"]["cache"]["key"] == {"files": ["uv.lock"]}
    for scope, names in documented.items():
        users = {
            job for job, keys in jobs.items() if any(name in yaml.dump(keys) for name in names)
        }
        assert users <= {scope}


def test_the_image_has_the_version_of_uv_that_the_dockerfile_has(render: Render) -> None:
    project = render(ci="gitlab", python_version="3.12")
    image = yaml.safe_load((project / GITLAB).read_text())["default"]["image"]
    version = re.search(r"uv==([\d.]+)", (project / "Dockerfile").read_text())
    assert version
    assert image == f"ghcr.io/astral-sh/uv:{version[1]}-python3.12-trixie"


def test_set_changes_the_ci_and_back(render: Render) -> None:
    project = render(with_git=True)
    with (project / "README.md").open("a") as readme:
        readme.write("\n## Mine\n\nA section.\n")
    with (project / "Makefile").open("a") as makefile:
        makefile.write("mine:\n\techo mine\n")
    commit(project)
    before = files_of(project)
    for ci in ("gitlab", "none", "github"):
        done = cli("set", f"ci={ci}", "--project", project)
        assert done.exit_code == 0, done.output
        commit(project)
        assert (project / GITLAB).exists() == (ci == "gitlab")
        assert (project / ".github").exists() == (ci == "github")
        assert ("GitLab" in (project / "README.md").read_text()) == (ci == "gitlab")
    assert files_of(project) == before


PUBLIC = "https://github.com/mlscaffold/mlscaffold.git"
TOKEN = "glpat-of-a-test"
HOOK = """\
#!/bin/sh
for number in $(seq 0 $((GIT_PUSH_OPTION_COUNT - 1))); do
  eval "printf '%s\\n' \\"\\$GIT_PUSH_OPTION_$number\\"" >> options
done
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository with the releases v8.0.0 and v8.1.0, and a candidate."""
    checkout = copy_checkout(tmp_path_factory.mktemp("template") / "mlscaffold")
    git(checkout, "tag", "v8.0.0")
    edit(checkout / "template" / "Makefile.jinja", ("## Run the tests\n", "## Run all tests\n"))
    commit(checkout, tag="v8.1.0")
    git(checkout, "tag", "v8.1.0rc1")
    return checkout


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of v8.0.0."""
    folder = tmp_path_factory.mktemp("made")
    command = f"{of(template)} new project -d ci=gitlab --no-lock --ref v8.0.0"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "project"


def of(template: Path) -> str:
    """The command that runs the mlscaffold of a clone."""
    return f"env PYTHONPATH={template / 'src'} {sys.executable} -m mlscaffold"


class GitLab:
    """A project on a remote that takes push options, and its job for updates."""

    def __init__(self, folder: Path, template: Path, made: Path) -> None:
        self.remote, self._folder, self._template = folder / "remote.git", folder, template
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        git(self.remote, "config", "receive.advertisePushOptions", "true")
        (self.remote / "hooks" / "post-receive").write_text(HOOK)
        (self.remote / "hooks" / "post-receive").chmod(0o755)
        self.project = shutil.copytree(made, folder / "project")
        self.push()

    def push(self) -> None:
        """Push what is committed in the project to main."""
        git(self.project, "push", "--quiet", str(self.remote), "HEAD:main")

    def run(self, *, code: int = 0, token: str = TOKEN) -> str:
        """Run the job in a new, shallow clone without a branch; return what it printed."""
        job = self._folder / f"job{len(list(self._folder.glob('job*')))}"
        git(self._folder, "clone", "-q", "--depth=1", self.remote.as_uri(), str(job))
        git(job, "checkout", "--quiet", "--detach")
        url = f"https://template-update:{TOKEN}@gitlab.example.org/group/project.git"
        places = {self.remote.as_uri(): url, self._template.as_uri(): PUBLIC}
        settings = {"GIT_CONFIG_COUNT": str(len(places))}
        for number, (place, address) in enumerate(places.items()):
            settings[f"GIT_CONFIG_KEY_{number}"] = f"url.{place}.insteadOf"
            settings[f"GIT_CONFIG_VALUE_{number}"] = address
        uvx = (
            'test -z "$TEMPLATE_UPDATE_TOKEN" || exit 9\n'
            f'test "$1 $2 $3" = "--from git+{PUBLIC}@v8.1.0 mlscaffold" || exit 8\n'
            f'shift 3; exec {of(self._template)} "$@"'
        )
        env = os.environ | settings | {"PATH": stand_in(self._folder / "bin", uvx=uvx)}
        known = {
            **MAIN,
            "CI_PROJECT_URL": "https://gitlab.example.org/group/project",
            "TEMPLATE_UPDATE_TOKEN": token,
        }
        [script] = of_gitlab(job, "template-update", known)
        done = finished(script, job, env, code=code)
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def options(self) -> list[str]:
        """Return what was asked for by the push since the last call."""
        file = self.remote / "options"
        found = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return found


@pytest.fixture
def gitlab(tmp_path: Path, template: Path, made: Path) -> GitLab:
    """The project of v8.0.0 on a remote."""
    return GitLab(tmp_path, template, made)


def asked(body: str, *more: str) -> list[str]:
    """The options of a push, with which GitLab opens a merge request or changes the open one."""
    return [
        *("merge_request.create", "merge_request.target=main"),
        "merge_request.remove_source_branch",
        "merge_request.title=Update from the template's release v8.0.0 to v8.1.0",
        f"merge_request.description={body}",
        *more,
    ]


def tip(gitlab: GitLab) -> str:
    """The commit of the branch on the remote."""
    return git(gitlab.remote, "rev-parse", "template-update")


FILES = r"Files: 2 changed.\n\n- changed: `.copier-answers.yml`, `Makefile`\n\n\n"


def test_an_update_becomes_a_merge_request_that_follows_the_project(gitlab: GitLab) -> None:
    assert "TEMPLATE_UPDATE_TOKEN: is not set" in gitlab.run(code=1, token="")
    assert git(gitlab.remote, "branch", "--list") == "* main"
    gitlab.run()
    assert "## Run all tests" in git(gitlab.remote, "show", "template-update:Makefile")
    first = tip(gitlab)
    assert gitlab.options() == asked(FILES)
    # The same again pushes nothing.
    gitlab.run()
    assert (tip(gitlab), gitlab.options()) == (first, [])
    (gitlab.project / "mine.txt").write_text("mine\n")
    commit(gitlab.project)
    gitlab.push()
    gitlab.run()
    assert gitlab.options() == asked(FILES)
    assert git(gitlab.remote, "rev-list", "--count", "main..template-update") == "1"
    assert git(gitlab.remote, "rev-list", "--count", "template-update..main") == "0"


def test_the_work_of_a_person_on_its_branch_is_left_alone(gitlab: GitLab) -> None:
    git(gitlab.project, "switch", "--quiet", "--create", "template-update")
    commit(gitlab.project)
    git(gitlab.project, "push", "--quiet", str(gitlab.remote), "template-update")
    before = tip(gitlab)
    said = "template-update has commits that mlscaffold did not make: merge or delete that branch."
    assert said in gitlab.run(code=1)
    assert tip(gitlab) == before
    # Once they are merged, there may be something to do.
    git(gitlab.remote, "branch", "--delete", "--force", "template-update")
    gitlab.run()
    assert tip(gitlab) != before


def test_an_update_with_conflicts_becomes_a_draft(gitlab: GitLab) -> None:
    edit(gitlab.project / "Makefile", ("## Run the tests\n", "## Run my tests\n"))
    commit(gitlab.project)
    gitlab.push()
    gitlab.run(code=3)
    *_, description, draft = gitlab.options()
    assert draft == "merge_request.draft"
    conflicts = (
        r"Conflicts, to be resolved before this is merged:\n\n- `Makefile`: both changed it\n"
    )
    assert description.startswith(f"merge_request.description={conflicts}")
    assert "<<<<<<<" in git(gitlab.remote, "show", "template-update:Makefile")


def test_without_a_newer_release_nothing_is_pushed(gitlab: GitLab) -> None:
    edit(gitlab.project / ".copier-answers.yml", ("_commit: v8.0.0", "_commit: v8.1.0"))
    commit(gitlab.project)
    gitlab.push()
    assert "nothing to do" in gitlab.run()
    assert git(gitlab.remote, "branch", "--list") == "* main"
