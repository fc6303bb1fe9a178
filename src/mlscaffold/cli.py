"""The command line: parses, prints, exits. Whatever does something is imported when it is done."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import AnswerError, MlscaffoldError
from .questions import Question, Value

if TYPE_CHECKING:
    from .check import Checked
    from .doctor import Finding
    from .new import NewProject
    from .options import Options

OUTDATED = 4

app = typer.Typer(
    name="mlscaffold",
    help="Generates complete machine-learning projects.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
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
    app()


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
    no_lock: Annotated[bool, typer.Option("--no-lock", help="Write no uv.lock.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new project; on a terminal, ask what is not given."""
    from .answers import parse_pairs
    from .new import new

    asks = not (defaults or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    with _failing(as_json), _progress() as progress:
        made = new(
            dest,
            given=parse_pairs(data),
            preset=preset,
            template=template,
            ref=ref,
            ask=_ask if asks else None,
            with_git=not no_git,
            with_lock=not no_lock,
            dry_run=dry_run,
            progress=progress,
        )
    following = () if dry_run else _following(made.path)
    if as_json:
        _print_json(asdict(made) | {"dry_run": dry_run, "next": following})
    elif dry_run:
        print(*made.files, sep="\n")
    else:
        _print_new(made, following)


@app.command(name="options")
def _options(template: Template = None, ref: Ref = None, as_json: AsJson = False) -> None:
    """List the questions, their choices and defaults, and the presets."""
    from .options import options

    with _failing(as_json):
        found = options(template=template, ref=ref)
    if as_json:
        _print_json(asdict(found))
    else:
        _print_options(found)


@app.command(name="check")
def _check(
    projects: Annotated[list[Path], typer.Argument(metavar="[PROJECT]...")] = [Path()],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Tell whether a newer release of the template awaits; exit 4 when one does."""
    from .check import Standing, check

    with _failing(as_json):
        checked = check(projects)
    if as_json:
        _print_json([asdict(one) for one in checked])
    else:
        print(*map(_line_of_checked, checked), sep="\n")
    standings = {one.standing for one in checked}
    if Standing.UNREADABLE in standings:
        raise typer.Exit(1)
    raise typer.Exit(OUTDATED if Standing.OUTDATED in standings else 0)


@app.command(name="doctor")
def _doctor(
    project: Annotated[Path | None, typer.Argument(metavar="[PROJECT]")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what works on this machine, and the command that mends what does not."""
    from .doctor import State, doctor

    with _failing(as_json):
        findings = doctor(project)
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    else:
        print(*map(_line_of_finding, findings), sep="\n")
    raise typer.Exit(any(finding.state is State.BROKEN for finding in findings))


@contextmanager
def _failing(as_json: bool) -> Generator[None]:
    """Ends the program with one line, and the exit code, of what is raised in the block."""
    try:
        yield
    except (MlscaffoldError, OSError) as error:
        line = " ".join(str(error).split())
        _say(f"error: {line}")
        if as_json:
            _print_json({"error": line})
        code = error.exit_code if isinstance(error, MlscaffoldError) else 1
        raise typer.Exit(code) from error
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted: nothing was changed")
        raise typer.Exit(130) from None


@contextmanager
def _progress() -> Generator[Callable[[str], None]]:
    """What to call with the present step: a line with a spinner on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    status = Console(stderr=True).status("")

    def show(step: str) -> None:
        status.update(step)
        status.start()

    try:
        yield show
    finally:
        status.stop()


def _ask(question: Question, default: Value, check: Callable[[str], Value]) -> Value:
    """The answer typed for one question, asked again until it does."""
    choices = f" ({', '.join(map(str, question.choices))})" if question.choices else ""
    while True:
        text = typer.prompt(f"{question.help or question.name}{choices}", default=str(default))
        try:
            return check(text)
        except AnswerError as error:
            _say(str(error))


def _following(project: Path) -> tuple[str, ...]:
    """The three commands that a newcomer types next."""
    return (f"cd {shlex.quote(os.path.relpath(project))}", "make setup", "make repro")


def _print_new(made: "NewProject", following: Sequence[str]) -> None:
    print(f"Made {made.path.name} from {made.template} {made.release}: {len(made.files)} files.")
    if made.unlocked_because:
        print(f"No uv.lock: {made.unlocked_because}. Make it later with: uv lock")
    print("\nNext:", *following, sep="\n  ")


def _print_options(found: "Options") -> None:
    for question in found.questions:
        default = "computed" if "{{" in str(question.default) else question.default
        print(f"{question.name} [{default}]\n  {question.help}")
        if question.choices:
            print(f"  one of {', '.join(map(str, question.choices))}")
    print(f"\npresets: {', '.join(found.presets)}")
    print(f"release: {found.release} of {found.template}")


def _line_of_checked(one: "Checked") -> str:
    meaning = {
        "current": f"current ({one.release})",
        "outdated": f"outdated: {one.release} is followed by {one.latest}",
        "ahead": f"ahead: {one.release} is newer than {one.latest}, the newest that mlscaffold "
        "knows; upgrade mlscaffold",
        "unreleased": f"unreleased: {one.release} names no version to compare",
        "unreadable": f"unreadable: {one.problem}",
    }
    return f"{one.project}: {meaning[one.standing]}"


def _line_of_finding(finding: "Finding") -> str:
    mend = f"\n{'':10}mend: {finding.mend}" if finding.mend else ""
    return f"{finding.state:<8}  {finding.subject}: {finding.detail}{mend}"


def _print_json(document: Any) -> None:
    print(json.dumps(document, default=str, indent=2))


def _say(line: str) -> None:
    print(line, file=sys.stderr)
