"""The files of a project that a host of repositories, an editor or git's hooks read."""

import json
import re
from pathlib import Path

import pytest
import yaml
from choices import CHOICES
from ci_jobs import stand_in
from conftest import Render, Run
from test_readme import commands, targets

USABLE, UNUSABLE = "ada@lovelace.org", ("authors@example.com", "1+ada@users.noreply.github.com")
HOSTS = {"github": ".github/CODEOWNERS", "gitlab": ".gitlab/CODEOWNERS"}
TEMPLATES = {
    "github": (".github/ISSUE_TEMPLATE/bug.md", ".github/pull_request_template.md"),
    "gitlab": (".gitlab/issue_templates/default.md", ".gitlab/merge_request_templates/default.md"),
}
OFFERED = sorted(HOSTS.keys() & set(CHOICES["ci"]))


@pytest.mark.parametrize("ci", OFFERED)
def test_an_address_that_can_be_written_to_is_given(ci: str, render: Render) -> None:
    project = render(ci=ci, author_email=USABLE)
    assert (project / HOSTS[ci]).read_text() == f"* {USABLE}\n"
    assert f", or write to {USABLE}.\n" in (project / "SECURITY.md").read_text()
    for address in UNUSABLE:
        project = render(ci=ci, author_email=address)
        assert not list(project.rglob("CODEOWNERS"))
        assert "@" not in (project / "SECURITY.md").read_text()


@pytest.mark.parametrize("ci", OFFERED)
def test_a_host_finds_its_own_files_alone(ci: str, render: Render) -> None:
    project = render(ci=ci, author_email=USABLE)
    for path in TEMPLATES[ci]:
        assert "**" in (project / path).read_text()
    assert [name for name in (".github", ".gitlab") if (project / name).exists()] == [f".{ci}"]
    asked = set(re.findall(r"`make ([a-z]+)`", (project / TEMPLATES[ci][1]).read_text()))
    assert {"check"} <= asked <= targets(project / "Makefile")


def test_without_a_host_there_is_nothing_for_one(render: Render) -> None:
    project = render(ci="none", author_email=USABLE)
    for name in (".github", ".gitlab", "SECURITY.md", "CODEOWNERS"):
        assert not list(project.rglob(name)), name


def test_github_lists_the_template_of_an_issue(render: Render) -> None:
    _, head, body = (render() / TEMPLATES["github"][0]).read_text().split("---\n")
    assert set(yaml.safe_load(head)) == {"name", "about"}
    assert body.strip()


def test_the_ruleset_waits_for_jobs_that_there_are(render: Render) -> None:
    project = render()
    ruleset = json.loads((project / ".github" / "ruleset.json").read_text())
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset["rules"]}
    assert ruleset["conditions"]["ref_name"]["include"] == ["~DEFAULT_BRANCH"]
    assert (ruleset["target"], ruleset["enforcement"]) == ("branch", "active")
    assert {"deletion", "non_fast_forward", "pull_request", "required_status_checks"} == set(rules)
    [*required] = rules["required_status_checks"]["required_status_checks"]
    workflow = yaml.safe_load((project / ".github" / "workflows" / "ci.yml").read_text())
    assert "pull_request" in workflow[True]  # YAML 1.1 reads the key `on` as true.
    names = {job["name"] for job in workflow["jobs"].values()}
    assert required and {one["context"] for one in required} <= names


def test_the_readme_has_the_commands_that_apply_them(
    render: Render, run_in: Run, tmp_path: Path
) -> None:
    """With a stand-in for gh that shows its arguments and reads its input."""
    path = stand_in(tmp_path, gh='echo "$@"\n[ "$3" != --input ] || cat "$4" >/dev/null')
    project = render()
    lines = [line for line in commands(project / "README.md") if line.startswith("gh ")]
    shown = [run_in(project, "bash", "-ec", line, env={"PATH": path}).stdout for line in lines]
    assert shown == [
        "api repos/{owner}/{repo}/rulesets --input .github/ruleset.json\n",
        "api repos/{owner}/{repo}/private-vulnerability-reporting --method PUT\n",
    ]


@pytest.mark.parametrize("python", ("3.11", "3.14"))
def test_the_dev_container_has_the_projects_python_and_uv(python: str, render: Render) -> None:
    project = render(python_version=python)
    container = json.loads((project / ".devcontainer" / "devcontainer.json").read_text())
    [uv] = re.findall(r"uv==(\d+\.\d+)\.", (project / "Dockerfile").read_text())
    assert container["image"] == f"ghcr.io/astral-sh/uv:{uv}-python{python}-trixie"
    make, *asked = container["postCreateCommand"].split()
    assert make == "make" and set(asked) <= targets(project / "Makefile")


def test_hooks_take_their_versions_from_the_environment(render: Render) -> None:
    config = yaml.safe_load((render() / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert all(hook["entry"].startswith(("uv run --no-sync ", "make ")) for hook in hooks)


@pytest.mark.slow
def test_hooks_pass_in_a_new_project_and_find_an_error(
    project: Path, run_in: Run, tmp_path: Path
) -> None:
    env = {"PRE_COMMIT_HOME": str(tmp_path)}
    command = ("uv", "run", "pre-commit", "run", "--all-files")
    assert run_in(project, *command, env=env).stdout.count("Passed") == 4
    (project / "src" / "toy_project" / "errors.py").write_text("import os\n\n\nanswer: int = ''\n")
    told = run_in(project, *command, code=1, env=env).stdout
    assert "invalid-assignment" in told and "files were modified by this hook" in told
