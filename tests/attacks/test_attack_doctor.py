"""Attack: what `doctor` runs in a project that a stranger has made."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from templates import commit, git
from toys import Toys

# The command as it is installed: `python -m` would itself import from the present folder.
COMMAND = (str(Path(sys.executable).with_name("mlscaffold")),)
CPU = """\
from types import SimpleNamespace as Namespace
__version__ = "2.13.0"
def no(): return False
cuda = Namespace(is_available=no)
backends = Namespace(mps=Namespace(is_available=no))
"""


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of a stranger, as it was cloned; git ignores `.venv` in it."""
    project = toys.make(tmp_path / "toy")
    with (project / ".gitignore").open("a") as ignored:
        ignored.write("/.venv/\n")
    commit(project)
    return project


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that says when it is run, where a project lies beside it."""
    trap = tmp_path / "trap"
    found = shlex.quote(json.dumps({"python": "3.11", "torch": "2.13.0", "device": "cpu"}))
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho {found}\n")
    trap.chmod(0o755)
    return trap


def doctor(
    project: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> dict[str, dict[str, str]]:
    """The findings, by subject."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("UV_PROJ")}
    done = subprocess.run(
        [*COMMAND, "doctor", str(project), "--json"],
        cwd=cwd or project,
        env=outside | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stderr == ""
    return {finding["subject"]: finding for finding in json.loads(done.stdout)}


def ran(project: Path) -> bool:
    """Whether anything of the stranger's was run, now or before."""
    return (project.parent / "ran").exists()


def environment(folder: Path, *, torch: str = CPU, **files: str) -> Path:
    """A virtual environment with files, and a small `torch`, in its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/*/site-packages")
    for name, text in {"torch.py": torch, **files}.items():
        (packages / name).parent.mkdir(exist_ok=True)
        (packages / name).write_text(text)
    return folder


def committed(project: Path, trap: Path) -> str:
    place(project / ".venv", trap)
    (project / ".gitignore").write_text("")
    commit(project)
    return f"git tracks {project}/.venv"


def forced(project: Path, trap: Path) -> str:
    place(project / ".venv", trap)
    git(project, "add", "--force", ".venv/bin/python")
    git(project, "commit", "--quiet", "--message=A stranger's")
    return f"git tracks {project}/.venv"


def packages_forced(project: Path, trap: Path) -> str:
    place(project / ".venv", trap)
    (project / ".venv" / "torch.py").write_text("")
    git(project, "add", "--force", ".venv/torch.py")
    git(project, "commit", "--quiet", "--message=A stranger's")
    return f"git tracks {project}/.venv"


def hidden(project: Path, trap: Path) -> str:
    committed(project, trap)
    (project / ".venv" / ".gitignore").write_text("*\n")
    return f"git tracks {project}/.venv"


def not_ignored(project: Path, trap: Path) -> str:
    place(project / ".venv", trap)
    (project / ".gitignore").write_text("")
    git(project, "commit", "--quiet", "--all", "--message=Ignore nothing")
    return f"git does not ignore {project}/.venv"


def linked_to_committed(project: Path, trap: Path) -> str:
    place(project / "env", trap)
    commit(project)
    (project / ".venv").symlink_to("env")
    (project / ".git" / "info").mkdir(exist_ok=True)
    (project / ".git" / "info" / "exclude").write_text(".venv\n")
    return f"git tracks {project}/env"


def link_committed(project: Path, trap: Path) -> str:
    place(project.parent / "env", trap)
    (project / ".venv").symlink_to("../env")
    git(project, "add", "--force", ".venv")
    git(project, "commit", "--quiet", "--message=A stranger's")
    return f"git tracks {project}/.venv"


def submodule(project: Path, trap: Path) -> str:
    other = project.parent / "other"
    place(other, trap)
    git(other, "init", "--quiet")
    commit(other)
    allow = ("-c", "protocol.file.allow=always")
    git(project, *allow, "submodule", "--quiet", "add", "--force", str(other), ".venv")
    commit(project)
    return f"git tracks {project}/.venv"


def no_repository(project: Path, trap: Path) -> str:
    place(project / ".venv", trap)
    (project / ".git").rename(project.parent / "git")
    reason = "not a git repository (or any of the parent directories): .git"
    return f"git rev-parse failed: fatal: {reason}"


def no_commit(project: Path, trap: Path) -> str:
    no_repository(project, trap)
    git(project, "init", "--quiet")
    return "git rev-parse failed: fatal: Needed a single revision"


def writable_by_anybody(project: Path, trap: Path) -> str:
    place(project / ".venv", trap)
    (project / ".venv").chmod(0o777)
    return f"others than you may write to {project}/.venv"


def place(folder: Path, trap: Path) -> None:
    """Makes an environment in the folder whose Python is the trap."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_bytes(trap.read_bytes())
    (folder / "bin" / "python").chmod(0o755)


@pytest.mark.parametrize(
    "attack",
    [
        committed,
        forced,
        packages_forced,
        hidden,
        not_ignored,
        linked_to_committed,
        link_committed,
        submodule,
        no_repository,
        no_commit,
        writable_by_anybody,
    ],
)
def test_an_environment_that_may_be_a_strangers_is_not_run(
    attack: Callable[[Path, Path], str], toy: Path, trap: Path
) -> None:
    reason = attack(toy, trap)
    found = doctor(toy)
    assert not ran(toy)
    assert (found["environment"]["state"], found["environment"]["detail"]) == (
        "broken",
        f"{toy}/.venv is not run: {reason}",
    )
    assert found["environment"]["fix"].endswith("make setup")
    assert not {"torch", "DVC remote"} & found.keys()


@pytest.mark.parametrize("setting", ["env", "./env/.", "", "linked/env"])
def test_a_setting_that_names_a_committed_environment_runs_nothing(
    setting: str, toy: Path, trap: Path
) -> None:
    place(toy / "env", trap)
    place(toy, trap)
    (toy / "linked").symlink_to(".")
    git(toy, "add", "--all", "--force")
    git(toy, "commit", "--quiet", "--message=A stranger's")
    found = doctor(toy, env={"UV_PROJECT_ENVIRONMENT": setting})
    assert not ran(toy)
    assert (found["environment"]["state"], found["environment"]["fix"]) == (
        "broken",
        "unset UV_PROJECT_ENVIRONMENT && make setup" if setting else "make setup",
    )


def test_another_users_environment_is_not_run(toy: Path, trap: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    place(toy / ".venv", trap)
    os.chown(toy / ".venv", 12345, 12345)
    found = doctor(toy)
    assert not ran(toy)
    assert found["environment"]["detail"] == (
        f"{toy}/.venv is not run: others than you may write to {toy}/.venv"
    )


def test_git_runs_nothing_that_the_project_names(toy: Path, trap: Path) -> None:
    environment(toy / ".venv")
    for name in ("fsmonitor", "hooksPath", "pager", "editor", "sshCommand", "askPass"):
        git(toy, "config", f"core.{name}", str(trap))
    for name in ("post-index-change", "post-checkout"):
        (toy / ".git" / "hooks").mkdir(exist_ok=True)
        (toy / ".git" / "hooks" / name).write_bytes(trap.read_bytes())
        (toy / ".git" / "hooks" / name).chmod(0o755)
    (toy / "README.md").write_text("changed\n")
    found = doctor(toy)
    assert not ran(toy)
    assert found["torch"]["detail"] == "2.13.0 on cpu"


def test_nothing_in_the_project_shadows_a_module(toy: Path, trap: Path) -> None:
    # As `uv sync` leaves it: the project is installed so that it can be edited.
    environment(toy / ".venv", **{"_toy.pth": f"{toy}/src\nimport pth_of_the_project\n"})
    (toy / ".dvc").mkdir()
    (toy / ".dvc" / "config").write_text("[core]\n    remote = storage\n")
    run_trap = f"import subprocess\nsubprocess.run([{str(trap)!r}])\n"
    for folder in (toy, toy / "src", toy / ".dvc"):
        for name in ("torch", "dvc", "json", "platform", "sitecustomize", "usercustomize"):
            (folder / f"{name}.py").write_text(run_trap)
        (folder / "pth_of_the_project.py").write_text(run_trap)
    (toy / "path").mkdir()
    (toy / "path" / "torch.py").write_text(run_trap)
    for cwd in (toy, toy / "src"):
        found = doctor(toy, cwd=cwd, env={"PYTHONPATH": str(toy / "path")})
        assert not ran(toy)
        assert found["torch"]["detail"] == "2.13.0 on cpu"
        assert found["DVC remote"]["state"] == "absent"


def test_what_the_projects_dvc_settings_name_is_not_asked_from_a_shared_environment(
    toy: Path, trap: Path
) -> None:
    run_trap = f"import subprocess\nsubprocess.run([{str(trap)!r}])\n"
    shared = environment(toy.parent / "shared", **{"dvc/cli.py": run_trap})
    (toy / ".dvc").mkdir()
    (toy / ".dvc" / "config").write_text("[core]\n    remote = storage\n")
    found = doctor(toy, env={"UV_PROJECT_ENVIRONMENT": str(shared)})
    assert not ran(toy)
    assert found["torch"]["state"] == "works"
    assert found["DVC remote"] == {
        "subject": "DVC remote",
        "state": "unknown",
        "detail": f"not asked: its settings may run commands, and {shared} was not made here",
        "fix": "unset UV_PROJECT_ENVIRONMENT && make setup",
    }


def python_is_a_folder(python: Path) -> None:
    python.mkdir()


def python_is_a_pipe(python: Path) -> None:
    os.mkfifo(python)


def python_is_no_program(python: Path) -> None:
    python.write_text("text")


def python_is_of_another_machine(python: Path) -> None:
    python.write_bytes(b"\x7fELF\x00\xff")
    python.chmod(0o755)


def python_prints(text: bytes) -> Callable[[Path], None]:
    def make(python: Path) -> None:
        python.with_name("printed").write_bytes(text)
        python.write_text(f"#!/bin/sh\ncat {python.with_name('printed')}\n")
        python.chmod(0o755)

    return make


@pytest.mark.parametrize(
    "make",
    [
        python_is_a_folder,
        python_is_a_pipe,
        python_is_no_program,
        python_is_of_another_machine,
        *map(
            python_prints,
            (b"", b"5", b'["torch"]', b"\xff\xfe", b"[" * 100_000, b'{"torch": 1}', b"null\n"),
        ),
    ],
)
def test_a_python_that_is_none_is_one_line(make: Callable[[Path], None], toy: Path) -> None:
    (toy / ".venv" / "bin").mkdir(parents=True)
    make(toy / ".venv" / "bin" / "python")
    found = doctor(toy)["environment"]
    assert found == {
        "subject": "environment",
        "state": "broken",
        "detail": f"{toy}/.venv/bin/python does not run",
        "fix": "make setup",
    }


RAISES = 'def raises(): raise RuntimeError("No CUDA GPUs\\nare available \\x1b[31m")\n'
WARNS = """\
def warns():
    import warnings
    warnings.warn("CUDA initialization: the driver is too old")
    return False
"""


@pytest.mark.parametrize(
    ("broken", "detail"),
    [
        (
            f"{RAISES}cuda.is_available = raises\n",
            "RuntimeError: No CUDA GPUs are available \\x1b[31m",
        ),
        (
            f"{RAISES}cuda = Namespace(is_available=lambda: True, get_device_name=raises)\n",
            "RuntimeError: No CUDA GPUs are available \\x1b[31m",
        ),
        (
            f"{WARNS}cuda.is_available = warns\n",
            "UserWarning: CUDA initialization: the driver is too old",
        ),
    ],
)
def test_a_broken_driver_is_one_line(broken: str, detail: str, toy: Path) -> None:
    environment(toy / ".venv", torch=CPU + broken)
    done = subprocess.run([*COMMAND, "doctor"], cwd=toy, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert (
        f"\nbroken    torch: 2.13.0 finds no device: {detail}\n"
        "          fix: nvidia-smi, and if that fails: reinstall the NVIDIA driver\n"
    ) in done.stdout


def test_a_torch_that_can_not_be_imported_is_one_line(toy: Path) -> None:
    environment(toy / ".venv", torch="raise ImportError('libcudart.so:\\nno such file')\n")
    found = doctor(toy)["environment"]
    assert (found["state"], found["fix"]) == ("broken", "make setup")
    assert found["detail"] == "ImportError: libcudart.so: no such file"


def test_the_name_of_a_remote_is_no_command(toy: Path) -> None:
    # Its DVC knows the remote, and can't list it.
    dvc = """\
import sys
def main():
    print("x; touch ran")
    return "list-url" in sys.argv
"""
    environment(toy / ".venv", **{"dvc/cli.py": dvc})
    found = doctor(toy)["DVC remote"]
    assert found["fix"] == ("dvc push, and if that fails: dvc remote modify 'x; touch ran' url URL")


@pytest.mark.parametrize("uri", ["http://[", "http://127.0.0.1:x", "http://a b", "http://:0/\n"])
def test_an_address_that_is_none_is_one_line(uri: str, toy: Path) -> None:
    found = doctor(toy, env={"STORE_URI": uri})["store"]
    assert found["state"] == "broken"
    assert found["fix"] == "unset STORE_URI, or start the server that it names"
