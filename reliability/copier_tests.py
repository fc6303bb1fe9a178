"""Run copier's own tests of updates with `mlscaffold update` in copier's place.

The tests come from the source distribution of the installed copier, by way of uv; none of them is
part of this repository. Those that update something are counted: passed, different by design, or
lacking a capability, each with the reason; or not run, if they fail before, as without a network.
Tests that ask in a terminal need a machine with little else to do.

    .venv/bin/python reliability/copier_tests.py
    .venv/bin/python reliability/copier_tests.py unsafe output
"""

import argparse
import ast
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
         "pytest-xdist", "poethepoet")  # fmt: skip

_SITECUSTOMIZE = """\
import sys
if "update" in sys.orig_argv:
    import copier_adapter
"""
_UV = ("uv", "run", "--no-project", f"--python={sys.executable}")


def main() -> int:
    """Print a line for each test that does not pass, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="NAME", help="of test_NAME.py")
    names = parser.parse_args().files or ["*"]
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
    kinds = ("passed", "by design", "lacking", "not run")
    print(", ".join(f"{counts[kind]} {kind}" for kind in kinds))
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
    pytest = ("-m", "pytest", "-q", "-p", "copier_adapter", "-o", "addopts=", "--tb=no", "-nauto")
    # What the tests start is adapted too, and finds the extensions of Jinja that they define.
    site = tests / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    paths = site, ROOT / "reliability", tests
    found = [test for name in names for test in _that_may_update(tests / "tests", name)]
    subprocess.run(
        [*python, *pytest, "--timeout=600", "--spawn-timeout=60", *found],
        cwd=tests,
        stdout=sys.stderr,
        env={
            **os.environ,
            "COPIER_TESTS_REPORT": str(report),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
        },
    )


def _that_may_update(folder: Path, kind: str) -> Iterator[str]:
    """Yield the ids of the tests that mention an update; those that make none are not counted."""
    for file in sorted(folder.glob(f"test_{kind}.py")):
        text = file.read_text()
        for node in ast.parse(text).body:
            name = node.name if isinstance(node, ast.FunctionDef) else ""
            code = ast.get_source_segment(text, node) or ""
            if name.startswith("test_") and re.search("run_update|[\"']update[\"']", code):
                yield f"tests/{file.name}::{name}"


def _classified(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield for each test whether it passed, or is different by design, or lacks a capability."""
    for line in lines:
        outcome, _, name = line.partition(" ")
        if outcome == "stopped":
            yield "not run", f"{name}: it failed before an update, in copier's own part"
            continue
        if outcome != "failed":
            yield "passed", name
            continue
        found = ((kind, why) for pattern, kind, why in REASONS if re.search(pattern, name))
        kind, why = next(found, ("lacking", "not looked into"))
        yield kind, f"{name}: {why}"


REASONS = (
    (r"\[rej", "by design", "conflicts are in the files, never in .rej files"),
    ("needs_more_context", "by design", "a conflict is expected where git's merge finds none"),
    ("gitignored_file|secret_validator", "by design", "an ignored file is never written"),
    ("exclude.*added_in_new_version", "by design", "what a release excludes is removed from it"),
    ("exec_bit_change_and_merge_conflict", "by design", "the file has the template's new mode too"),
    ("test_unsafe.*spec_old15", "by design", "migrations are refused before anything else is read"),
    ("test_unsafe.*spec_old7|deprecated|run_dot_config", "by design",
     "no warning about what is deprecated"),
    ("legacy_migration.*(prereleases|pretend|and_tasks)", "by design",
     "no warning about what is deprecated"),
    ("prerelease_version", "by design", "a project ahead of the newest final release stays there"),
    ("run_before|via_migration|pre_migration", "by design",
     "all commands run after the merge, and in the project alone"),
    ("test_dirty_local.*(test_update|gpg)|symlink", "by design",
     "changes of a template that are not committed are no release"),
    ("parallel_projects", "by design", "the message lists the files that are not committed"),
    ("_prompt.py|answer_changes.True|and_questions.True", "by design",
     "only new questions are asked, on a terminal, and in a dialog of its own"),
    ("test_output", "lacking", "a template's messages before and after an update"),
    ("test_unsafe.*update_cli", "lacking", "templates that the user trusts in copier's settings"),
)  # fmt: skip
"""What a test's id holds, what kind of difference that is, and why; the first that fits."""

if __name__ == "__main__":
    sys.exit(main())
