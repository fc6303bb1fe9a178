"""`adopt`: projects that record no template are updated from then on, and lose nothing."""

import re
import shutil
from pathlib import Path

import copier
import pytest
from adoptions import ANSWERS, adopt, recorded
from conftest import Render
from evolving import template_of
from other_layouts import make
from templates import commit, git
from toys import Toys, cli, edit, files_of, snapshot, status

from mlscaffold.errors import shown


def by_copier(template: Path, folder: Path, release: str, **answers: str) -> Path:
    """A project of plain copier that its user committed."""
    copier.run_copy(
        str(template), folder, answers, vcs_ref=release, defaults=True, quiet=True, unsafe=False
    )
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all", "--force")
    commit(folder)
    return folder


@pytest.mark.parametrize("release", ["v1.1.0", "v2.1.0"])
def test_a_project_of_copier_that_lost_its_answers_gets_the_same_again(
    release: str, toys: Toys, tmp_path: Path
) -> None:
    colour = {"colour": "blue"} if release >= "v2" else {}
    toy = by_copier(
        toys.template, tmp_path / "clone", release, project_name="bird", store="database", **colour
    )
    expected = recorded(toy)
    (toy / ANSWERS).unlink()
    edit(toy / "src" / "main.py", ("main line 20\n", "my own line\n"))
    (toy / "own.md").write_text("mine\n")
    (toy / "crlf.txt").unlink()
    commit(toy)
    before = files_of(toy)
    found = adopt(toy, "--template", toys.template)
    assert (found["outcome"], found["release"]) == ("adopted", release)
    assert (found["missing"], found["is_incomplete"]) == (["crlf.txt"], False)
    assert found["changed"] == {"src/main.py": [1, 1]}
    # The folder was given as a path, which plain copier records as it is.
    assert recorded(toy) == expected | {"_src_path": f"git+{toys.template.as_uri()}"}
    after = files_of(toy)
    del after[ANSWERS]
    assert after == before
    commit(toy)
    changed = {line[1:] for line in cli("diff", toy).stdout.splitlines() if line[0] in "+-"}
    assert {"main line 20", "my own line", "++ /dev/null"} <= changed
    done = cli("update", toy, "--to", "v3.0.0")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "my own line\n" in (toy / "src" / "main.py").read_text()
    assert (toy / "own.md").read_text() == "mine\n"
    assert not (toy / "crlf.txt").exists()
    assert "tools end\n" in (toy / "src" / "toolbox.py").read_text()
    assert recorded(toy)["_commit"] == "v3.0.0"


def test_every_choice_is_found_again(render: Render) -> None:
    answers = {
        "project_name": "bird-song",
        "package_name": "birds",
        "description": "What sings",
        "author_name": "Grace Hopper",
        "author_email": "grace@example.org",
        "license": "apache-2.0",
        "python_version": "3.12",
        "modality": "image",
        "pretrained": "huggingface",
        "tracking": "wandb",
        "serving": "bentoml",
        "distributed": "ray",
        "orchestration": "kubeflow",
        "ci": "none",
        "torch_backend": "cpu",
    }
    project = render(with_git=True, **answers)
    expected = (project / ANSWERS).read_bytes()
    (project / ANSWERS).unlink()
    (project / "src" / "birds" / "models" / "vit.py").unlink()
    with (project / "pyproject.toml").open("a") as pyproject:
        pyproject.write("\n[tool.mine]\nvalue = 1\n")
    commit(project)
    done = cli("adopt", project)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"  \d+ of \d+ files are equal, 1 differs, 1 is missing", lines[1])
    assert lines[2:4] == [
        "  differs   pyproject.toml: 3 more and 0 fewer lines",
        "  missing   src/birds/models/vit.py",
    ]
    assert lines[5:] == [
        "What is missing counts as deleted by you: an update does not bring it back.",
        f"Wrote {ANSWERS}. Next:",
        f"  git -C {project} add {ANSWERS}",
        f"  git -C {project} commit -m 'Record the template'",
        f"  mlscaffold diff {project}",
        f"  mlscaffold update --dry-run {project}",
    ]
    assert (project / ANSWERS).read_bytes() == expected


def test_a_second_template_is_recorded_beside_the_first(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    second = template_of(
        tmp_path / "second", {"v1.0.0": {"b.txt": "b\n"}, "v1.1.0": {"b.txt": "c\n"}}
    )
    (toy / "b.txt").write_text("b\n")
    commit(toy)
    options = ("--template", second, "-a", ".second.yml")
    assert adopt(toy, *options)["release"] == "v1.0.0"
    assert status(toy) == ["?? .second.yml"]
    commit(toy)
    done = cli("update", toy, "-a", ".second.yml")
    assert (done.exit_code, done.stderr) == (0, "")
    assert (toy / "b.txt").read_text() == "c\n"
    assert recorded(toy)["_commit"] == "v1.0.0"


def test_what_is_adopted_already_stays_as_it_is(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    before = snapshot(toy)
    done = cli("adopt", toy, "--template", toys.template)
    assert (done.exit_code, done.stderr) == (0, "")
    source = recorded(toy)["_src_path"]
    assert done.stdout == f"{toy}: nothing to do, {ANSWERS} records v1.0.0 of {source}\n"
    done = cli("adopt", toy)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {toy / ANSWERS} records the template {shown(source)}, which `mlscaffold update` "
        "continues with; record this one in another file with -a PATH, or remove that file\n"
    )
    assert snapshot(toy) == before


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        (
            ["-d", "store=database"],
            "`mlscaffold set store=database --project {}` changes its answers",
        ),
        (["--ref", "v1.1.0"], "`mlscaffold update --to v1.1.0 {}` changes its release"),
    ],
)
def test_what_is_given_for_what_is_adopted_already_is_not_ignored(
    given: list[str], fix: str, toys: Toys, tmp_path: Path
) -> None:
    toy = toys.make(tmp_path / "toy")
    as_it_is = ("-d", "project_name=toy", "--ref", "v1.0.0")
    assert cli("adopt", toy, "--template", toys.template, *as_it_is).exit_code == 0
    done = cli("adopt", toy, "--template", toys.template, *given)
    assert (done.exit_code, done.stdout) == (1, "")
    records = f"{toy}: {ANSWERS} records v1.0.0 of its template already"
    assert done.stderr == f"error: {records}; {fix.format(toy)}\n"


def test_the_password_of_a_template_is_not_shown(
    toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "https://me:pass0word@git.example/template.git"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{toys.template.as_uri()}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", source)
    toy = make(tmp_path / "toy", {"src/main.py": "mine\n"})
    options = ("--template", source)
    for arguments in (
        ("new", tmp_path / "new", "--defaults", *options),
        ("new", tmp_path / "other", "--dry-run", "--json", *options),
        ("options", *options),
        ("adopt", toy, *options),
        ("adopt", toy, "--json", *options),
    ):
        done = cli(*arguments)
        assert (done.exit_code, done.stderr) == (0, "")
        assert "pass0word" not in done.stdout
    assert recorded(toy)["_src_path"] == source


def test_what_an_answers_file_still_says_is_believed(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy", release="v2.0.0", project_name="bird")
    kept = [line for line in (toy / ANSWERS).read_text().splitlines() if "_commit" not in line]
    (toy / ANSWERS).write_text("\n".join(kept).replace("project_name: bird", "project_name: fish"))
    commit(toy)
    found = adopt(toy, "--template", toys.template)
    assert (found["release"], found["answers"]["project_name"]) == ("v2.0.0", "fish")  # ty: ignore
    assert found["changed"] == {"README.md": [1, 1]}


def test_a_recorded_answer_may_be_of_any_type(tmp_path: Path) -> None:
    question = "big: {type: bool, default: false}\n"
    template = template_of(
        tmp_path / "template",
        {"v1.0.0": {"a.txt.jinja": "{{ big }}\n"}},
        questions={"v1.0.0": f"{question}_subdirectory: template\n"},
    )
    source = f"git+{template.as_uri()}"
    files = {ANSWERS: f"_src_path: {source}\nbig: true\n", "a.txt": "True\n"}
    found = adopt(make(tmp_path / "toy", files), "--template", template)
    assert (found["answers"], found["changed"]) == ({"big": True}, {})


@pytest.mark.parametrize("filters", ["to_nice_yaml | trim", "to_json", "to_nice_json"])
def test_an_answers_file_of_any_layout_is_recorded_rightly(filters: str, tmp_path: Path) -> None:
    template = template_of(tmp_path / "template", {"v1.0.0": {"a.txt": "a\n"}})
    [file] = (template / "template").glob("*answers*")
    file.write_text(f"{{{{ _copier_answers | {filters} }}}}")
    commit(template, tag="v2.0.0")
    toy = make(tmp_path / "toy", {"mine.txt": "mine\n"})
    found = adopt(toy, "--template", template)
    assert found["is_incomplete"]
    answers = {name: value for name, value in recorded(toy).items() if not name.startswith("_")}
    assert answers == found["answers"]
    commit(toy)
    assert cli("update", toy).exit_code == 0
    assert recorded(toy)["project_name"] == "toy"
    assert "_incomplete" not in recorded(toy)


def test_an_answers_file_that_is_not_committed_is_not_replaced(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    (toy / "mine.yml").write_text("mine: 1\n")
    before = snapshot(toy)
    done = cli("adopt", toy, "--template", toys.template, "-a", "mine.yml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {toy / 'mine.yml'} is not committed as it is on disk: commit it first\n"
    )
    assert snapshot(toy) == before


def test_a_title_ends_before_its_line_end(toys: Toys, tmp_path: Path) -> None:
    toy = make(tmp_path / "toy", {"a.txt": "a\n"})
    (toy / "README.md").write_bytes(b"# Bird \r\n\r\nA bird.\r\n")
    commit(toy)
    found = adopt(toy, "--template", toys.template, "--dry-run")
    assert found["answers"]["project_name"] == "Bird"  # ty: ignore


def test_a_project_of_a_newer_release_stays_there(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    edit(toy / ANSWERS, ("_commit: v1.0.0", "_commit: v9.0.0"))
    commit(toy)
    before = snapshot(toy)
    done = cli("adopt", toy, "--template", toys.template)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {toy} has release v9.0.0, and v3.0.0 is the newest that mlscaffold knows: "
        "upgrade mlscaffold (`uv tool upgrade mlscaffold-cli`)\n"
    )
    assert snapshot(toy) == before


def test_a_path_of_the_answers_file_may_begin_with_a_dot(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "repository" / "toy")
    (toy / ANSWERS).unlink()
    top = toy.parent
    shutil.rmtree(toy / ".git")
    git(top, "init", "--quiet", "--initial-branch=main")
    commit(top)
    options = ("-a", f"./{ANSWERS}")
    assert adopt(toy, "--template", toys.template, *options)["answers_file"] == ANSWERS
    commit(top)
    done = cli("update", toy, *options)
    assert (done.exit_code, done.stderr) == (0, "")
    assert recorded(toy)["_commit"] == "v3.0.0"


def test_an_answer_or_a_release_that_is_given_is_taken(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy", release="v2.0.0")
    (toy / ANSWERS).unlink()
    commit(toy)
    before = snapshot(toy)
    options = ("--template", toys.template, "--ref", "v1.0.0", "-d", "store=database")
    found = adopt(toy, *options, "--dry-run")
    assert (found["outcome"], found["release"]) == ("previewed", "v1.0.0")
    assert found["answers"] == {"project_name": "toy", "store": "database"}
    assert snapshot(toy) == before
    done = cli("adopt", toy, "--template", toys.template, "-d", "store=shed")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: store must be one of files, database; got 'shed'\n"
    assert snapshot(toy) == before


def test_a_release_is_found_that_only_an_expression_tells_apart(tmp_path: Path) -> None:
    changes = {
        "v1.0.0": {"a.txt": "a\n", "name.txt.jinja": "{{ project_name }}\none\n"},
        "v1.1.0": {"name.txt.jinja": "{{ project_name }}\ntwo\n"},
        "v1.2.0": {"name.txt.jinja": "{{ project_name }}\nthree\n"},
    }
    template = template_of(tmp_path / "template", changes)
    toy = by_copier(template, tmp_path / "toy", "v1.1.0")
    (toy / ANSWERS).unlink()
    commit(toy)
    found = adopt(toy, "--template", template)
    assert (found["release"], found["changed"], found["missing"]) == ("v1.1.0", {}, [])


def test_a_template_that_records_no_answers_is_refused(tmp_path: Path) -> None:
    template = template_of(tmp_path / "template", {"v1.0.0": {"a.txt": "a\n"}})
    for file in (template / "template").glob("*answers*"):
        file.unlink()
    commit(template, tag="v2.0.0")
    toy = make(tmp_path / "toy", {"a.txt": "a\n"})
    done = cli("adopt", toy, "--template", template)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: git+{template.as_uri()} v2.0.0 does not record its answers in {ANSWERS}: "
        "if it does elsewhere, name that file with -a PATH\n"
    )


def test_a_folder_that_git_does_not_keep_is_refused(toys: Toys, tmp_path: Path) -> None:
    toy = tmp_path / "toy"
    toy.mkdir()
    done = cli("adopt", toy, "--template", toys.template)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.endswith("; `git init`, `git add .` and `git commit` first\n")
    ignored = make(tmp_path / "ignored", {".gitignore": ".*.yml\n"})
    done = cli("adopt", ignored, "--template", toys.template)
    assert done.stderr == (
        f"error: {ignored / ANSWERS} is ignored by git, which has to keep it: change .gitignore\n"
    )
    assert not (ignored / ANSWERS).exists()
    done = cli("adopt", tmp_path / "nowhere")
    assert done.stderr == f"error: {tmp_path / 'nowhere'} does not exist\n"


def test_nothing_is_written_through_a_link(toys: Toys, tmp_path: Path) -> None:
    toy = make(tmp_path / "toy", {"a.txt": "a\n"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("theirs\n")
    (toy / "folder").symlink_to(tmp_path / "outside")
    for name in (ANSWERS, f".{ANSWERS}.mlscaffold"):
        (toy / name).symlink_to(tmp_path / "outside" / "new")
    commit(toy)
    options = ("--template", toys.template, "--ref", "v1.0.0")
    done = cli("adopt", toy, *options, "-a", "folder/answers.yml")
    assert done.stderr == (
        f"error: {toy}/folder/answers.yml is behind a link or in a submodule: name another with "
        "-a\n"
    )
    adopt(toy, *options)
    assert (toy / ANSWERS).is_file() and not (toy / ANSWERS).is_symlink()
    assert [one.name for one in (tmp_path / "outside").iterdir()] == ["file"]


def test_an_unfinished_update_comes_first(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    edit(toy / "src" / "main.py", ("main line 5\n", "my own line\n"))
    commit(toy)
    assert cli("update", toy).exit_code == 3
    (toy / ANSWERS).unlink()
    before = snapshot(toy)
    done = cli("adopt", toy, "--template", toys.template)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: an update of {toy} is unfinished: ")
    assert snapshot(toy) == before


def test_a_project_in_a_folder_of_a_repository_is_adopted_there(toys: Toys, tmp_path: Path) -> None:
    top = make(tmp_path / "top", {"README.md": "# Of all\n", "birds/README.md": "# birds\n"})
    found = adopt(top / "birds", "--template", toys.template, "--ref", "v1.0.0")
    assert found["answers"]["project_name"] == "birds"  # ty: ignore
    assert status(top) == [f"?? birds/{ANSWERS}"]
    commit(top)
    done = cli("update", top / "birds", "--to", "v1.1.0")
    assert (done.exit_code, done.stderr) == (0, "")
    assert all(line[0] in "AM" and "birds/" in line for line in status(top))
    assert (top / "birds" / "src" / "main.py").is_file()
    assert (top / "README.md").read_text() == "# Of all\n"
