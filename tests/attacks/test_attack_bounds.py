"""Templates that attack: they never end, or take all there is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hostile import MIB, mlscaffold, template_of
from toys import cli

BOMB = "_a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"_{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}, "
    f"*{before}, *{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
LOOP = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}"
BIG = "{{ 'x' * 10 ** 10 }}"
REGEX = "{{ ('a' * 40 ~ '!') | regex_search('(a|a)+$') }}"
MANY = "{% yield i from range(90000) %}{{ i }}{% endyield %}"
TIME = "it takes more than 2 s; MLSCAFFOLD_TEMPLATE_TIMEOUT_S sets another bound"
MEMORY = "it takes more than 300 MiB of memory; MLSCAFFOLD_TEMPLATE_MEMORY_MIB sets another bound"
DISK = "it takes more than 5 MiB on the disk; MLSCAFFOLD_TEMPLATE_DISK_MIB sets another bound"
TIMEOUT = {"MLSCAFFOLD_TEMPLATE_TIMEOUT_S": "2"}
ROOM = {"MLSCAFFOLD_TEMPLATE_MEMORY_MIB": "300", "MLSCAFFOLD_TEMPLATE_DISK_MIB": "5"}


def default(text: str) -> str:
    return f'a:\n  type: str\n  default: "{text}"\n'


ENDLESS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "loop in a file": ("", {"a.jinja": LOOP}),
    "loop in a name": ("", {LOOP + "a": ""}),
    "loop in a default": (default(LOOP), {}),
    "loop in a condition": (f'a:\n  type: str\n  when: "{LOOP}"\n', {}),
    "loop in a validator": (f'a:\n  type: str\n  default: x\n  validator: "{LOOP}"\n', {}),
    "loop in an exclusion": (f'_exclude: ["{LOOP}"]\n', {}),
    "regex in a file": ("", {"a.jinja": REGEX}),
    "regex in a validator": (f'a:\n  type: str\n  default: x\n  validator: "{REGEX}"\n', {}),
    "power in a file": ("", {"a.jinja": "{{ 7 ** (7 ** 9) }}"}),
}
HUGE: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "text in a file": ("", {"a.jinja": BIG}),
    "text in a name": ("", {BIG: ""}),
    "text in a default": (default(BIG), {}),
    "aliases in a help": (BOMB + "a:\n  type: str\n  help: *i\n", {}),
    "file of a hundred GB": ("", {"a.jinja": "{% for a in range(99999) %}{{ 'x' * 10 ** 6 }}"
                                  "{% endfor %}"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_template_ends_in_time(kind: str, tmp_path: Path) -> None:
    _refuses(*ENDLESS[kind], reason=TIME, env=TIMEOUT, cwd=tmp_path)


@pytest.mark.parametrize("kind", HUGE)
def test_a_template_takes_no_more_than_its_memory(kind: str, tmp_path: Path) -> None:
    _refuses(*HUGE[kind], reason=MEMORY, env=ROOM, cwd=tmp_path)


@pytest.mark.parametrize("files", [{f"{MANY}.txt": "x" * MIB}, {f"{MANY}/a": ""}])
def test_a_template_takes_no_more_than_its_disk(files: Mapping[str, str], tmp_path: Path) -> None:
    _refuses("", files, reason=DISK, env=ROOM, cwd=tmp_path)


def _refuses(
    questions: str, files: Mapping[str, str], *, reason: str, env: Mapping[str, str], cwd: Path
) -> None:
    """Asserts that `new` of such a template ends in the one line, and leaves nothing behind."""
    template = template_of(cwd / "fork", files, questions=questions)
    scratch = cwd / "scratch"
    scratch.mkdir()
    command = ("new", "toy", f"--template={template}", "--no-lock")
    done = mlscaffold(*command, cwd=cwd, env={**env, "TMPDIR": str(scratch)})
    line = f"error: the template can't be rendered: {reason}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)
    assert sorted(path.name for path in cwd.iterdir()) == ["fork", "scratch"]
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_the_render(number: signal.Signals, code: int, tmp_path: Path) -> None:
    template = template_of(tmp_path / "fork", {"a.jinja": LOOP})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "mlscaffold", "new", "toy", f"--template={template}"]
    env = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (rendering := list(scratch.glob("*/checkouts/*/copier.yml"))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=20) == code
    finally:
        process.kill()
    assert not any(path.exists() for path in rendering)
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fork", "scratch"]
    assert _processes_with(f"TMPDIR={scratch}") == []


def _processes_with(variable: str) -> list[str]:
    """The ids of the processes that were started with this variable."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if variable.encode() in environ.read_bytes().split(b"\0"):
                found.append(environ.parent.name)
    return found


def test_a_template_may_make_folders_of_any_depth(tmp_path: Path) -> None:
    folders = "{% yield i from range(1, 5) %}{{ 'a\\x2f' * 400 * i }}b{% endyield %}"
    template = template_of(tmp_path / "fork", {folders: "text\n"})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = ("new", "toy", f"--template={template}", "--no-lock", "--dry-run")
    done = mlscaffold(*command, cwd=tmp_path, env={"TMPDIR": str(scratch)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "a/" * 1600 + "b" in done.stdout.splitlines()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "long", "9" * 20])
def test_a_bound_that_is_none_is_one_line(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = template_of(tmp_path / "fork")
    monkeypatch.setenv("MLSCAFFOLD_TEMPLATE_MEMORY_MIB", value)
    done = cli("new", tmp_path / "toy", f"--template={template}", "--no-lock")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: MLSCAFFOLD_TEMPLATE_MEMORY_MIB must be a whole number > 0, got {value!r}\n"
    )


@pytest.mark.parametrize(
    "files",
    [
        {"a.jinja": "{% include 'template/a.jinja' %}"},
        {"a.jinja": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
        {"a.jinja": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}"},
        {"a.jinja": "{{ range(10 ** 9) | list }}"},
    ],
)
def test_a_template_that_fails_within_its_bounds_is_one_line(
    files: Mapping[str, str], tmp_path: Path
) -> None:
    _fails("", files, tmp_path)


@pytest.mark.parametrize(
    "questions",
    [
        "a: " + "[" * 100_000 + "\n",
        "a: " + "[" * 100_000 + "]" * 100_000 + "\n",
        default("{{ 1 / 0 }}"),
        default("{{ range(10 ** 9) | list }}"),
        default("{{ self.a }}{{ cycler() }}"),
        "self:\n  type: str\n  default: x\na:\n  type: str\n  default: '{{ self() }}'\n",
        "a:\n  type: str\n  choices: 5\n",
        "a:\n  type: str\n  choices: [[]]\n",
        "a:\n  type: str\n  choices: {x: {y: z}}\n",
        "a:\n  type: [str]\n",
        "a: !!binary x\n",
        "? [a]\n: b\n",
        "a: 2020-99-99\n",
        "a: " + "1" * 5000 + "\n",
        "- a\n",
        "a: *b\n",
        "a:\n  type: int\n  default: 2020-99-99x\n",
        "a:\n  type: int\n  default: '" + "1" * 5000 + "'\n",
        "a:\n  type: int\n  default: '" + "[" * 5000 + "'\n",
    ],
)
def test_questions_that_make_no_sense_are_one_line(questions: str, tmp_path: Path) -> None:
    _fails(questions, {}, tmp_path)


def _fails(questions: str, files: Mapping[str, str], cwd: Path) -> None:
    template = template_of(cwd / "fork", files, questions=questions)
    done = mlscaffold("new", "toy", f"--template={template}", "--no-lock", cwd=cwd)
    assert (done.returncode in {1, 2}, done.stdout, done.stderr.count("\n")) == (True, "", 1)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert [path.name for path in cwd.iterdir()] == ["fork"]
