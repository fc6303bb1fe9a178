"""Run copier's own tests of updates with `mlscaffold update` in copier's place.

The tests come from the source distribution of the installed copier, by way of uv; none of them is
part of this repository. Those that update something are counted: passed, different by design, or
lacking a capability, each with the reason.

    .venv/bin/python reliability/copier_tests.py
"""

import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
NEEDS = ("pexpect", "pytest", "pytest-gitconfig", "pytest-timeout", "coverage", "inline-snapshot",
         "poethepoet")  # fmt: skip
OF_UPDATES = ("answersfile", "cleanup", "complex_questions", "conditional_file_name", "config",
              "context", "demo_update_tasks", "dirty_local", "legacy_migration", "migrations",
              "output", "prompt", "subdirectory", "symlinks", "templated_prompt", "tmpdir",
              "unsafe", "updatediff", "vcs")  # fmt: skip


def main() -> int:
    """Print a line for each test that does not pass, then the counts."""
    with TemporaryDirectory(prefix="copier-tests-") as name:
        folder = Path(name)
        tests = _fetched(metadata.version("copier"), folder)
        report = folder / "report"
        _run_tests(tests, report)
        counts: Counter[str] = Counter()
        for kind, line in _classified(report.read_text().splitlines()):
            counts[kind] += 1
            if kind != "passed":
                print(f"{kind:<10}  {line}")
    print(", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "by design", "lacking")))
    return 0


def _fetched(version: str, folder: Path) -> Path:
    """Unpack copier's source distribution and return its folder."""
    uv = ("uv", "run", "--no-project", "--with=pip", "python", "-m", "pip", "download", "--quiet")
    wanted = ("--no-deps", "--no-binary=copier", f"--dest={folder}", f"copier=={version}")
    subprocess.run([*uv, *wanted], check=True)
    with tarfile.open(folder / f"copier-{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"copier-{version}"


def _run_tests(tests: Path, report: Path) -> None:
    """Run the tests; each that updates something adds a line to the report."""
    needs = [f"--with={name}" for name in (*NEEDS, f"copier=={metadata.version('copier')}")]
    python = ("uv", "run", "--no-project", *needs, f"--with-editable={ROOT}", "python")
    pytest = ("-m", "pytest", "-q", "-p", "copier_adapter", "-o", "addopts=", "--tb=no")
    files = [f"tests/test_{name}.py" for name in OF_UPDATES]
    subprocess.run(
        [*python, *pytest, "--timeout=100", *files],
        cwd=tests,
        stdout=sys.stderr,
        env={
            **os.environ,
            "COPIER_TESTS_REPORT": str(report),
            "PYTHONPATH": str(ROOT / "reliability"),
        },
    )


def _classified(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield for each test whether it passed, or is different by design, or lacks a capability."""
    for line in lines:
        outcome, _, name = line.partition(" ")
        if outcome != "failed":
            yield "passed", name
            continue
        found = ((kind, why) for pattern, kind, why in REASONS if re.search(pattern, name))
        kind, why = next(found, ("lacking", "not looked into"))
        yield kind, f"{name}: {why}"


REASONS: tuple[tuple[str, str, str], ...] = ()
"""What a test's id holds, and why it does not pass; the first that fits."""

if __name__ == "__main__":
    sys.exit(main())
