"""The commands, by what they print and the code they exit with."""

import fcntl
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from pseudo_terminal import Terminal
from templates import commit, commit_template

COMMAND = (sys.executable, "-m", "mlscaffold")


def mlscaffold(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The finished command, started without a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def fails(*arguments: str, cwd: Path, code: int) -> str:
    """The one line on stderr of a command that exits with `code` and leaves nothing behind."""
    before = sorted(cwd.iterdir())
    done = mlscaffold(*arguments, cwd=cwd)
    assert (done.returncode, done.stdout) == (code, "")
    assert sorted(cwd.iterdir()) == before
    assert done.stderr.count("\n") == 1
    return done.stderr.rstrip("\n")


def test_new_prints_the_next_commands_of_its_template(tmp_path: Path) -> None:
    components = "_next: [make setup, make repro]\n"
    template = commit_template(tmp_path / "fork", tag="v1.2.3", components=components)
    done = mlscaffold("new", "my toy", "--template", str(template), "--no-lock", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"Made my toy from git+{template.as_uri()} v1.2.3: 2 files.\n"
        "\nNext:\n  cd 'my toy'\n  make setup\n  make repro\n"
    )
    assert (tmp_path / "my toy" / "name.txt").read_text() == "my-toy\n"


def test_new_from_a_folder_that_is_gone_names_the_whole_path(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = [*COMMAND, "new", str(tmp_path / "toy"), "--defaults", "--no-lock"]
    script = f"cd {gone}; rmdir {gone}; exec {shlex.join(command)}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\n  cd {tmp_path}/toy\n" in done.stdout


def test_new_as_json_is_one_document(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", tag="v1.2.3")
    done = mlscaffold(
        "new", "toy", f"--template={template}", "--json", "--no-lock", "--no-git", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "path": str(tmp_path / "toy"),
        "template": f"git+{template.as_uri()}",
        "release": "v1.2.3",
        "answers": {"project_name": "toy", "size": 3},
        "files": [".copier-answers.yml", "name.txt"],
        "commit": "",
        "repository": "",
        "unlocked_because": "",
        "dry_run": False,
        "next": ["cd toy"],
    }
    assert not (tmp_path / "toy" / ".git").exists()


def test_a_dry_run_lists_the_files_and_writes_nothing(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    done = mlscaffold("new", "deep/toy", f"--template={template}", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ".copier-answers.yml\nname.txt\n")
    assert [path.name for path in tmp_path.iterdir()] == ["fork"]


def test_new_makes_the_parents_of_its_destination(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    done = mlscaffold("new", "deep/er/toy", f"--template={template}", "--no-lock", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "  cd deep/er/toy\n" in done.stdout
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["toy"]


def test_new_uses_an_empty_folder_and_no_other(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    (tmp_path / "empty").mkdir()
    done = mlscaffold("new", "empty", f"--template={template}", "--no-lock", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert fails("new", "empty", f"--template={template}", cwd=tmp_path, code=1) == (
        f"error: {tmp_path}/empty exists and is not an empty folder: give another DEST"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-d", "size=big"], "size must be int, got 'big'"),
        (["-d", "size=4"], "size must be one of 3, 5; got 4"),
        (["-d", "colour=red"], "'colour' is no question; there are project_name, size"),
        (["-d", "size"], "an answer must be KEY=VALUE, got 'size'"),
        (["-d", "project_name=a b"], "project_name: must be one word; got 'a b'"),
        (["--preset", "huge"], "--preset must be one of standard; got 'huge'"),
    ],
)  # fmt: skip
def test_a_bad_value_ends_in_one_line_and_2(
    arguments: list[str], line: str, tmp_path: Path
) -> None:
    template = commit_template(tmp_path / "fork")
    said = fails("new", "toy", f"--template={template}", *arguments, cwd=tmp_path, code=2)
    assert said == f"error: {line}"


def test_a_template_that_is_not_there_ends_in_one_line_and_1(tmp_path: Path) -> None:
    said = fails("new", "toy", "--template=./nowhere", cwd=tmp_path, code=1)
    assert said == "error: the template './nowhere' does not exist"


def test_a_release_that_is_not_there_ends_in_one_line_and_1(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", tag="v1.2.3")
    said = fails("new", "toy", f"--template={template}", "--ref=v9", cwd=tmp_path, code=1)
    assert said == f"error: git+{template.as_uri()} has no release 'v9' here; it has v1.2.3"


def test_a_template_that_fails_leaves_nothing(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", files={"bad.txt.jinja": "{{ 1 / 0 }}"})
    said = fails("new", "deep/toy", f"--template={template}", "--no-lock", cwd=tmp_path, code=1)
    assert said == "error: the template can't be rendered: division by zero"


def test_a_template_that_wants_to_run_commands_is_refused(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    with (template / "copier.yml").open("a") as copier_yml:
        copier_yml.write("_tasks: [touch ../ran]\n")
    commit(template)
    said = fails("new", "toy", f"--template={template}", "--no-lock", cwd=tmp_path, code=1)
    assert said == (
        "error: the template can't be rendered: Template uses potentially unsafe feature: tasks; "
        "--trust allows that"
    )


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", files={"big.txt.jinja": "{{ 'x' * 5000000 }}"})
    # No file may grow past 2 MB: the failing write is the project's own, as on a full disk.
    limited = ["sh", "-c", 'ulimit -f 4000; exec "$@"', "sh", *COMMAND]
    done = subprocess.run(
        [*limited, "new", "toy", f"--template={template}", "--no-lock"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/toy can't be written: File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["fork"]


def test_no_room_for_a_temporary_file_is_one_line(tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *COMMAND, "new", "toy"]
    done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_nothing(number: signal.Signals, code: int, tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    slow = tmp_path / "bin" / "uv"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/locking\nexec sleep 60\n")
    slow.chmod(0o755)
    env = os.environ | {"PATH": f"{slow.parent}:{os.environ['PATH']}"}
    command = [*COMMAND, "new", "toy", f"--template={template}", "--lock"]
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "locking").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "fork", "locking"]


def test_a_lock_that_fails_costs_one_line(tmp_path: Path) -> None:
    pyproject = '[project]\nname = "toy"\nversion = "1"\ndependencies = ["toy==2"]\n'
    template = commit_template(tmp_path / "fork", files={"pyproject.toml": pyproject})
    done = mlscaffold("new", "toy", f"--template={template}", "--lock", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("No uv.lock: ")]
    assert len(lines) == 1
    assert lines[0].startswith("No uv.lock: uv lock failed: ")
    assert lines[0].endswith(". Make it later with: uv lock")


def test_on_a_terminal_it_asks_until_the_answer_does(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    command = ("new", "toy", f"--template={template}", "--no-lock")
    terminal = Terminal(*command, cwd=tmp_path, TERM="dumb")
    # Typed ahead.
    terminal.type("a b\nmy-name\n5\n\n")
    assert terminal.end() == 0
    assert "The name [toy]: " in terminal.seen
    assert "project_name: must be one word; got 'a b'" in terminal.seen
    assert "How big [3]: " in terminal.seen
    answers = (tmp_path / "toy" / ".copier-answers.yml").read_text()
    assert "project_name: my-name\nsize: 5\n" in answers


def test_an_interrupt_at_a_question_leaves_nothing(tmp_path: Path) -> None:
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "new", "toy"],
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    seen = b""
    while b"[toy]: " not in seen:
        seen += os.read(keyboard, 1000)
    # Python can miss the first Ctrl-C while it begins to read a line; a person presses it again.
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        os.write(keyboard, b"\x03")
        time.sleep(0.2)
    assert process.wait(timeout=1) == 130
    os.close(terminal)
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_exits_2(tmp_path: Path) -> None:
    for arguments in (["new"], ["new", "-rf"], ["nope"], ["new", "a", "b"]):
        assert mlscaffold(*arguments, cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_an_error_as_json_is_one_document_too(tmp_path: Path) -> None:
    done = mlscaffold("new", "toy", "--json", "-d", "license=gpl", cwd=tmp_path)
    message = "license must be one of mit, apache-2.0, bsd-3-clause, proprietary; got 'gpl'"
    assert (done.returncode, json.loads(done.stdout)) == (2, {"error": message})
    assert done.stderr == f"error: {message}\n"


def test_options_prints_every_question(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", tag="v1.2.3")
    done = mlscaffold("options", f"--template={template}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "project_name [toy]\n  The name\n"
        "size [3]\n  How big\n    3\n    5\n"
        "\npresets\n    standard      every default\n"
        f"release: v1.2.3 of git+{template.as_uri()}\n"
    )


def test_options_shows_what_each_choice_brings(tmp_path: Path) -> None:
    done = mlscaffold("options", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "tracking [mlflow]\n"
        "  Where runs are recorded and models are registered\n"
        "    mlflow        MLflow: a file on this machine, or a server\n"
        "                  files: .env.example, configs/tracking/mlflow.yaml, "
    ) in done.stdout
    assert "                  commands: make pipeline, make pipeline-local\n" in done.stdout
    assert (
        "\npresets\n"
        "    minimal       tracking=none serving=none ci=none\n"
        "    standard      every default\n"
        "    full          distributed=ray orchestration=kubeflow\n"
    ) in done.stdout


def test_options_as_json_holds_the_same(tmp_path: Path) -> None:
    done = mlscaffold("options", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    questions = {question["name"]: question for question in document["questions"]}
    assert list(questions) == [
        *("project_name", "package_name", "description", "author_name", "author_email"),
        *("license", "python_version", "modality", "pretrained", "tracking", "serving"),
        *("monitoring", "distributed", "orchestration", "deployment", "ci", "torch_backend"),
    ]
    for name, components in document["components"].items():
        choices = {choice["value"]: choice["help"] for choice in questions[name]["choices"]}
        assert choices.keys() == components.keys()
        assert all(choices.values())
    assert "mlflow" in document["components"]["tracking"]["mlflow"]["dependencies"]
    assert document["presets"]["minimal"] == {
        "tracking": "none",
        "serving": "none",
        "ci": "none",
    }


def test_a_preset_gives_way_to_an_answer(tmp_path: Path) -> None:
    arguments = ("new", "toy", "--preset=minimal", "-d", "ci=github", "--no-git", "--no-lock")
    made = json.loads(mlscaffold(*arguments, "--json", cwd=tmp_path).stdout)
    assert (made["answers"]["serving"], made["answers"]["ci"]) == ("none", "github")


def test_help_lists_the_commands(tmp_path: Path) -> None:
    done = mlscaffold("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("new", "options", "check", "doctor"):
        assert f"\n  {command} " in done.stdout


HEAVY = {"asyncio", "copier", "jinja2", "plumbum", "prompt_toolkit", "questionary"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["new", "--help"], set()),
        (["options"], set()),
        (
            ["new", "toy", "--defaults", "--no-git", "--no-lock"],
            {"copier", "jinja2", "plumbum"},
        ),
    ],
)
def test_a_command_imports_only_what_it_uses(
    arguments: list[str], allowed: set[str], tmp_path: Path
) -> None:
    script = (
        "import sys\nfrom mlscaffold.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout
    assert HEAVY & {*done.stderr.splitlines()[-1].split()} == allowed
