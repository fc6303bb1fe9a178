"""Compare the time of the generator's commands with copier's, on the same template.

    python benchmarks/generator.py commands|fleet|template-size|project-size [--rounds N]
        [--files N...]

It builds this checkout's wheel with two releases in it and installs it, compiled, with copier into
an environment of its own. Rounds are interleaved, since the speed of a shared machine varies:
compare the ratios. CPU is that of the command and its children. A *warm* command finds the renders
that it needs in the user's cache; the others find none there.
"""

import argparse
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
OLD, NEW = "v0.1.0", "v0.2.0"
AUTHOR = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Ada Lovelace"), ("EMAIL", "ada@example.com"))
}


@dataclass(frozen=True)
class Cost:
    """Time and memory of one run of a command."""

    wall_s: float
    cpu_s: float
    rss_mib: float
    """The most memory that the command, or one of its children, held at a time."""


@dataclass(frozen=True)
class Case:
    """A command, its preparation before each run, and the case to compare it with."""

    command: Sequence[str | Path]
    prepare: Callable[[], object] = lambda: None
    beside: str = ""
    exits: int = 0


@dataclass(frozen=True)
class Bench:
    """Where the benchmark works: a scratch folder, and the commands installed in it."""

    folder: Path
    rounds: int
    files: Sequence[int] = ()
    """Sizes of the templates of `template-size`."""

    @property
    def mlscaffold(self) -> Path:
        """The command of the installed wheel."""
        return self.folder / "environment" / "bin" / "mlscaffold"

    @property
    def copier(self) -> Path:
        """The copier beside it."""
        return self.folder / "environment" / "bin" / "copier"

    @property
    def source(self) -> Path:
        """The repository that the wheel was built from, with its two releases."""
        return self.folder / "source"

    @property
    def cache(self) -> Path:
        """Where mlscaffold keeps renders."""
        return self.folder / "cache"

    def set_up(self) -> None:
        """Build the wheel and install it."""
        os.environ["MLSCAFFOLD_CACHE_DIR"] = str(self.cache)
        listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
        for name in listed.splitlines():
            if (ROOT / name).is_file():
                (self.source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.source / name)
        commit(self.source, tag=OLD)
        with (self.source / "template" / "Makefile.jinja").open("a") as makefile:
            makefile.write("\n# The second release.\n")
        commit(self.source, tag=NEW)
        run("uv", "build", "--quiet", "--out-dir", self.folder / "dist", cwd=self.source)
        (wheel,) = (self.folder / "dist").glob("*.whl")
        environment = self.folder / "environment"
        run("uv", "venv", "--quiet", "--python", sys.executable, environment, cwd=self.folder)
        install = ("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python")
        run(*install, environment / "bin" / "python", wheel, cwd=self.folder)

    def projects(self, template: Path | None = None) -> tuple[Path, Path]:
        """Make a project of the old release twice, by mlscaffold and by copier; return both."""
        ours, theirs = self.folder / "ours", self.folder / "theirs"
        source = ("--template", template) if template else ()
        made = ("new", ours, *source, "--ref", OLD, "--defaults", "--no-lock")
        run(self.mlscaffold, *made, "--data=project_name=toy", cwd=self.folder)
        self.copy(OLD, theirs, template)
        commit(theirs)
        return ours, theirs

    def copy(self, ref: str, project: Path, template: Path | None = None) -> None:
        """Make a project with copier."""
        run(*self.copying(ref, project, template), cwd=self.folder)

    def copying(self, ref: str, project: Path, template: Path | None = None) -> list[str | Path]:
        """Return the command that makes a project with copier."""
        source = f"git+{(template or self.source).as_uri()}"
        options = ("--quiet", "--defaults", "--data=project_name=toy", f"--vcs-ref={ref}")
        return [self.copier, "copy", *options, source, project]

    def measure(self, cases: Mapping[str, Case], rounds: int = 0) -> dict[str, list[Cost]]:
        """Run each case once a round, and print the medians."""
        costs: dict[str, list[Cost]] = {name: [] for name in cases}
        for _ in range(rounds or self.rounds):
            for name, case in cases.items():
                case.prepare()
                costs[name].append(timed(case, cwd=self.folder))
        print_table(cases, costs)
        return costs


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Raw)
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=int, nargs="+", default=[50, 500, 5000])
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="mlscaffold-benchmark-") as folder:
        bench = Bench(Path(folder).resolve(), arguments.rounds, arguments.files)
        bench.set_up()
        print_versions(bench, f"python benchmarks/generator.py {shlex.join(sys.argv[1:])}")
        BENCHMARKS[arguments.benchmark](bench)


def commands(bench: Bench) -> None:
    """Compare each command with copier's."""
    ours, theirs = bench.projects()
    toy = bench.folder / "toy"

    def fresh(project: Path) -> Callable[[], object]:
        return lambda: (remove(toy), shutil.copytree(project, toy, symlinks=True))

    new = ("new", toy, "--defaults", "--no-lock", "--no-git")
    update = ("update", "--quiet", "--defaults", toy)
    bench.measure(
        {
            "copier --help": Case([bench.copier, "--help"]),
            "mlscaffold --help": Case([bench.mlscaffold, "--help"], beside="copier --help"),
            "mlscaffold options": Case([bench.mlscaffold, "options"], beside="copier --help"),
            "copier check-update": Case([bench.copier, "check-update", theirs]),
            "mlscaffold check": Case(
                [bench.mlscaffold, "check", ours], beside="copier check-update", exits=4
            ),
            "copier copy": Case(bench.copying(NEW, toy), lambda: remove(toy)),
            "mlscaffold new": Case(
                [bench.mlscaffold, *new], lambda: remove(toy), beside="copier copy"
            ),
            "copier update": Case([bench.copier, *update], fresh(theirs)),
            "mlscaffold update": Case(
                [bench.mlscaffold, "update", toy],
                lambda: (remove(bench.cache), fresh(ours)()),
                beside="copier update",
            ),
            "mlscaffold update, warm": Case(
                [bench.mlscaffold, "update", toy], fresh(ours), beside="copier update"
            ),
            "mlscaffold diff, warm": Case([bench.mlscaffold, "diff", toy], beside="copier update"),
        }
    )


def fleet(bench: Bench) -> None:
    """Many projects with the same answers."""
    ours, _ = bench.projects()
    for number in range(200):
        shutil.copytree(ours, bench.folder / f"fleet/{number}", symlinks=True)
    names = [f"fleet/{number}" for number in range(200)]
    single = "update --dry-run, 1 project"
    updating = (bench.mlscaffold, "update", "--dry-run")
    checking = (bench.mlscaffold, "check")
    costs = bench.measure(
        {
            "check, 1 project": Case([*checking, *names[:1]], exits=4),
            "check, 20 projects": Case([*checking, *names[:20]], exits=4),
            "check, 200 projects": Case([*checking, *names], beside="check, 20 projects", exits=4),
        }
    )

    def cold() -> None:
        remove(bench.cache)

    costs = bench.measure(
        {
            single: Case([*updating, names[0]], cold),
            "20 projects": Case([*updating, *names[:20]], cold, beside=single),
            "200 projects": Case([*updating, *names], cold, beside=single),
            "200 projects --jobs 2": Case([*updating, *names, "--jobs=2"], cold, beside=single),
            "200 projects, warm": Case([*updating, *names], beside=single),
        },
    )
    singles = 200 * median(cost.wall_s for cost in costs[single])
    print(f"\n200 single calls, extrapolated from {bench.rounds}: {singles:.0f} s. Of that:")
    for name in ("200 projects", "200 projects --jobs 2"):
        print(f"- {name}: {median(cost.wall_s for cost in costs[name]) / singles:.3f}")


def template_size(bench: Bench) -> None:
    """Templates of many files, of which a release changes ten."""
    for count in bench.files:
        template = bench.folder / f"template-{count}"
        write_files(template / "template", count)
        (template / "copier.yml").write_text(
            "project_name:\n  type: str\n  default: toy\n_subdirectory: template\n"
        )
        answers = template / "template" / "{{ _copier_conf.answers_file }}.jinja"
        answers.write_text("{{ _copier_answers | to_nice_yaml }}")
        commit(template, tag=OLD)
        for path in sorted((template / "template").rglob("*.txt"))[:10]:
            path.write_text(path.read_text() + "a line of the second release\n")
        commit(template, tag=NEW)
        compare(bench, template, f"{count} files")


def compare(bench: Bench, template: Path, size: str) -> None:
    """Compare making and updating a project of the template with copier."""
    ours, theirs = bench.projects(template)
    toy = bench.folder / "toy"
    new = ("new", toy, "--template", template, "--defaults", "--no-lock", "--no-git")
    bench.measure(
        {
            f"copier copy, {size}": Case(bench.copying(NEW, toy, template), lambda: remove(toy)),
            f"mlscaffold new, {size}": Case(
                [bench.mlscaffold, *new], lambda: remove(toy), beside=f"copier copy, {size}"
            ),
            f"copier update, {size}": Case(
                [bench.copier, "update", "--quiet", "--defaults", theirs], lambda: restore(theirs)
            ),
            f"mlscaffold update, {size}": Case(
                [bench.mlscaffold, "update", ours],
                lambda: (remove(bench.cache), restore(ours)),
                beside=f"copier update, {size}",
            ),
        }
    )
    remove(ours)
    remove(theirs)


def project_size(bench: Bench) -> None:
    """Projects with many tracked, and many ignored files of their own."""
    ours, _ = bench.projects()
    sizes = {"as made": (0, 0), "1,000 tracked": (1000, 0), "100,000 tracked": (100_000, 0)}
    sizes["50,000 ignored"] = (0, 50_000)
    cases = {}
    for name, (tracked, ignored) in sizes.items():
        project = bench.folder / name.replace(" ", "-").replace(",", "")
        shutil.copytree(ours, project, symlinks=True)
        write_files(project / "corpus", tracked)
        with (project / ".gitignore").open("a") as gitignore:
            gitignore.write("/ignored/\n")
        write_files(project / "ignored", ignored)
        commit(project)
        cases[f"update, {name}"] = Case(
            [bench.mlscaffold, "update", project],
            lambda project=project: (remove(bench.cache), restore(project)),
            beside="update, as made",
        )
    bench.measure(cases)


def write_files(folder: Path, count: int) -> None:
    """Files of forty lines, a hundred in a folder."""
    for number in range(count):
        path = folder / f"part-{number // 100}" / f"file-{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{number} line {line}\n" for line in range(40)))


def restore(project: Path) -> None:
    """Undo what is not committed."""
    run("git", "reset", "--quiet", "--hard", cwd=project)


def remove(folder: Path) -> None:
    """Remove the folder, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def commit(folder: Path, *, tag: str = "") -> None:
    """Commit everything in the folder, after `git init` if needed, and tag it."""
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--allow-empty", "--message=Change", cwd=folder)
    if tag:
        run("git", "tag", tag, cwd=folder)


def run(*command: str | Path, cwd: Path) -> str:
    """Return what the command printed; exit with its output if it fails."""
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout.strip()


def timed(case: Case, *, cwd: Path) -> Cost:
    """Run the command; return its cost."""
    with (cwd / "output").open("w+b") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            case.command, cwd=cwd, env=environment(), stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != case.exits:
            output.seek(0)
            sys.exit(f"{case.command} exited {process.returncode}:\n{output.read().decode()}")
    return Cost(taken, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def environment() -> dict[str, str]:
    """Return our environment variables with an author, uv on PATH, and bytecode enabled."""
    path = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"
    env = {**os.environ, **AUTHOR, "PATH": path}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def print_versions(bench: Bench, command: str) -> None:
    """Print what was measured, when and where."""
    python = bench.folder / "environment" / "bin" / "python"
    code = "from importlib.metadata import version as v; print(v('copier'), v('typer'))"
    copier, typer = run(python, "-c", code, cwd=bench.folder).split()
    commit_id = run("git", "rev-parse", "--short", "HEAD", cwd=ROOT)
    print(f"`{command}`, {bench.rounds} rounds, {datetime.now(UTC):%Y-%m-%d}, commit {commit_id}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start,", end=" ")
    print(f"Python {platform.python_version()}, copier {copier}, typer {typer},", end=" ")
    print(f"{run('git', '--version', cwd=ROOT).replace(' version', '')}", flush=True)


def print_table(cases: Mapping[str, Case], costs: Mapping[str, list[Cost]]) -> None:
    """Print the median and quartiles of each case, and its ratio to the one it is compared with."""
    print("\n| command | wall s | quartiles | CPU s | MiB | wall ratio | CPU ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, case in cases.items():
        walls = [cost.wall_s for cost in costs[name]]
        low, _, high = statistics.quantiles(walls, n=4) if len(walls) > 1 else walls * 3
        cpu = median(cost.cpu_s for cost in costs[name])
        beside = costs.get(case.beside)
        wall_ratio = f"{median(walls) / median(c.wall_s for c in beside):.2f}" if beside else ""
        cpu_ratio = f"{cpu / median(c.cpu_s for c in beside):.2f}" if beside else ""
        rss = median(cost.rss_mib for cost in costs[name])
        print(f"| {name} | {median(walls):.3f} | {low:.3f}-{high:.3f} | {cpu:.3f} |", end=" ")
        print(f"{rss:.0f} | {wall_ratio} | {cpu_ratio} |", flush=True)


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


Raw = argparse.RawDescriptionHelpFormatter
BENCHMARKS: Mapping[str, Callable[[Bench], None]] = {
    "commands": commands,
    "fleet": fleet,
    "template-size": template_size,
    "project-size": project_size,
}

if __name__ == "__main__":
    main()
