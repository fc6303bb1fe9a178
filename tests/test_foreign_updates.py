"""Updates of projects from other templates, with what copier offers beside questions."""

from collections.abc import Mapping
from pathlib import Path

import copier
import pytest
import yaml
from evolving import Files, template_of, write
from templates import commit, git
from toys import cli, files_of, snapshot

SETTINGS = "_subdirectory: template\n"
BASIC = "a: x\n" + SETTINGS


def project_of(template: Path, at: Path, *options: str, release: str = "v1") -> Path:
    """A project of a release, by `mlscaffold new`."""
    arguments = (f"--template={template}", f"--ref={release}", "--no-lock", *options)
    done = cli("new", at, *arguments)
    assert done.exit_code == 0, done.output
    return at


def by_copier(template: Path, at: Path, release: str, *, answers_file: str | None = None) -> Path:
    """A project of a release, by plain copier."""
    source = f"git+{template.as_uri()}"
    copier.run_copy(
        source, at, defaults=True, quiet=True, vcs_ref=release, answers_file=answers_file
    )
    return at


def updated(project: Path, *options: str) -> str:
    """Update and commit; return what it said."""
    done = cli("update", project, "--commit", *options)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def templates_of(folder: Path, *releases: Files, settings: str = SETTINGS) -> Path:
    """A template with one question and releases v1, v2 and so on."""
    changes = {f"v{number}": files for number, files in enumerate(releases, start=1)}
    return template_of(folder, changes, questions=dict.fromkeys(changes, "a: x\n" + settings))


@pytest.mark.parametrize("name", ["copier.yaml", "copier.YML"])
def test_the_questions_may_be_in_a_file_of_another_name(name: str, tmp_path: Path) -> None:
    template = templates_of(tmp_path / "template", {"f": "1\n"}, {"f": "2\n"})
    for release in ("v1", "v2"):
        git(template, "checkout", "--quiet", release)
        git(template, "mv", "copier.yml", name)
        git(template, "commit", "--quiet", "--message=x")
        git(template, "tag", "--force", release)
    toy = project_of(template, tmp_path / "toy")
    assert files_of(toy) == files_of(by_copier(template, tmp_path / "by" / "toy", "v1"))
    updated(toy)
    assert files_of(toy) == files_of(by_copier(template, tmp_path / "by2" / "toy", "v2"))
    assert cli("set", "a=y", "--project", toy).exit_code == 0


def test_a_template_without_questions_is_updated(tmp_path: Path) -> None:
    changes = {"v1": {"f": "1\n"}, "v2": {"f": "2\n"}}
    template = template_of(
        tmp_path / "template", changes, questions=dict.fromkeys(changes, SETTINGS)
    )
    toy = project_of(template, tmp_path / "toy")
    assert cli("options", f"--template={template}").exit_code == 0
    updated(toy)
    assert (toy / "f").read_text() == "2\n"
    done = cli("set", "a=b", "--project", toy)
    assert (done.exit_code, done.output) == (2, "error: 'a' is no question; there are none\n")


def test_questions_may_be_included_from_files(tmp_path: Path) -> None:
    template = templates_of(tmp_path / "template", {"f.jinja": "{{ a }} {{ b }} {{ c }}\n"})
    write(template / "more.yml", "b: y\n")
    write(template / "copier.yml", f"{BASIC}---\n!include more.yml\n---\nc: z\n")
    commit(template, tag="v2")
    toy = project_of(template, tmp_path / "toy", "-db=1", release="v2")
    assert (toy / "f").read_text() == "x 1 z\n"


def test_a_file_that_is_written_once_is_left_alone(tmp_path: Path) -> None:
    settings = SETTINGS + "_skip_if_exists: ['*.env', '{{ a }}.txt', 'gone/*']\n"
    first = {".env": "1\n", "x.txt": "1\n", "gone/1": "1\n", "y.txt": "1\n", "deleted.env": "1\n"}
    second = {".env": "2\n", "x.txt": None, "gone/1": "2\n", "y.txt": "2\n", "deleted.env": "2\n",
              "new.env": "2\n", "mine.env": "2\n"}  # fmt: skip
    template = templates_of(tmp_path / "template", first, second, settings=settings)
    toy = project_of(template, tmp_path / "toy")
    (toy / ".env").write_text("mine\n")
    (toy / "mine.env").write_text("mine\n")
    (toy / "deleted.env").unlink()
    commit(toy)
    said = updated(toy)
    found = {name: (toy / name).read_text() for name in (*second, "x.txt")}
    assert found == {
        ".env": "mine\n",
        "x.txt": "1\n",
        "gone/1": "1\n",
        "y.txt": "2\n",
        "deleted.env": "2\n",
        "new.env": "2\n",
        "mine.env": "mine\n",
    }
    assert "  left out  .env: the template writes it only where there is none\n" in said
    assert "left out  x.txt" not in said


def test_a_file_that_is_written_once_may_be_there_untracked(tmp_path: Path) -> None:
    settings = SETTINGS + "_skip_if_exists: [secret]\n"
    template = templates_of(
        tmp_path / "template", {"f": "1\n"}, {"secret": "2\n"}, settings=settings
    )
    toy = project_of(template, tmp_path / "toy")
    (toy / "secret").write_text("mine\n")
    updated(toy)
    assert (toy / "secret").read_text() == "mine\n"


def test_a_file_that_is_written_once_is_written_again_at_the_same_release(tmp_path: Path) -> None:
    settings = SETTINGS + "_skip_if_exists: ['*.env']\n"
    files = {"a.env": "1\n", "b.env": "1\n", "x.txt": "1\n"}
    template = templates_of(tmp_path / "template", files, settings=settings)
    toy = project_of(template, tmp_path / "toy")
    (toy / "b.env").write_text("mine\n")
    commit(toy)
    assert updated(toy) == f"{toy}: nothing to do at v1\n"
    for name in ("a.env", "x.txt"):
        (toy / name).unlink()
    commit(toy)
    (toy / "b.env").write_text("not committed\n")
    assert cli("update", toy).stderr.startswith(f"error: {toy} has changes that are not committed")
    git(toy, "checkout", "b.env")
    assert updated(toy).startswith(f"{toy}: v1: 1 added; committed as ")
    assert git(toy, "log", "-1", "--format=%s") == "Add missing files of the template's release v1"
    assert updated(toy) == f"{toy}: nothing to do at v1\n"
    assert (toy / "a.env").read_text() == "1\n"
    assert (toy / "b.env").read_text() == "mine\n"
    assert not (toy / "x.txt").exists()


def test_a_template_may_know_that_it_is_an_update(tmp_path: Path) -> None:
    settings = SETTINGS + "_exclude: [\"{% if _copier_operation == 'update' %}once{% endif %}\"]\n"
    releases = ({"once": "1\n", "f": "1\n"}, {"once": "2\n", "f": "2\n"})
    template = templates_of(tmp_path / "template", *releases, settings=settings)
    toy = project_of(template, tmp_path / "toy")
    assert cli("diff", toy).output == ""
    updated(toy)
    assert ((toy / "once").read_text(), (toy / "f").read_text()) == ("1\n", "2\n")


def test_a_template_may_know_the_folders_name(tmp_path: Path) -> None:
    named = {"name.txt.jinja": "{{ _folder_name }} {{ _copier_conf.dst_path.name }}\n"}
    template = templates_of(tmp_path / "template", named, {"f": "2\n"})
    write(template / "copier.yml", 'a: "{{ _folder_name }}"\n' + SETTINGS)
    commit(template, tag="v3")
    toy = project_of(template, tmp_path / "toy", release="v1")
    assert (toy / "name.txt").read_text() == "toy toy\n"
    assert cli("diff", toy).output == ""
    updated(toy)
    assert (toy / "name.txt").read_text() == "toy toy\n"
    new = project_of(template, tmp_path / "new", release="v3")
    assert yaml.safe_load((new / ".copier-answers.yml").read_text())["a"] == "new"


def test_each_template_of_a_project_has_an_answers_file(tmp_path: Path) -> None:
    one = templates_of(tmp_path / "one", {"one.txt": "1\n"}, {"one.txt": "2\n"})
    external = SETTINGS + "_external_data: {first: .copier-answers.yml}\n"
    question = 'a: "{{ _external_data.first.a }}-2"\n'
    changes: Mapping[str, Files] = {
        "v1": {"two.txt.jinja": "{{ a }} {{ _external_data.first.a }} 1\n"},
        "v2": {"two.txt.jinja": "{{ a }} {{ _external_data.first.a }} 2\n"},
    }
    two = template_of(
        tmp_path / "two", changes, questions=dict.fromkeys(changes, question + external)
    )
    toy = project_of(one, tmp_path / "toy", "-da=first")
    by_copier(two, toy, "v1", answers_file=".answers/two.yml")
    commit(toy)
    assert (toy / "two.txt").read_text() == "first-2 first 1\n"

    own = ("-a", ".answers/two.yml")
    assert cli("diff", toy, *own).output == cli("diff", toy).output == ""
    assert cli("check", toy, *own).output == f"{toy}: outdated: v1 is followed by v2\n"
    assert "v1 to v2: 2 changed; committed" in updated(toy, *own)
    assert (toy / "two.txt").read_text() == "first-2 first 2\n"
    assert (toy / "one.txt").read_text() == "1\n"
    updated(toy)
    assert (toy / "one.txt").read_text() == "2\n"
    done = cli("set", "a=other", "--project", toy, *own)
    assert (done.exit_code, (toy / "two.txt").read_text()) == (0, "other first 2\n")
    recorded = yaml.safe_load((toy / ".answers/two.yml").read_text())
    assert (recorded["a"], recorded["_commit"]) == ("other", "v2")


def test_a_new_project_can_have_another_answers_file(tmp_path: Path) -> None:
    template = templates_of(tmp_path / "template", {"f": "1\n"}, {"f": "2\n"})
    toy = project_of(template, tmp_path / "toy", "--answers-file=.one.yml")
    assert sorted(files_of(toy)) == [".one.yml", "f"]
    updated(toy, "-a", ".one.yml")
    assert (toy / "f").read_text() == "2\n"
    assert cli("update", toy).output == (
        f"error: {toy} is no generated project: no .copier-answers.yml\n"
    )


@pytest.mark.parametrize("path", ["../x.yml", "/etc/passwd", "a/../../x.yml", ".", "a\nb"])
def test_an_answers_file_is_in_the_project(path: str, tmp_path: Path) -> None:
    template = templates_of(tmp_path / "template", {"f": "1\n"})
    toy = project_of(template, tmp_path / "toy")
    before = snapshot(tmp_path)
    for command in (("update", toy), ("set", "a=b", "--project", toy), ("diff", toy),
                    ("new", tmp_path / "b", f"--template={template}", "--no-lock")):  # fmt: skip
        done = cli(*command, "-a", path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == (
            f"error: --answers-file must be a path inside the project, got {path!r}\n"
        )
    assert snapshot(tmp_path) == before


def test_a_release_that_is_not_final_is_taken_if_asked_for(tmp_path: Path) -> None:
    changes: Mapping[str, Files] = {
        tag: {"f": tag} for tag in ("v1.0", "v1.1", "v2.0rc1", "v2.0rc2")
    }
    template = template_of(tmp_path / "template", changes, questions=dict.fromkeys(changes, BASIC))
    toy = project_of(template, tmp_path / "toy", release="v1.0")
    updated(toy)
    assert (toy / "f").read_text() == "v1.1"
    assert cli("check", toy).output == f"{toy}: current (v1.1)\n"
    done = cli("check", toy, "--prereleases")
    assert (done.exit_code, done.output) == (4, f"{toy}: outdated: v1.1 is followed by v2.0rc2\n")
    updated(toy, "--prereleases")
    assert (toy / "f").read_text() == "v2.0rc2"
    assert cli("update", toy).output == f"{toy}: nothing to do at v2.0rc2\n"
    new = ("new", tmp_path / "new", f"--template={template}", "--no-lock", "--prereleases")
    assert cli(*new).exit_code == 0
    assert (tmp_path / "new" / "f").read_text() == "v2.0rc2"
    (template / "template" / "f").write_text("v2.0")
    commit(template, tag="v2.0")
    updated(toy)
    assert (toy / "f").read_text() == "v2.0"


def test_a_template_may_be_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = templates_of(tmp_path / "template", {"f": "1\n"}, {"f": "2\n"})
    git(template, "bundle", "create", "--quiet", str(tmp_path / "one.bundle"), "HEAD", "--all")
    monkeypatch.chdir(tmp_path)
    toy = project_of(Path("one.bundle"), tmp_path / "toy")
    recorded = yaml.safe_load((toy / ".copier-answers.yml").read_text())
    assert recorded["_src_path"] == f"git+{tmp_path}/one.bundle"
    monkeypatch.chdir(toy)
    updated(toy)
    assert (toy / "f").read_text() == "2\n"
