"""Workflows, ours and the rendered project's: what they may do and whom they trust."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from choices import CHOICES
from conftest import Render

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
