"""Workflows, ours and the rendered project's: what they may do and whom they trust."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / ".github" / "workflows", ROOT / "template" / ".github" / "workflows"]
WORKFLOWS = [path for folder in FOLDERS for path in sorted(folder.glob("*.y*ml*"))]


def jobs(workflow: Path) -> list[dict[str, Any]]:
    """The workflow's jobs."""
    return list(yaml.safe_load(workflow.read_text())["jobs"].values())


def test_the_workflows_are_all_there() -> None:
    assert [path.name for path in WORKFLOWS] == [
        *("ci.yml", "release.yml", "smoke.yml"),
        *("ci.yml", "template-update.yml", "train.yml"),
    ]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_workflow_has_no_right_that_it_does_not_name(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())
    assert document["permissions"] == {}
    assert document["concurrency"]
    # YAML 1.1 reads the key `on` as true.
    assert "pull_request_target" not in document[True]
    assert all("permissions" in job and "timeout-minutes" in job for job in jobs(workflow))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: str(path.relative_to(ROOT)))
def test_actions_are_pinned_by_commit_with_their_tag_beside(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text())
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", line) for line in used)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_checkout_leaves_no_token_behind(workflow: Path) -> None:
    steps = [step for job in jobs(workflow) for step in job["steps"]]
    checkouts = [step for step in steps if "actions/checkout@" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_an_action_has_one_version_everywhere() -> None:
    used = [line for path in WORKFLOWS for line in re.findall(r"uses: (\S+)", path.read_text())]
    assert len({pin.partition("@")[0] for pin in used}) == len(set(used))
