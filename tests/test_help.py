"""What the commands say of themselves, and what a shell completes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("new", "options", "update", "set", "add", "diff", "adopt", "check", "doctor")
PROGRAM = Path(sys.executable).with_name("mlscaffold")


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The finished command, as its user starts it."""
    return subprocess.run(
        [PROGRAM, *arguments], env=os.environ | env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("command", [(), *((one,) for one in COMMANDS)])
@pytest.mark.parametrize("columns", ["40", "80"])
def test_help_is_whole_at_any_width(command: tuple[str, ...], columns: str) -> None:
    done = run(*command, "--help", COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert "...\n" not in done.stdout.split("\n\n", 1)[1]
    assert run(*command, "-h", COLUMNS=columns).stdout == done.stdout


def test_the_list_of_commands_holds_their_whole_first_lines() -> None:
    words = run("--help", COLUMNS="80").stdout.split()
    for command in COMMANDS:
        first = run(command, "--help", COLUMNS="500").stdout.splitlines()[2].split()
        assert " ".join(first) in " ".join(words)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str, tmp_path: Path) -> None:
    env = {"SHELL": f"/bin/{shell}", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = run("--show-completion", shell, **env)
    assert shown.returncode == 0, shown.stderr
    assert "_MLSCAFFOLD_COMPLETE" in shown.stdout
    installed = run("--install-completion", shell, HOME=str(tmp_path), **env)
    assert installed.returncode == 0, installed.stderr
    assert any(path.is_file() for path in tmp_path.rglob("*mlscaffold*")), installed.stdout


def test_a_shell_completes_presets() -> None:
    asked = {"COMP_WORDS": "mlscaffold new toy --preset m", "COMP_CWORD": "4"}
    done = run(_MLSCAFFOLD_COMPLETE="complete_bash", **asked)
    assert done.stdout.split() == ["minimal"]
    asked = {"COMP_WORDS": "mlscaffold u", "COMP_CWORD": "1"}
    done = run(_MLSCAFFOLD_COMPLETE="complete_bash", **asked)
    assert done.stdout.split() == ["update"]
