"""Attack: texts that a terminal would obey or can't print, and streams that are not there."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from pseudo_terminal import Terminal
from templates import COPIER_YML, commit, commit_template
from toys import Toys, committed

COMMAND = (sys.executable, "-m", "mlscaffold")
RED = "\x1b[31mred\x07"
BACKWARDS = "\u202egpj.exe"
UNDECODABLE = os.fsdecode(b"\xff\xfe")
HOSTILE = (RED, BACKWARDS, "two\nlines", "c1 \x9b31m", UNDECODABLE)
TERMINALS = [{}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]
OF_A_FOLDER = f"{RED}{BACKWARDS}{UNDECODABLE}"


def shown(name: str, env: Mapping[str, str]) -> str:
    """The name as it has to be printed; where Python reads names as ASCII, other bytes apart."""
    if env.get("PYTHONUTF8") == "0":
        name = os.fsencode(name).decode("ascii", errors="surrogateescape")
    escaped = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in name)
    return ascii(escaped)[1:-1].replace("\\\\", "\\") if "PYTHONIOENCODING" in env else escaped


def mlscaffold(
    *arguments: str | Path, cwd: Path, code: int | None = None, env: Mapping[str, str] = {}
) -> tuple[str, str]:
    """What the command printed on stdout and stderr, decoded as it comes; it may not trace back."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=os.environ | dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=200,
    )
    printed = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in printed[1], printed[1]
    assert code in (None, done.returncode), printed
    return printed


def on_a_terminal(
    *arguments: str | Path, cwd: Path, typed: bytes = b"", env: Mapping[str, str] = {}
) -> tuple[int, str]:
    """The exit code of a command whose three streams are a terminal, and what that got to see."""
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=os.environ | dict(env),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    os.write(keyboard, typed)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            seen += os.read(keyboard, 65536)
        except OSError:  # nobody is there any more
            break
    os.close(keyboard)
    return process.wait(timeout=10), seen.decode(errors="replace").replace("\r\n", "\n")


@pytest.mark.parametrize("env", TERMINALS)
def test_a_dry_run_escapes_the_names_of_a_template(env: dict[str, str], tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", files=dict.fromkeys((*HOSTILE, "ü"), "text\n"))
    out, err = mlscaffold(
        "new", "toy", f"--template={template}", "--dry-run", cwd=tmp_path, code=0, env=env
    )
    assert err == ""
    names = {".copier-answers.yml", "name.txt", *(f"'{shown(name, env)}'" for name in HOSTILE)}
    umlaut = shown("ü", env) if "PYTHONUTF8" not in env else f"'{shown('ü', env)}'"
    assert set(out.splitlines()) == names | {umlaut}


@pytest.mark.parametrize("env", TERMINALS)
def test_every_command_escapes_the_path_of_a_project(
    env: dict[str, str], toys: Toys, tmp_path: Path
) -> None:
    project = toys.make(tmp_path / OF_A_FOLDER)
    name = shown(OF_A_FOLDER, env)
    out, _ = mlscaffold("check", project, cwd=tmp_path, code=4, env=env)
    assert out == f"{tmp_path}/{name}: outdated: v1.0.0 is followed by v3.0.0\n"
    out, _ = mlscaffold(
        "update", project, "--to=v1.1.0", "--dry-run", cwd=tmp_path, code=0, env=env
    )
    assert f"\n{tmp_path}/{name}: v1.0.0 to v1.1.0: " in out
    out, _ = mlscaffold("update", project, project / "no", "--to=v1.1.0", cwd=tmp_path, env=env)
    assert f"{tmp_path}/{name}: v1.0.0 to v1.1.0: " in out
    assert f"{tmp_path}/{name}/no: skipped: it does not exist\n" in out
    _, err = mlscaffold("update", project, cwd=tmp_path, code=1, env=env)
    assert err.startswith(f"error: {tmp_path}/{name} has changes that are not committed: ")
    assert err.count("\n") == 1
    for verb in ("diff", "doctor"):
        _, err = mlscaffold(verb, project / "no", cwd=tmp_path, code=1, env=env)
        assert err == f"error: {tmp_path}/{name}/no does not exist\n"


def test_conflicts_and_what_is_left_out_can_forge_no_line(tmp_path: Path) -> None:
    files = {f"{name} {kind}": "one\n" for name in HOSTILE for kind in ("both", "mine")}
    template = commit_template(tmp_path / "fork", tag="v1.0.0", files=files)
    mlscaffold("new", "toy", f"--template={template}", "--no-lock", cwd=tmp_path, code=0)
    for name in HOSTILE:
        (template / "template" / f"{name} both").write_text("template\n")
        (template / "template" / f"{name} new").write_text("template\n")
        (tmp_path / "toy" / f"{name} both").write_text("user\n")
    commit(template, tag="v1.1.0")
    (tmp_path / "toy" / ".gitignore").write_text("* new\n")
    committed(tmp_path / "toy")
    out, _ = mlscaffold("update", "toy", cwd=tmp_path, code=3)
    for name in HOSTILE:
        assert f"\n  left out  '{shown(name, {})} new': git ignores it here\n" in out
        assert f"\n  conflict  '{shown(name, {})} both': " in out
    assert out.count("\n  conflict  ") == out.count("\n  left out  ") == len(HOSTILE)


def test_texts_of_a_template_are_escaped(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    help = r'help: "\e[2J\u202ehow\nbig\x9b"'
    (template / "copier.yml").write_text(
        COPIER_YML.replace("help: How big", help)
        .replace("choices: [3, 5]", r'choices: {"\e[31mthree": 3, "\x9b5": 5}')
        .replace("_sub", 'nick:\n  default: "\\e[31mtoy"\n_sub')
    )
    commit(template, tag="v1.0.0")
    out, _ = mlscaffold("options", f"--template={template}", cwd=tmp_path, code=0)
    assert "\nnick [\\x1b[31mtoy]\n" in out
    assert "  \\x1b[2J\\u202ehow\n  big\\x9b\n" in out
    assert "    3             \\x1b[31mthree\n" in out
    command = ("new", "toy", f"--template={template}", "--no-lock")
    typed = b"name\n\xff\n5\n\n\n"
    code, seen = on_a_terminal(*command, cwd=tmp_path, typed=typed, env={"TERM": "dumb"})
    assert code == 0, seen
    assert "  1) 3             \\x1b[31mthree\n" in seen
    assert "\\x1b[2J\\u202ehow\nbig\\x9b [3]: " in seen
    assert "size must be int, got '\\udcff'" in seen
    assert "nick [\\x1b[31mtoy]: " in seen


@pytest.mark.parametrize(
    ("typed", "env"),
    [
        (b"\xff\nname\n5\n\n", {}),
        ("ü\nname\n5\n\n".encode(), {"PYTHONIOENCODING": "ascii"}),
        ("ü\nname\n5\n\n".encode(), {"LC_ALL": "C"}),
    ],
)
def test_what_can_not_be_decoded_is_asked_again(
    typed: bytes, env: dict[str, str], tmp_path: Path
) -> None:
    template = commit_template(tmp_path / "fork")
    command = ("new", "toy", f"--template={template}", "--no-lock", "--no-git")
    code, seen = on_a_terminal(*command, cwd=tmp_path, typed=typed, env={"TERM": "dumb", **env})
    assert code == 0, seen
    assert "project_name: must be one word" in seen
    assert "project_name: name\n" in (tmp_path / "toy" / ".copier-answers.yml").read_text()


@pytest.mark.parametrize("value", HOSTILE)
def test_an_argument_that_can_not_be_printed_is_one_line(value: str, tmp_path: Path) -> None:
    for argument in (f"license=a{value}b", f"{value}=x", value):
        out, err = mlscaffold("new", "toy", "-d", argument, cwd=tmp_path, code=2)
        assert (out, err.count("\n"), err[:-1].isprintable()) == ("", 1, True), err
    _, err = mlscaffold("diff", ".", value, cwd=tmp_path, code=2)
    assert all(line.isprintable() for line in err.split("\n")), err


def test_a_diff_is_raw_in_a_pipe_and_escaped_on_a_terminal(toys: Toys, tmp_path: Path) -> None:
    project = toys.make(tmp_path / "toy")
    readme = project / "README.md"
    mine = "\x1b[31mred\x1b[0m \u202e\tü\x9b\r\n".encode() + b"\xff\n"
    readme.write_bytes(readme.read_bytes().replace(b"readme line 3\n", mine))
    for env in TERMINALS:
        done = subprocess.run(
            [*COMMAND, "diff"], cwd=project, env=os.environ | env, capture_output=True, check=True
        )
        there = subprocess.run(
            ["git", "apply", "--reverse", "-"], cwd=project, input=done.stdout, capture_output=True
        )
        assert there.returncode == 0, there.stderr
        assert b"readme line 3\n" in readme.read_bytes()
        subprocess.run(["git", "apply", "-"], cwd=project, input=done.stdout, check=True)
        assert mine in readme.read_bytes()
    code, seen = on_a_terminal("diff", cwd=project)
    assert code == 0
    assert "+\\x1b[31mred\\x1b[0m \\u202e\tü\\x9b\\r\n+\\udcff\n" in seen


@pytest.mark.parametrize(
    "env", [{"PYTHONIOENCODING": "ascii"}, {"TERM": "dumb"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]
)
def test_progress_on_a_poor_terminal_is_ascii(env: dict[str, str], tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    code, seen = on_a_terminal(
        "new", "toy", f"--template={template}", "--no-lock", "--defaults", cwd=tmp_path, env=env
    )
    assert code == 0
    assert seen.isascii() and "\\u" not in seen


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", ">&- 2>&- <&-"])
def test_a_closed_stream_changes_nothing_else(closed: str, toys: Toys, tmp_path: Path) -> None:
    project = toys.make(tmp_path / "toy")
    template = f"--template={toys.template}"
    for arguments, code in (
        (["update", "--to=v1.1.0", "--commit"], 0),
        (["diff"], 0),
        (["new", "../new", template, "--no-lock"], 0),
        (["new", "../new", template], 1),
    ):
        script = f'exec "$@" {closed}'
        done = subprocess.run(
            ["sh", "-c", script, "sh", *COMMAND, *arguments], cwd=project, capture_output=True
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False), done.stderr
    assert (tmp_path / "new" / "README.md").is_file()


def test_a_reader_that_has_gone_ends_the_command_quietly(toys: Toys, tmp_path: Path) -> None:
    project = toys.make(tmp_path / "toy")
    (project / "README.md").write_text("mine\n")
    committed(project)
    template = f"--template={toys.template}"
    for unbuffered, arguments in (
        ("1", ["diff"]),
        ("1", ["check", "--json"]),
        ("1", ["options", template]),
        ("", ["diff"]),
        ("", ["options", template]),
        ("", ["doctor"]),
        ("", ["new", "../new", template, "--dry-run"]),
        ("", ["update", "--to=v1.1.0"]),
    ):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=project,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=writing,
            stderr=subprocess.PIPE,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b""), arguments
    assert "main improved 5" in (project / "src" / "main.py").read_text()


def test_an_output_that_can_not_be_written_is_one_line(toys: Toys, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        env = os.environ | {"PYTHONUNBUFFERED": ""}
        command = [*COMMAND, "options", f"--template={toys.template}"]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (
        1,
        "error: the output can't be written: No space left on device\n",
    )


@pytest.mark.parametrize("env", [{}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}])
def test_a_menu_shows_texts_of_a_template_escaped(env: dict[str, str], tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    (template / "copier.yml").write_text(
        COPIER_YML.replace("help: How big", r'help: "\e[2J\u202ehow\nbig\x9b"').replace(
            "choices: [3, 5]", r'choices: {"\e[31mthree": 3, "\u202efive": 5}'
        )
    )
    commit(template)
    terminal = Terminal("new", "toy", f"--template={template}", "--no-lock", cwd=tmp_path, **env)
    terminal.see("The name [toy]: ")
    terminal.type("\r")
    terminal.see("\\x1b[2J\\u202ehow\\nbig\\x9b")
    terminal.see("\\x1b[31mthree")
    terminal.see("\\u202efive")
    terminal.type("2\r")
    terminal.see("Write it? [Y/n]: ")
    terminal.type("\r")
    assert terminal.end() == 0, terminal.seen
    assert "size: 5\n" in (tmp_path / "toy" / ".copier-answers.yml").read_text()
    assert "\x1b[2J\u202e" not in terminal.seen and "Traceback" not in terminal.seen
