"""Run copier's own tests of updates with `mlscaffold update` in copier's place.

The tests come from the source distribution of the installed copier, by way of uv; none of them is
part of this repository. Those that update something are counted: passed, different by design, or
lacking a capability, each with the reason.

    .venv/bin/python reliability/copier_tests.py
    .venv/bin/python reliability/copier_tests.py unsafe output
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
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

_UV = ("uv", "run", "--no-project", f"--python={sys.executable}")


def main() -> int:
    """Print a line for each test that does not pass, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="NAME", help="of test_NAME.py")
    names = parser.parse_args().files or OF_UPDATES
    with TemporaryDirectory(prefix="copier-tests-") as name:
        folder = Path(name)
        tests = _fetched(metadata.version("copier"), folder)
        report = folder / "report"
        _run_tests(tests, names, report)
        counts: Counter[str] = Counter()
        for kind, line in _classified(report.read_text().splitlines()):
            counts[kind] += 1
            if kind != "passed":
                print(f"{kind:<10}  {line}")
    print(", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "by design", "lacking")))
    return 0


def _fetched(version: str, folder: Path) -> Path:
    """Unpack copier's source distribution and return its folder."""
    uv = (*_UV, "--with=pip", "python", "-m", "pip", "download", "--quiet")
    wanted = ("--no-deps", "--no-binary=copier", f"--dest={folder}", f"copier=={version}")
    subprocess.run([*uv, *wanted], check=True)
    with tarfile.open(folder / f"copier-{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"copier-{version}"


def _run_tests(tests: Path, names: Sequence[str], report: Path) -> None:
    """Run the tests; each that updates something adds a line to the report."""
    needs = [f"--with={name}" for name in (*NEEDS, f"copier=={metadata.version('copier')}")]
    python = (*_UV, *needs, f"--with-editable={ROOT}", "python")
    pytest = ("-m", "pytest", "-q", "-p", "copier_adapter", "-o", "addopts=", "--tb=no")
    files = [f"tests/test_{name}.py" for name in names]
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


REASONS = (
    ("skip_update_deleted", "by design", "at the same release and answers, there is nothing to do"),
    (r"\[rej", "by design", "conflicts are in the files, never in .rej files"),
    ("needs_more_context.True", "by design", "a conflict is expected where git's merge finds none"),
    ("gitignored_file|secret_validator", "by design", "an ignored file is never written"),
    ("exclude.*added_in_new_version", "by design", "what a release excludes is removed from it"),
    ("executable_bit|exec_bit", "by design", "an update is staged; unstaging it here loses a mode"),
    ("test_unsafe.*spec_old1[2345]", "by design", "the tests' own extension is not installed"),
    ("test_unsafe.*spec_old7|deprecated", "by design", "no warning about what is deprecated"),
    ("legacy_migration.*(prereleases|pretend|and_tasks)", "by design",
     "no warning about what is deprecated"),
    ("prerelease_version", "by design", "a project ahead of the newest final release stays there"),
    ("run_before|via_migration|pre_migration", "by design",
     "all commands run after the merge, and in the project alone"),
    ("outside_destination|outside_template", "by design", "refused with an error of another class"),
    ("test_dirty_local.*(test_update|gpg)|symlink", "by design",
     "changes of a template that are not committed are no release"),
    ("parallel_projects", "by design", "the message lists the files that are not committed"),
    ("test_output", "lacking", "a template's messages before and after an update"),
    ("test_unsafe.*update_cli", "lacking", "templates that the user trusts in copier's settings"),
)  # fmt: skip
"""What a test's id holds, what kind of difference that is, and why; the first that fits."""

if __name__ == "__main__":
    sys.exit(main())
