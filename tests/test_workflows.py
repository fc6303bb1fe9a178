"""Workflows, ours and the rendered project's: what they may do and whom they trust."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from choices import CHOICES
from ci_jobs import stand_in
from conftest import Render
from evolving import template_of
from stand_in_forge import Forge
from templates import commit, copy_checkout, git
from toys import Toys

ROOT = Path(__file__).parents[1]
OURS = ROOT / ".github" / "workflows"


@pytest.fixture(scope="module", params=["ours", *CHOICES["tracking"]])
def folder(request: pytest.FixtureRequest, render: Render) -> Path:
    """Our own workflows, then a project's with each tracker."""
    if request.param == "ours":
        return OURS
    return render(tracking=request.param) / ".github" / "workflows"


def workflows(folder: Path) -> list[Path]:
    """The workflows in a folder."""
    return sorted(folder.glob("*.y*ml"))


def jobs(workflow: Path) -> list[dict[str, Any]]:
    """The workflow's jobs."""
    return list(yaml.safe_load(workflow.read_text())["jobs"].values())


def test_the_workflows_are_all_there(folder: Path) -> None:
    expected = ["ci.yml", "freshness.yml", "nightly.yml", "release.yml", "smoke.yml"]
    theirs = ["ci.yml", "template-update.yml", "train.yml"]
    found = [path.name for path in workflows(folder)]
    assert found == (expected if folder == OURS else theirs)


def test_a_workflow_has_no_right_that_it_does_not_name(folder: Path) -> None:
    for workflow in workflows(folder):
        document = yaml.safe_load(workflow.read_text())
        assert document["permissions"] == {}
        assert document["concurrency"]
        # YAML 1.1 reads the key `on` as true.
        assert "pull_request_target" not in document[True]
        assert all("permissions" in job and "timeout-minutes" in job for job in jobs(workflow))


def test_actions_are_pinned_by_commit_with_their_tag_beside(folder: Path) -> None:
    for workflow in workflows(folder):
        used = re.findall(r"uses: (.*)", workflow.read_text())
        assert used
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", line) for line in used)


def test_a_checkout_leaves_no_token_behind(folder: Path) -> None:
    for workflow in workflows(folder):
        steps = [step for job in jobs(workflow) for step in job["steps"]]
        checkouts = [step for step in steps if "actions/checkout@" in step.get("uses", "")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_an_action_has_one_version_everywhere() -> None:
    texts = [path.read_text() for path in (ROOT / "template" / ".github").rglob("*.y*ml*")]
    texts += [path.read_text() for path in workflows(OURS)]
    used = [line for text in texts for line in re.findall(r"uses: (\S+)", text)]
    assert len({pin.partition("@")[0] for pin in used}) == len(set(used))


@pytest.fixture(scope="module")
def update(render: Render) -> str:
    """The script with which a project updates itself."""
    workflow = render() / ".github" / "workflows" / "template-update.yml"
    (job,) = jobs(workflow)
    (step,) = (step for step in job["steps"] if "run" in step)
    assert step["env"] == {"GH_TOKEN": "${{ secrets.TEMPLATE_UPDATE_TOKEN || github.token }}"}
    return step["run"]


def run_step(
    script: str, project: Path, forge: Forge, *, uvx: str
) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does, with a stand-in for gh, and one for uvx unless that is empty."""
    if uvx:
        stand_in(forge.programs, uvx=uvx)
    home = {"HOME": str(forge.state), "GH_TOKEN": "ghs_0123456789"}
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=project,
        env=os.environ | forge.environment() | home,
        capture_output=True,
        text=True,
        timeout=300,
    )


def cloned(project: Path, folder: Path) -> Path:
    """A clone, as actions/checkout makes it, of a remote that has the project."""
    git(folder, "clone", "--quiet", "--bare", str(project), "remote.git")
    git(folder, "clone", "--quiet", str(folder / "remote.git"), "clone")
    return folder / "clone"


# Installs nothing: what uvx would run is here.
INSTALLED = f"""\
set -e
test "$1 $3" = "--from mlscaffold"
echo "$2" > asked
shift 3
exec {sys.executable} -m mlscaffold "$@"
"""


@pytest.mark.parametrize("source", ["git+{url}", "gh:acme/template"])
def test_a_project_updates_itself_by_a_pull_request(
    source: str, update: str, toys: Toys, tmp_path: Path
) -> None:
    text = "test:\n\tpytest\n\nclean:\n\trm -rf data models\n"
    template = template_of(
        tmp_path / "template.git",
        {
            "v1.0.0": {"Makefile": text, "main.py": "a = 1\n"},
            "v9.0.0": {"main.py": "a = 2\n"},
            "v10.0.0": {"Makefile": f"{text}\ntheirs:\n\techo theirs\n"},
            "v11.0.0rc1": {"main.py": "a = 11\n"},
        },
    )
    toy = toys.make(tmp_path / "toy", template=template)
    (toy / "Makefile").write_text(f"{text}\nmine:\n\techo mine\n")
    answers = toy / ".copier-answers.yml"
    recorded = template.as_uri()
    assert f"_src_path: {recorded}\n" in answers.read_text()
    answers.write_text(answers.read_text().replace(recorded, source.format(url=recorded)))
    commit(toy)
    clone = cloned(toy, tmp_path)
    forge = Forge(tmp_path / "forge", "gh")
    github = f'[url "{tmp_path}/"]\n\tinsteadOf = https://github.com/acme/\n'
    (forge.state / ".gitconfig").write_text(github)
    done = run_step(update, clone, forge, uvx=INSTALLED)
    assert done.returncode == 0, done.stderr
    url = f"git+{recorded}" if "url" in source else "git+https://github.com/acme/template"
    assert (clone / "asked").read_text() == f"{url}@v10.0.0\n"
    assert forge.calls()[0] == ["gh", "auth", "setup-git"]
    (request,) = forge.requests(clone)
    assert request["title"] == "Update from the template's release v1.0.0 to v10.0.0"
    assert "- `Makefile:6-11`: both added blocks at one place\n" in request["body"]
    assert (request["head"], request["base"]) == ("template-update", "main")
    remote = tmp_path / "remote.git"
    merged = git(remote, "show", "template-update:Makefile")
    assert "mine:\n" in merged and "theirs:\n" in merged
    assert "ghs_0123456789" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("'git@github.com:acme/template.git'", "git+https://github.com/acme/template.git"),
        ("gl:acme/template", "git+https://gitlab.com/acme/template"),
        ("https://example.com/acme/template.git", "git+https://example.com/acme/template.git"),
    ],
)
def test_the_template_is_found_by_each_kind_of_address(
    source: str, asked: str, update: str, tmp_path: Path
) -> None:
    (tmp_path / ".copier-answers.yml").write_text(f"_commit: v1.0.0\n_src_path: {source}\n")
    forge = Forge(tmp_path / "forge", "gh")
    stand_in(forge.programs, git="")
    done = run_step(update, tmp_path, forge, uvx='echo "$@"')
    arguments = "mlscaffold update --branch template-update --open-pr"
    assert done.stdout == f"--from {asked} {arguments}\n"


def test_conflicts_are_a_draft_and_fail_the_job(update: str, toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    (toy / "src" / "main.py").write_text("mine\n")
    commit(toy)
    clone = cloned(toy, tmp_path)
    forge = Forge(tmp_path / "forge", "gh")
    done = run_step(update, clone, forge, uvx=INSTALLED)
    assert done.returncode == 3
    assert "  conflict  src/main.py: both changed it\n" in done.stdout
    (request,) = forge.requests(clone)
    assert (request["isDraft"], request["title"].endswith("(conflicts)")) == (True, True)


@pytest.mark.nightly
def test_uvx_installs_the_release_that_is_merged(update: str, tmp_path: Path) -> None:
    """The template's own repository, from one release to the next, as a user's project has it."""
    source = copy_checkout(tmp_path / "mlscaffold")
    git(source, "tag", "v0.8.0")
    toy = tmp_path / "toy"
    command = [sys.executable, "-m", "mlscaffold", "new", str(toy), "--no-lock", "--defaults"]
    new = [*command, f"--template={source.as_uri()}", "--ref=v0.8.0"]
    subprocess.run(new, check=True, capture_output=True, timeout=200)
    (source / "template" / "NEWS.md").write_text("News\n")
    commit(source, tag="v0.9.0")
    clone = cloned(toy, tmp_path)
    forge = Forge(tmp_path / "forge", "gh")
    done = run_step(update, clone, forge, uvx="")
    assert done.returncode == 0, done.stderr
    assert git(tmp_path / "remote.git", "show", "template-update:NEWS.md") == "News"
    (request,) = forge.requests(clone)
    assert request["title"] == "Update from the template's release v0.8.0 to v0.9.0"
