"""`adopt`: projects of other layouts get what the template adds, and keep all that they have."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from adoptions import ANSWERS, adopt, recorded
from other_layouts import BY_HAND, COOKIECUTTER_DATA_SCIENCE, LIGHTNING_HYDRA, make
from templates import commit, copy_checkout, git
from toys import cli, committed, files_of, status

LATER = "\n# Of the second release.\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own template as a repository with two releases."""
    folder = copy_checkout(tmp_path_factory.mktemp("template") / "mlscaffold")
    git(folder, "tag", "v0.1.0")
    with (folder / "template" / "Makefile.jinja").open("a") as makefile:
        makefile.write(LATER)
    (folder / "template" / "added.txt").write_text("added\n")
    commit(folder, tag="v0.2.0")
    return folder


def added_by(files: Mapping[str, str], folder: Path) -> set[str]:
    """The files that a project has beside its own."""
    found = {path for path, (_, content) in files_of(folder).items() if content != b"folder"}
    assert found >= files.keys()
    return found - files.keys()


def require_all_kept(files: Mapping[str, str], folder: Path) -> None:
    """Each file of the user's is there as they wrote it."""
    assert {path: (folder / path).read_text() for path in files} == files


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            COOKIECUTTER_DATA_SCIENCE,
            {
                "project_name": "wine_quality",
                "package_name": "wine_quality",
                "description": "Which wines are good",
                "author_name": "Grace Hopper",
                "license": "bsd-3-clause",
                "python_version": "3.12",
                "tracking": "mlflow",
                "serving": "none",
                "ci": "none",
            },
        ),
        (
            LIGHTNING_HYDRA,
            {
                "project_name": "vision",
                "package_name": "vision",
                "author_name": "Ada Lovelace",
                "author_email": "ada@example.com",
                "license": "proprietary",
                "tracking": "wandb",
                "serving": "none",
                "ci": "none",
            },
        ),
        (
            BY_HAND,
            {
                "project_name": "churn",
                "package_name": "churn",
                "description": "Who leaves",
                "author_email": "grace@example.org",
                "license": "mit",
                "python_version": "3.11",
                "tracking": "none",
                "serving": "fastapi",
            },
        ),
    ],
    ids=["cookiecutter-data-science", "lightning-hydra", "by hand"],
)
def test_a_project_of_another_layout_gets_the_template_and_keeps_all(
    files: Mapping[str, str], expected: Mapping[str, str], template: Path, tmp_path: Path
) -> None:
    project = make(tmp_path / "vision", files)
    done = cli("adopt", project, "--template", template, "--ref", "v0.1.0")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "\nThe first update adds what is missing. " in done.stdout
    require_all_kept(files, project)
    assert added_by(files, project) == {ANSWERS}
    answers = recorded(project)
    assert answers.items() >= expected.items()
    assert (answers["_commit"], answers["_incomplete"]) == ("v0.1.0", True)
    commit(project)
    diff = cli("diff", project)
    assert (diff.exit_code, diff.stderr) == (0, "")
    assert "deleted file mode" in diff.stdout
    # The files that were missing come with the first change, and the user's stay as they were.
    done = cli("update", project, "--to", "v0.1.0")
    assert (done.exit_code, done.stderr) == (0, "")
    require_all_kept(files, project)
    added = added_by(files, project)
    assert {"dvc.yaml", f"src/{answers['package_name']}/training/trainer.py"} <= added
    assert not {line[:2] for line in status(project)} - {"A ", "M "}
    assert [line for line in status(project) if line[0] == "M"] == [f"M  {ANSWERS}"]
    assert "_incomplete" not in recorded(project)
    committed(project)
    assert cli("update", project, "--to", "v0.1.0").stdout.endswith("nothing to do at v0.1.0\n")
    # From here on, it is a project like any other: what the user deletes stays deleted.
    (project / "dvc.yaml").unlink()
    committed(project)
    done = cli("update", project)
    assert (project / "added.txt").read_text() == "added\n"
    assert not (project / "dvc.yaml").exists()
    require_all_kept({path: text for path, text in files.items() if path != "Makefile"}, project)
    merged = (project / "Makefile").read_text().splitlines()
    assert set(files.get("Makefile", "").splitlines()) <= set(merged)
    assert LATER.strip() in merged
    # A Makefile that has nothing in common with the template's is for its user to merge.
    assert done.exit_code == (3 if "Makefile" in files else 0)


def test_the_first_set_adds_what_is_missing_and_merges_the_rest(tmp_path: Path) -> None:
    project = make(tmp_path / "churn", BY_HAND)
    assert adopt(project)["is_incomplete"]
    before = committed(project), files_of(project)
    done = cli("set", "tracking=mlflow", "--project", project)
    # What the choice changes in files that both have is a merge, here one without common lines.
    assert (done.exit_code, done.stderr) == (3, "")
    conflicts = re.findall(r"^  conflict  (\S+):", done.stdout, re.MULTILINE)
    assert set(conflicts) == {"README.md", "pyproject.toml"}
    require_all_kept({path: BY_HAND[path] for path in BY_HAND.keys() - conflicts}, project)
    for path in conflicts:
        assert set(BY_HAND[path].splitlines()) <= set((project / path).read_text().splitlines())
    assert "src/churn/tracking/mlflow/tracker.py" in added_by(BY_HAND, project)
    assert recorded(project)["tracking"] == "mlflow"
    assert cli("update", "--abort", project).exit_code == 0
    assert (git(project, "rev-parse", "HEAD"), files_of(project)) == before
    assert recorded(project)["_incomplete"] is True
