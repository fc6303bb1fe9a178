"""What tests share: rendered projects, one environment for all of them, commands run in them."""

import fcntl
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest
from choices import COVERING
from served import BUSY, KEY, KEYED, MODALITIES, OBJECTIVES, Urls, serving
from toys import Toys, open_toys

from demo import OF_MAKE, UV_CONFIG
from mlscaffold.new import new

AUTHOR = {"author_email": "ada@example.com"}
"""Instead of the address in git's settings on this machine: it decides on CODEOWNERS."""

Render = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

# Tests of a rendered project need its environment: test_engine.py runs them in one.
collect_ignore = ["engine"]


@pytest.fixture(scope="session", autouse=True)
def identity() -> None:
    """Set a committer for git, for machines where none is configured."""
    for role in ("AUTHOR", "COMMITTER"):
        os.environ[f"GIT_{role}_NAME"] = "Ada Lovelace"
        os.environ[f"GIT_{role}_EMAIL"] = "ada@example.com"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep renders in a folder of the tests, not in the user's."""
    os.environ["MLSCAFFOLD_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """`render(with_git=False, **answers)`: the path of a new project, without a lock file."""

    def rendered(*, with_git: bool = False, **answers: str) -> Path:
        folder = tmp_path_factory.mktemp("render") / "toy-project"
        new(str(folder), given={**AUTHOR, **answers}, with_git=with_git, with_lock=False)
        return folder

    return rendered


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Generator[Toys]:
    """Projects of a small template with five releases; each render of it is made once."""
    with open_toys(tmp_path_factory.mktemp("toys")) as toys:
        yield toys


@pytest.fixture(scope="session")
def project_env(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment of every rendered project, made once, with the dependencies of all choices.

    MLSCAFFOLD_TEST_ENV names an existing one to reuse, which saves minutes.
    """
    if ready := os.environ.get("MLSCAFFOLD_TEST_ENV"):
        return Path(ready)
    folder = tmp_path_factory.getbasetemp()
    # The processes of pytest-xdist have folders of their own in one that they share.
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    env, done = shared / "env", shared / "env.done"
    with (shared / "env.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _make_env(env, render)
            done.touch()
    return env


def _make_env(env: Path, render: Render) -> None:
    make_setup = ["make", "setup", f"UV_PROJECT_ENVIRONMENT={env}"]
    subprocess.run(make_setup, cwd=render(), check=True, timeout=1200, env=_outside())
    needed = set().union(*(_requirements(render(**answers)) for answers in COVERING))
    # Projects are found by PYTHONPATH; the one that made the environment must not take precedence.
    for action, *names in (
        ("install", "--compile-bytecode", *sorted(needed)),
        ("uninstall", "toy-project"),
    ):
        command = ["uv", "pip", action, "--quiet", "--python", str(env), *names]
        subprocess.run(command, check=True, timeout=1200, env=_outside())


def _requirements(project: Path) -> set[str]:
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    groups = (
        pyproject["dependency-groups"][group] for group in pyproject["tool"]["uv"]["default-groups"]
    )
    return set(pyproject["project"]["dependencies"]).union(*groups)


@pytest.fixture
def project(render: Render, project_env: Path) -> Path:
    """A new project, committed to git, that runs in the shared environment."""
    return render(with_git=True)


@pytest.fixture(scope="session")
def run_in(project_env: Path) -> Run:
    """`run_in(project, *command)`: a finished command of a project, in the shared environment.

    Fails the test with the command's output if it does not exit with `code`; `None` takes any.
    """

    def run(
        project: Path,
        *command: str,
        code: int | None = 0,
        timeout_s: float = 600,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=project,
            env={**inside(project, project_env), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if code is not None and done.returncode != code:
            pytest.fail(f"{command} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    return run


@pytest.fixture(scope="module")  # so that they end
def served(render: Render, project_env: Path) -> Generator[Urls]:
    """Servers of untrained models: of each modality and objective, one `BUSY`, and one `KEYED`.

    They speak the Open Inference Protocol too.
    """
    with ExitStack() as stack:
        urls: Urls = {}
        for modality in MODALITIES:
            servers = {objective: objective for objective in OBJECTIVES}
            if modality == "text":
                servers[BUSY] = "classification,serving.max_wait_s=1e-9"
                servers[KEYED] = "classification,serving.security.api_keys_file=keys.txt"
            project = render(modality=modality, deployment="kubernetes")
            (project / "keys.txt").write_text(sha256(KEY.encode()).hexdigest())
            environment = inside(project, project_env)
            ready = serving(project, modality, *servers.values(), env=environment)
            each = zip(servers, stack.enter_context(ready), strict=True)
            urls |= {(modality, name): url for name, url in each}
        yield urls


def inside(project: Path, env: Path) -> dict[str, str]:
    """Return the environment variables to run a project in the shared environment."""
    return _outside() | {
        "OMP_NUM_THREADS": "1",
        "PATH": f"{env / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project / "src"),
        "UV_NO_SYNC": "1",
        "UV_PROJECT_ENVIRONMENT": str(env),
    }


def _outside() -> dict[str, str]:
    """Return our environment variables, with uv on PATH and without our own environment."""
    dropped = {*OF_MAKE, "VIRTUAL_ENV"}
    outside = {name: value for name, value in os.environ.items() if name not in dropped}
    # As in the Makefile: uv has its own variable for a folder of wheels; pip's is used too.
    if wheels := os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS"):
        outside["UV_FIND_LINKS"] = wheels
    path = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"
    return outside | {"PATH": path, "UV_CONFIG_FILE": str(UV_CONFIG)}
