"""The command line: parses, prints, exits. Whatever does something is imported when it is done."""

import json
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from . import report
from .errors import AnswerError, MlscaffoldError
from .terminal import open_streams

if TYPE_CHECKING:
    from .check import Checked
    from .rendering.questions import Question, Value
    from .update import UpdateResult

CONFLICTS, OUTDATED = 3, 4
# As of a program that SIGPIPE ends.
NOBODY_READS = 141
Row = TypeVar("Row", "Checked", "UpdateResult")

app = typer.Typer(
    name="mlscaffold",
    help="Generates complete machine-learning projects.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]
Template = Annotated[
    str | None, typer.Option("--template", metavar="SRC", help="Another git URL or directory.")
]
Ref = Annotated[
    str | None, typer.Option("--ref", metavar="REF", help="A release, branch or commit of it.")
]


def main() -> None:
    """Runs the command line and exits; when interrupted or told to end, after tidying up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    open_streams()
    try:
        app()
    finally:
        _flush()


def _flush() -> None:
    """Prints what still waits to be; ends the program where that can't be."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python tries once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(NOBODY_READS)
        _say(f"error: the output can't be written: {error.strerror}")
        sys.exit(1)


def _end(number: int, _: object) -> None:
    """Ends the program, once: a second signal must not stop the tidying up after the first."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@app.callback(invoke_without_command=True)
def _mlscaffold(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib import metadata

        print(metadata.version("mlscaffold"))
        raise typer.Exit


@app.command(name="new")
def _new(
    dest: Annotated[str, typer.Argument(metavar="DEST", help="The folder to make.")],
    data: Annotated[
        list[str], typer.Option("-d", "--data", metavar="KEY=VALUE", help="Answer a question.")
    ] = [],  # noqa: B006 (typer copies it)
    preset: Annotated[str, typer.Option(help="Answers that go together.")] = "standard",
    defaults: Annotated[bool, typer.Option("--defaults", help="Never ask.")] = False,
    template: Template = None,
    ref: Ref = None,
    no_git: Annotated[bool, typer.Option("--no-git", help="Make no repository.")] = False,
    lock: Annotated[
        bool | None,
        typer.Option(
            "--lock/--no-lock",
            show_default=False,
            help="Write uv.lock; without either, asked where uv may run code of --template.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new project; on a terminal, ask what is not given."""
    from .new import new
    from .rendering.answers import parse_pairs

    asks = not (defaults or as_json) and _is_terminal()
    with _failing(as_json), _progress() as progress:
        made = new(
            dest,
            given=parse_pairs(data),
            preset=preset,
            template=template,
            ref=ref,
            ask=_ask if asks else None,
            with_git=not no_git,
            with_lock=lock,
            confirm=typer.confirm if asks else lambda _: False,
            dry_run=dry_run,
            progress=progress,
        )
    following = () if dry_run else report.following(made.path)
    with _failing(as_json):
        if as_json:
            _print_json(asdict(made) | {"dry_run": dry_run, "next": following})
        elif dry_run:
            print(report.of_files(made.files))
        else:
            print(report.of_new(made, following))


@app.command(name="options")
def _options(template: Template = None, ref: Ref = None, as_json: AsJson = False) -> None:
    """List the questions, their choices and defaults, and the presets."""
    from .options import options

    with _failing(as_json):
        found = options(template=template, ref=ref)
        if as_json:
            _print_json(asdict(found))
        else:
            print(report.of_options(found))


@app.command(name="update")
def _update(
    projects: Annotated[list[Path], typer.Argument(metavar="[PROJECT]...")] = [Path()],  # noqa: B006
    data: Annotated[
        list[str], typer.Option("-d", "--data", metavar="KEY=VALUE", help="Change an answer.")
    ] = [],  # noqa: B006
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="A release; the newest without it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    commit: Annotated[bool, typer.Option("--commit", help="Commit what changed.")] = False,
    branch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Commit on a new branch, touch no file.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Projects at a time.")] = 1,
    resumes: Annotated[
        bool, typer.Option("--continue", help="End an update whose conflicts are resolved.")
    ] = False,
    aborts: Annotated[
        bool, typer.Option("--abort", help="Restore what was there before the update.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Re-apply the template to projects, by a merge that loses none of your changes."""
    from .fleet import update_all
    from .rendering.answers import parse_pairs
    from .update import UpdateRequest, abort, resume, update

    if resumes or aborts:
        if (resumes and aborts) or len(projects) > 1 or data or to or dry_run or commit or branch:
            raise typer.BadParameter("--continue and --abort stand alone, with at most one PROJECT")
        with _failing(as_json):
            _print_updated([(resume if resumes else abort)(projects[0])], as_json)
        return
    if branch == "":
        raise typer.BadParameter("--branch must name a branch, got ''")
    if commit and branch:
        raise typer.BadParameter("--commit and --branch are two ways: choose one")
    one = len(projects) == 1
    asks = one and not as_json and _is_terminal()
    left = "nothing was changed" if one else "projects not listed may be updated; run it again"
    with _failing(as_json, interrupted=left):
        request = UpdateRequest(
            given=parse_pairs(data),
            to=to,
            dry_run=dry_run,
            commits=commit,
            branch=branch or "",
            ask=_ask if asks else None,
        )
        rows = [update(projects[0], request)] if one else update_all(projects, request, jobs=jobs)
        code = _print_updated(rows, as_json)
    raise typer.Exit(code)


@app.command(name="set")
def _set(
    pairs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")],
    project: Annotated[Path, typer.Option(metavar="DIR", help="The project.")] = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Change a project's answers: add or remove a component, at the release that it has."""
    from .rendering.answers import parse_pairs
    from .set import set_answers

    with _failing(as_json):
        code = _print_updated([set_answers(project, parse_pairs(pairs), dry_run=dry_run)], as_json)
    raise typer.Exit(code)


@app.command(name="diff")
def _diff(
    project: Annotated[Path, typer.Argument(metavar="[PROJECT]")] = Path(),
) -> None:
    """Show how a project differs from a fresh render of its release and answers."""
    from .diff import diff

    with _failing(as_json=False):
        _print_diff(diff(project))


@app.command(name="check")
def _check(
    projects: Annotated[list[Path], typer.Argument(metavar="[PROJECT]...")] = [Path()],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Tell whether a newer release of the template awaits; exit 4 when one does."""
    from .check import Standing, check

    with _failing(as_json):
        rows = _printed(check(projects), report.of_checked, as_json=as_json)
        standings = {one.standing for one in rows}
    if Standing.UNREADABLE in standings:
        raise typer.Exit(1)
    raise typer.Exit(OUTDATED if Standing.OUTDATED in standings else 0)


@app.command(name="doctor")
def _doctor(
    project: Annotated[Path | None, typer.Argument(metavar="[PROJECT]")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what works on this machine, and the command that fixes what does not."""
    from .doctor import State, doctor

    with _failing(as_json):
        findings = doctor(project)
        if as_json:
            _print_json([asdict(finding) for finding in findings])
        else:
            print(*map(report.of_finding, findings), sep="\n")
    raise typer.Exit(any(finding.state is State.BROKEN for finding in findings))


@contextmanager
def _failing(as_json: bool, *, interrupted: str = "nothing was changed") -> Generator[None]:
    """Ends the program with one line, and the exit code, of what is raised in the block."""
    try:
        yield
    except BrokenPipeError as error:
        raise typer.Exit(NOBODY_READS) from error
    except (MlscaffoldError, OSError) as error:
        line = " ".join(str(error).split())
        _say(f"error: {line}")
        if as_json:
            _print_json({"error": line})
        code = error.exit_code if isinstance(error, MlscaffoldError) else 1
        raise typer.Exit(code) from error
    except (KeyboardInterrupt, typer.Abort) as error:
        _say(f"interrupted: {str(error) or interrupted}")
        raise typer.Exit(130) from None


@contextmanager
def _progress() -> Generator[Callable[[str], None]]:
    """What to call with the present step: a line with a spinner on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    # In ASCII; to the terminal itself, since what is drawn there has to be obeyed.
    status = Console(file=sys.__stderr__).status("", spinner="line")

    def show(step: str) -> None:
        status.update(step)
        status.start()

    try:
        yield show
    finally:
        status.stop()


def _ask(question: "Question", default: "Value", check: "Callable[[str], Value]") -> "Value":
    """The answer typed for one question, asked again until it does."""
    explained = [choice for choice in question.choices if choice.help]
    print(*map(report.of_choice, explained), sep="\n", end="\n" * bool(explained))
    listed = "" if explained else f" ({', '.join(map(str, question.values))})"
    label = f"{question.help or question.name}{listed if question.choices else ''}"
    while True:
        text = typer.prompt(label, default=str(default))
        try:
            return check(text)
        except AnswerError as error:
            _say(str(error))


def _print_updated(rows: "Iterable[UpdateResult]", as_json: bool) -> int:
    """Prints what came of each project; returns the exit code, that of the worst."""
    rows = rows if as_json else _after_their_diffs(rows)
    outcomes = {one.outcome for one in _printed(rows, report.of_updated, as_json=as_json)}
    return 1 if "failed" in outcomes else CONFLICTS if "conflicts" in outcomes else 0


def _after_their_diffs(rows: "Iterable[UpdateResult]") -> "Generator[UpdateResult]":
    for one in rows:
        if one.diff:
            _print_diff(f"{one.diff}\n")
        yield one


def _print_diff(diff: str) -> None:
    """Prints a diff: on a terminal as text, else the very bytes, so that it can be applied."""
    if sys.stdout.isatty():
        print(diff, end="")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(diff.encode(errors="surrogateescape"))


def _printed(
    rows: Iterable[Row], text_of: Callable[[Row], str], *, as_json: bool
) -> Generator[Row]:
    """The rows, each printed as soon as it is there; with `as_json`, as one list."""
    before = "["
    for row in rows:
        if as_json:
            item = json.dumps(asdict(row), default=str, indent=2)
            print(before, textwrap.indent(item, "  "), sep="\n", end="", flush=True)
            before = ","
        else:
            print(text_of(row), flush=True)
        yield row
    if as_json:
        print("\n]")


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _print_json(document: Any) -> None:
    print(json.dumps(document, default=str, indent=2))


def _say(line: str) -> None:
    print(line, file=sys.stderr)
