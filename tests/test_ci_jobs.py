"""What the jobs of GitHub and GitLab run in a project: the same, and it works."""

import os
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from ci_jobs import Variables, finished, of_github, of_gitlab, stand_in
from conftest import Render, inside

from demo import OF_MAKE

JOBS = {"github": of_github, "gitlab": of_gitlab}
SYSTEMS = pytest.mark.parametrize("ci", JOBS)
CHECK = (
    *("make check", "make params"),
    "make fetch preprocess train evaluate ARGS=training=smoke tracking=none",
)
SYNCS = ("uv sync --inexact --group s3", "uv run --no-sync dvc remote list")
PULLS = "uv run --no-sync dvc pull --allow-missing"
AFTERWARDS = {"github": (), "gitlab": ("uv cache prune --ci",)}

# They write down their arguments, and what they find in their environment. The last stage leaves
# a card.
RECORDING = {
    "make": """\
[ "$1 $UV_LOCKED" != "setup true" ] || locked=locked
case "$*" in
  repro)
    mkdir -p reports
    printf '# Card\\n![plot](a.png)\\nText\\n' > reports/model_card.md
    [ "$WANDB_MODE" != offline ] || mode=offline
    echo make repro $MLFLOW_TRACKING_URI $WANDB_API_KEY $mode >> "$CALLS" ;;
  *) echo make "$*" $locked >> "$CALLS" ;;
esac""",
    "uv": """\
as=${AWS_WEB_IDENTITY_TOKEN_FILE:+ as $(cat "$AWS_WEB_IDENTITY_TOKEN_FILE")}
case "$*" in
  *"dvc remote list") echo "uv $*" >> "$CALLS"; echo "$REMOTES" ;;
  *"dvc pull"*) echo "uv $*$as" >> "$CALLS" ;;
  *) echo "uv $*" >> "$CALLS" ;;
esac""",
}


@pytest.fixture(scope="module")
def projects(render: Render) -> Callable[..., Path]:
    """`projects(**answers)`: a project with these answers, which is rendered once."""
    return cache(partial(render, with_git=True))


@pytest.fixture
def recorded(tmp_path: Path, projects: Callable[..., Path]) -> Callable[..., list[str]]:
    """`recorded(ci, job, given, **answers)`: the calls of make and uv by a job, in order."""
    calls, summary = tmp_path / "calls", tmp_path / "summary"

    def run(
        ci: str, job: str, given: Variables | None = None, *, lock: bool = False, **answers: str
    ) -> list[str]:
        project = shutil.copytree(projects(ci=ci, **answers), tmp_path / ci, dirs_exist_ok=True)
        if lock:
            (project / "uv.lock").write_text("")
        env = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
        env |= {"PATH": stand_in(tmp_path / "bin", **RECORDING), "CALLS": str(calls)}
        env |= {"GITHUB_STEP_SUMMARY": str(summary), "REMOTES": (given or {}).get("REMOTES", "")}
        calls.write_text("")
        scripts = JOBS[ci](project, job, given or {})
        printed = "".join(finished(script, project, env).stdout for script in scripts)
        if job == "train":
            assert (summary.read_text() if ci == "github" else printed) == "# Card\nText\n"
        return calls.read_text().splitlines()

    return run


@SYSTEMS
@pytest.mark.parametrize("lock", [False, True])
def test_a_change_is_checked(ci: str, lock: bool, recorded: Callable[..., list[str]]) -> None:
    setup = "make setup locked" if lock else "make setup"
    assert recorded(ci, "check", lock=lock) == [setup, *CHECK, *AFTERWARDS[ci]]


@SYSTEMS
@pytest.mark.parametrize(
    ("tracking", "given", "expected"),
    [
        ("mlflow", {"MLFLOW_TRACKING_URI": "https://mlflow.example.org"}, {}),
        ("wandb", {"WANDB_API_KEY": "key"}, {}),
        ("wandb", {}, {"WANDB_MODE": "offline"}),
        ("none", {}, {}),
    ],
)
def test_the_pipeline_is_run_and_tracked(
    ci: str,
    tracking: str,
    given: Variables,
    expected: Variables,
    recorded: Callable[..., list[str]],
) -> None:
    calls = recorded(ci, "train", given, tracking=tracking)
    tracked = " ".join([*given.values(), *expected.values()])
    assert calls == ["make setup", *SYNCS, f"make repro {tracked}".strip(), *AFTERWARDS[ci]]


@SYSTEMS
def test_data_is_pulled_where_there_is_a_remote(
    ci: str, recorded: Callable[..., list[str]]
) -> None:
    given = {"REMOTES": "storage s3://bucket", "AWS_ID_TOKEN": "jwt"}
    calls = recorded(ci, "train", given, tracking="none")
    assert calls == ["make setup", *SYNCS, PULLS, "make repro", *AFTERWARDS[ci]]
    if ci == "gitlab":  # On GitHub, an action takes on the role.
        calls = recorded(ci, "train", {**given, "AWS_ROLE_ARN": "arn:aws:x"}, tracking="none")
        assert calls[len(SYNCS) + 1 :][:2] == [f"{PULLS} as jwt", "make repro"]


@pytest.mark.nightly
@SYSTEMS
@pytest.mark.parametrize("job", ["check", "train"])
def test_a_job_succeeds(
    ci: str, job: str, render: Render, project_env: Path, tmp_path: Path
) -> None:
    project = render(with_git=True, ci=ci)
    # The environment is there, and other tests use it too.
    stand_in(
        tmp_path / "bin",
        make='[ "$1" = setup ] || exec /usr/bin/make "$@"',
        uv='case "$1" in run) shift 2; exec "$@" ;; esac',
    )
    env = inside(project, project_env)
    env |= {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{env['PATH']}"}
    env |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    for script in JOBS[ci](project, job, {}):
        finished(script, project, env)
    assert (project / "models" / "bundle").is_dir()
    assert (project / "report.xml").is_file() == (ci == "gitlab" and job == "check")
