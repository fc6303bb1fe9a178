"""Answers files that are broken, or meant to break something: one line, and nothing is changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from templates import commit
from toys import Toys, cli, snapshot


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of the first release."""
    return toys.make(tmp_path / "toy")


GOOD = "_commit: v1.0.0\n_src_path: {source}\nproject_name: toy\nstore: files\n"
LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {x: y}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
ANSWERS = {
    "empty": ("", "must hold answers by name"),
    "a list": ("- a\n- b\n", "must hold answers by name"),
    "a word": ("garbage\n", "must hold answers by name"),
    "a number": ("1\n", "must hold answers by name"),
    "garbage": ("{{[}}:\x01", "can't be read: "),
    "conflict markers": (
        f"<<<<<<< HEAD\n{GOOD}=======\n{GOOD}>>>>>>> theirs\n",
        "can't be read in line 2: mapping values are not allowed here; restore it from git",
    ),
    "no release": ("_src_path: {source}\nproject_name: toy\nstore: files\n", "_commit is missing"),
    "no template": ("_commit: v1.0.0\nproject_name: toy\nstore: files\n", "_src_path is missing"),
    "an answer is missing": (
        "_commit: v1.0.0\n_src_path: {source}\nproject_name: toy\n",
        "must answer store",
    ),
    "the release is a number": (GOOD.replace("v1.0.0", "1.0"), "_commit is float"),
    "the release is a date": (GOOD.replace("v1.0.0", "2024-01-01"), "_commit is date"),
    "the release is no date": (
        GOOD.replace("v1.0.0", "2024-13-45"),
        "can't be read: month must be in 1..12; restore it from git",
    ),
    "the release is empty": (GOOD.replace("v1.0.0", "''"), "_commit is ''"),
    "the release is nothing": (GOOD.replace("v1.0.0", ""), "_commit is missing"),
    "the release is unknown": (
        GOOD.replace("v1.0.0", "v0.0.1"),
        "has no release 'v0.0.1' here; it has v3.0.0, ",
    ),
    "the release is an option": (
        GOOD.replace("v1.0.0", "--upload-pack=touch ran"),
        "_commit is '--upload-pack=touch ran'",
    ),
    "the release is a flag": (GOOD.replace("v1.0.0", "-x"), "_commit is '-x'"),
    "the release has a NUL": (GOOD.replace("v1.0.0", '"v1.0.0\\0"'), "_commit is 'v1.0.0\\x00'"),
    "the release has half a letter": (GOOD.replace("v1.0.0", '"\\ud800"'), "_commit is '\\ud800'"),
    "the release breaks the line": (GOOD.replace("v1.0.0", '"v1\\nv2"'), "_commit is 'v1\\nv2'"),
    "the release is a range": (
        GOOD.replace("v1.0.0", "v1.0.0..v2.0.0"),
        "has no release 'v1.0.0..v2.0.0' here; it has v3.0.0, ",
    ),
    "the release is long": (
        GOOD.replace("v1.0.0", "v" * 100_000),
        "is no file of at most 100000 bytes",
    ),
    "the template is a command": (
        GOOD.replace("{source}", "ext::sh -c 'touch ran'"),
        "it must be a folder, or the address of a git repository by https, ssh, git or file",
    ),
    "the template is a flag": (
        GOOD.replace("{source}", "-utouch ran"),
        "_src_path is '-utouch ran'",
    ),
    "the template is an option": (
        GOOD.replace("{source}", "--upload-pack=touch ran"),
        "_src_path is '--upload-pack=touch ran'",
    ),
    "the template has a NUL": (GOOD.replace("{source}", '"a\\0b"'), "_src_path is 'a\\x00b'"),
    "the template is a user's": (
        GOOD.replace("{source}", "~nobody-of-that-name/x"),
        "the template '~nobody-of-that-name/x' does not exist",
    ),
    "the template is empty": (GOOD.replace("{source}", "''"), "_src_path is ''"),
    "the template is long": (
        GOOD.replace("{source}", "x" * 100_000),
        "is no file of at most 100000 bytes",
    ),
    "the template is a list": (GOOD.replace("{source}", "[a, b]"), "_src_path is list"),
    "the template is a file": (GOOD.replace("{source}", "README.md"), "/README.md can't be read: "),
    "the template is a folder": (GOOD.replace("{source}", "src"), "/src can't be read: "),
    "an answer is a list": (
        GOOD.replace("store: files", "store: [files]"),
        "store must be one value, it is a list",
    ),
    "an answer is a mapping": (
        GOOD.replace("store: files", "store: {{a: b}}"),
        "store must be one value, it is a dict",
    ),
    "an answer is no choice": (
        GOOD.replace("store: files", "store: tape"),
        "store must be one of files, database; got 'tape'",
    ),
    "an answer is nothing": (GOOD.replace("store: files", "store:"), "must answer store"),
    "a tag of Python": (
        GOOD.replace("toy", "!!python/object/apply:os.system ['touch ran']"),
        "constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    "another tag of Python": (
        "!!python/object:pathlib.Path {{}}\n",
        "constructor for the tag 'tag:yaml.org,2002:python/object:pathlib.Path'",
    ),
    "an unknown tag": (
        GOOD.replace("toy", "!evil toy"),
        "in line 3: could not determine a constructor for the tag '!evil'",
    ),
    "two documents": (f"{GOOD}---\n{GOOD}", "but found another document"),
    "a tab": (
        GOOD.replace("store: files", "store:\tfiles\n\tx: y"),
        "in line 4: found character '\\t' that cannot start any token",
    ),
    "deep": (GOOD + "deep: " + "[" * 5000, "maximum recursion depth exceeded"),
    "deep and closed": (
        GOOD + "deep: " + "[" * 5000 + "]" * 5000,
        "maximum recursion depth exceeded",
    ),
    "laughs": (GOOD + LAUGHS.replace("{", "{{").replace("}", "}}"), "it holds an alias"),
    "merges": (GOOD + MERGES.replace("{", "{{").replace("}", "}}"), "it holds an alias"),
    "itself": (GOOD + "a: &a [*a]\n", "it holds an alias"),
    "a key that is a list": (GOOD + "? [a, b]\n: c\n", "found unhashable key"),
    "a number of many digits": (
        GOOD + "n: " + "9" * 10_000 + "\n",
        "Exceeds the limit (4300 digits)",
    ),
    "a NUL": (GOOD + "\0", "can't be read: "),
    "big": (GOOD + "x: " + "y" * 5_000_000 + "\n", "is no file of at most 100000 bytes"),
}
COMMANDS = (["update"], ["update", "--dry-run"], ["set", "store=database", "--project"], ["diff"],
            ["check"])  # fmt: skip


def refused(toy: Path, command: list[str], *, codes: tuple[int, ...] = (1,)) -> str:
    """The one line that a command prints which changes nothing."""
    before = snapshot(toy)
    done = cli(*command, toy)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in codes, done.output
    assert snapshot(toy) == before
    line = done.stdout if command == ["check"] else done.stderr
    assert line.count("\n") == 1 and done.output == line
    assert len(line) < 1000
    return line


@pytest.mark.parametrize("broken", ANSWERS)
def test_broken_answers_are_one_line(
    broken: str, toys: Toys, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, problem = ANSWERS[broken]
    text = text.format(source=f"git+{toys.template.as_uri()}")
    (toy / ".copier-answers.yml").write_text(text)
    commit(toy)
    monkeypatch.chdir(toy)
    for command in COMMANDS:
        # `check` looks at the release and at nothing else.
        codes = (0, 1, 4) if command == ["check"] else (1,)
        line = refused(toy, command, codes=codes)
        assert problem in line or command == ["check"]


def unreadable(file: Path) -> None:
    file.write_bytes(b"_commit: \xff\xfe\n")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "x").write_text("x\n")


def a_link(file: Path) -> None:
    file.rename(file.parent / "answers.yml")
    file.symlink_to("answers.yml")


def a_dead_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (unreadable, "can't be read: "),
        (a_folder, "is no file"),
        (a_link, "is no file"),
        (a_dead_link, "is no file"),
        (a_pipe, "is no file"),
    ],
)
def test_what_is_no_answers_file_is_one_line(
    change: Callable[[Path], None], problem: str, toy: Path
) -> None:
    change(toy / ".copier-answers.yml")
    if change is not a_pipe:
        commit(toy)
    for command in COMMANDS:
        assert problem in refused(toy, command)
