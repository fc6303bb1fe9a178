"""`mlscaffold add`: what it writes, and what it refuses."""

import json
import re
import shutil
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from conftest import Render
from foreign_pieces import PIECES, foreign_project, made, pieces_template
from templates import commit, commit_template
from toys import Toys, cli, edit, files_of

STAGE_FILES = {
    "Makefile",
    "configs/config.yaml",
    "dvc.yaml",
    "src/toy_project/config.py",
    "src/toy_project/report.py",
    "tests/test_stage_report.py",
}


@pytest.fixture(scope="session")
def rendered(render: Render) -> Path:
    return render(with_git=True, serving="none", ci="none", tracking="none")


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Path:
    """A project of the bundled template."""
    return shutil.copytree(rendered, tmp_path / "toy-project", symlinks=True)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A project of another template, whose first release has pieces."""
    return foreign_project(tmp_path)


def refused(project: Path, *arguments: str, code: int = 1) -> str:
    """The one line on stderr of `mlscaffold add`, which changes nothing."""
    before = files_of(project)
    done = cli("add", *arguments, "--project", project)
    assert done.exit_code == code, done.output
    assert files_of(project) == before
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    return done.stderr.removeprefix("error: ").rstrip("\n")


def test_it_prints_what_it_wrote_where_to_fill_it_in_and_what_to_type(project: Path) -> None:
    done = cli("add", "callback", "Watch", "--project", project)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Added the callback watch, from release ")
    assert lines[1:6] == [
        "  added     src/toy_project/training/watch.py",
        "  added     tests/test_callback_watch.py",
        "",
        "It works as it is. Fill in what '# Your own:' marks:",
        "  src/toy_project/training/watch.py:14",
    ]
    assert lines[-3:] == ["", "Next:", '  make train ARGS="training.callbacks=[watch]"']


@pytest.mark.parametrize(
    ("typed", "module", "class_name"),
    [
        ("bag_of_words", "bag_of_words", "BagOfWords"),
        ("bag-of-words", "bag_of_words", "BagOfWords"),
        ("BagOfWords", "bag_of_words", "BagOfWords"),
        ("LSTM", "lstm", "LSTM"),
        ("BiLSTM2", "bi_lstm2", "BiLSTM2"),
    ],
)
def test_a_name_is_a_module_in_snake_case_and_a_class_in_camel_case(
    project: Path, typed: str, module: str, class_name: str
) -> None:
    done = cli("add", "model", typed, "--project", project, "--json")
    assert json.loads(done.stdout)["name"] == module
    text = (project / "src" / "toy_project" / "models" / f"{module}.py").read_text()
    assert f"class {class_name}(Model):" in text


SHAPE = (
    "must be a word of at most 32 letters and digits, with a letter first, or several such as "
    "my_model, my-model or MyModel"
)
TAKEN = "is taken by a module or a dependency of the project"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", SHAPE),
        ("1st", SHAPE),
        ("a b", SHAPE),
        ("../up", SHAPE),
        ("naïve", SHAPE),
        ("a__b", SHAPE),
        ("x\n", SHAPE),
        ("x" * 33, SHAPE),
        ("class", "is a keyword of Python"),
        ("match", "is a keyword of Python"),
        ("json", TAKEN),
        ("Torch", TAKEN),
        ("on", "is read as true, false or null in YAML"),
        ("tensor", "must not give Tensor, which src/toy_project/models/tensor.py imports"),
    ],
)
def test_a_name_that_can_not_be_one_is_refused(project: Path, name: str, reason: str) -> None:
    shown = repr(name) if len(repr(name)) < 60 else name
    assert refused(project, "model", name, code=2) == f"NAME {reason}; got {shown}"


def test_an_unknown_kind_lists_those_that_there_are(project: Path) -> None:
    kinds = "dataset, model, objective, callback, stage"
    said = refused(project, "layer", "lstm", code=2)
    assert said == f"KIND must be one of {kinds}; got 'layer'"


def test_what_exists_is_not_replaced(project: Path) -> None:
    added = cli("add", "dataset", "mail", "--project", project)
    assert added.exit_code == 0
    for path in (
        "src/toy_project/data/mail.py",
        "configs/data/mail.yaml",
        "data/external/mail.csv",
        "tests/test_dataset_mail.py",
    ):
        said = refused(project, "dataset", "mail")
        assert said == f"{path} exists: give another NAME, or move it first"
        (project / path).unlink()
    (project / "configs" / "data" / "mail.yaml").symlink_to("nowhere")
    assert "a link or a file is in the way: configs/data/mail.yaml" in refused(
        project, "dataset", "mail"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("models", "src/toy_project/models exists: give another NAME, or move it first"),
        ("evaluate", "src/toy_project/evaluate.py exists: give another NAME, or move it first"),
        ("seed", "src/toy_project/config.py:N has 'seed: NonNegativeInt = 0' already"),
        ("launcher", "src/toy_project/config.py:N has 'class LauncherConfig(Checked, "),
        ("sweep", "Makefile:N has 'sweep: params ## "),
    ],
)
def test_a_name_in_use_is_refused(project: Path, name: str, said: str) -> None:
    assert re.sub(r":\d+", ":N", refused(project, "stage", name)).startswith(said)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("all:\n\ttrue\n", "does not have"),
        ("# Your own targets:\n# Your own targets:\n", "has more than once"),
        (None, "is no file with"),
    ],
)
def test_without_its_place_the_lines_are_printed(
    project: Path, content: str | None, problem: str
) -> None:
    makefile = project / "Makefile"
    makefile.unlink()
    if content is not None:
        makefile.write_text(content)
    before = files_of(project)
    done = cli("add", "stage", "report", "--project", project)
    assert (done.exit_code, files_of(project)) == (1, before)
    assert done.stderr == (
        f"error: Makefile {problem} the line '# Your own targets:', below which these lines "
        "belong: write it there once, and run the command again\n"
    )
    lines = (
        ".PHONY: report\n"
        "report:  ## Write the test rows that the model gets wrong\n"
        "\tpython -m $(PACKAGE).report $(ARGS)\n"
    )
    assert done.stdout == lines
    as_json = cli("add", "stage", "report", "--project", project, "--json")
    document = json.loads(as_json.stdout)
    assert f"error: {document['error']}\n" == done.stderr
    assert document["by_hand"] == f"\n{lines}"


def test_nothing_else_of_a_file_changes(project: Path) -> None:
    """Not what is uncommitted, nor how its lines end."""
    own = {
        "Makefile": b"mine:\n\techo \xff mine\n",
        "dvc.yaml": b"  mine:\n    cmd: echo mine\n",
        "configs/config.yaml": b"mine: 1",
    }
    for path, lines in own.items():
        file = project / path
        file.write_bytes(file.read_bytes() + lines)
    config = project / "configs" / "config.yaml"
    config.write_bytes(config.read_bytes().replace(b"\n", b"\r\n"))
    (project / "Makefile").chmod(0o755)
    before = files_of(project)
    done = cli("add", "stage", "report", "--project", project, "--json")
    assert {*json.loads(done.stdout)["added"], *json.loads(done.stdout)["changed"]} == STAGE_FILES
    after = files_of(project)
    for path, (mode, content) in before.items():
        kept = after[path]
        assert kept[0] == mode
        if path in STAGE_FILES:
            steps = SequenceMatcher(None, content.splitlines(), kept[1].splitlines()).get_opcodes()
            assert {step for step, *_ in steps} == {"equal", "insert"}
        else:
            assert kept[1] == content
    assert b"\n\treport" not in after["Makefile"][1]
    assert b"$(ARGS)\n\nmine:\n" in after["Makefile"][1]
    assert after["configs/config.yaml"][1].endswith(
        b"# Your own:\r\n\r\nreport:\r\n  num_rows: 100\r\n\r\nmine: 1"
    )


def test_a_dry_run_writes_nothing(project: Path) -> None:
    before = files_of(project)
    done = cli("add", "stage", "report", "--project", project, "--dry-run")
    assert (done.exit_code, files_of(project)) == (0, before)
    assert done.stdout.startswith("Would add the stage report, from release ")
    assert {line.split()[1] for line in done.stdout.splitlines()[1:-1]} == STAGE_FILES
    assert done.stdout.endswith("\nNothing was written.\n")


def test_git_is_not_needed_and_not_touched(project: Path) -> None:
    index = (project / ".git" / "index").read_bytes()
    assert cli("add", "model", "one", "--project", project).exit_code == 0
    assert (project / ".git" / "index").read_bytes() == index
    shutil.rmtree(project / ".git")
    assert cli("add", "model", "two", "--project", project).exit_code == 0


def test_an_unfinished_update_comes_first(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    edit(toy / "src" / "main.py", ("main line 5\n", "mine 5\n"), ("main line 20\n", "mine 20\n"))
    commit(toy)
    assert cli("update", toy, "--to=v2.0.0").exit_code == 3
    assert refused(toy, "model", "lstm").startswith(f"an update of {toy} is unfinished: ")


def test_a_release_without_pieces_names_one_that_has_them(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "theirs", tag="v1.0.0")
    toy = made(template, tmp_path / "toy")
    said = refused(toy, "page", "one")
    assert said == f"the template git+{template.as_uri()} has no pieces to add at v1.0.0"
    pieces_template(template, PIECES, tag="v1.1.0")
    assert refused(toy, "page", "one") == (
        f"{toy} has release v1.0.0 of its template, which has no pieces to add; v1.1.0 has them: "
        "run `mlscaffold update` first"
    )


def test_another_template_brings_its_own_pieces(foreign: Path) -> None:
    assert refused(foreign, "model", "one", code=2) == "KIND must be one of page; got 'model'"
    done = cli("add", "page", "one", "--project", foreign, "--json")
    found = json.loads(done.stdout)
    assert (found["added"], found["changed"]) == (["one.txt"], ["name.txt"])
    assert (found["places"], found["next"]) == (["one.txt:1"], ["open one.txt"])
    assert (foreign / "one.txt").read_text() == "One FILL IN\n"
    assert (foreign / "name.txt").read_text() == "toy\nas it is: {{ name }}\n"


def test_an_update_keeps_what_was_added(foreign: Path, tmp_path: Path) -> None:
    assert cli("add", "page", "one", "--project", foreign).exit_code == 0
    commit(foreign)
    before = files_of(foreign)
    template = tmp_path / "theirs"
    (template / "template" / "more.txt").write_text("more\n")
    (template / "pieces" / "page.txt.jinja").write_text("another page\n")
    commit(template, tag="v1.1.0")
    assert cli("update", foreign).exit_code == 0
    changed = {path for path, entry in files_of(foreign).items() if before.get(path) != entry}
    assert changed == {".copier-answers.yml", "more.txt"}
    assert cli("add", "page", "two", "--project", foreign).exit_code == 0
    assert (foreign / "two.txt").read_text() == "another page\n"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('page: {files: {"../x": page.txt.jinja}}', "names '../x', which is no path of a project"),
        ('page: {files: {"/x": page.txt.jinja}}', "names '/x', which is no path of a project"),
        ('page: {files: {".git/hooks/x": page.txt.jinja}}', "names '.git/hooks/x', which is no "),
        ("page: {files: {x: nothing.txt}}", "names pieces/nothing.txt, which is missing or empty"),
        ('page: {files: {"{{ nil }}": x}}', "can't be read: UndefinedError: 'nil' is undefined"),
        ("page: {lines: [{file: x}]}", "can't be read: KeyError: 'below'"),
        ("page: [1]", "can't be read: AttributeError: "),
        ("- 1", "can't be read: it must hold pieces by kind"),
    ],
)
def test_pieces_that_are_wrong_are_refused_in_one_line(
    tmp_path: Path, table: str, said: str
) -> None:
    template = pieces_template(tmp_path / "theirs", table, tag="v1.0.0")
    toy = made(template, tmp_path / "toy")
    assert f"pieces/pieces.yml {said}" in refused(toy, "page", "one")
