"""The command line. Each command imports what it needs when it runs."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer.core

from . import report
from .parameters import (
    Answers,
    AnswersFile,
    AsJson,
    DryRun,
    ListsFiles,
    Prereleases,
    Project,
    Projects,
    Ref,
    Strict,
    Template,
    Trust,
)
from .plain_values import read_plainly
from .printing import print_diff, print_updated, printed
from .process import OUTDATED, failing, print_json, progress_line, run, say

if TYPE_CHECKING:
    from .dialog import Dialog
    from .new import NewProject


class _Commands(typer.core.TyperGroup):
    """The group of commands: lists their help in full, and reports an interrupt in one line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.help or "") for name, one in commands if one])

    def invoke(self, ctx: Any) -> Any:
        with failing():
            return super().invoke(ctx)


app = typer.Typer(
    name="mlscaffold",
    cls=_Commands,
    help="Generates complete machine-learning projects.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line and exit."""
    read_plainly(typer.core)
    run(app)


@app.callback(invoke_without_command=True)
def _mlscaffold(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from .version import installed_version

        print(installed_version() or "not installed")
        raise typer.Exit


def _presets(incomplete: str) -> list[str]:
    """Return the presets that start with what was typed."""
    from .options import options

    return [name for name in options().presets if name.startswith(incomplete.lower())]


@app.command(name="new")
def _new(
    dest: Annotated[str, typer.Argument(metavar="DEST", help="The folder to create.")],
    data: Answers = [],  # noqa: B006 (typer copies it)
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=_presets,
            help="Answers that go together: minimal, standard or full.",
        ),
    ] = "standard",
    defaults: Annotated[bool, typer.Option("--defaults", help="Never ask.")] = False,
    template: Template = None,
    ref: Ref = None,
    prereleases: Prereleases = False,
    answers_file: AnswersFile = "",
    trust: Trust = False,
    no_git: Annotated[bool, typer.Option("--no-git", help="Create no git repository.")] = False,
    lock: Annotated[
        bool | None,
        typer.Option(
            "--lock/--no-lock",
            show_default=False,
            help="Write uv.lock; the default, except that another --template is asked about first.",
        ),
    ] = None,
    dry_run: ListsFiles = False,
    as_json: AsJson = False,
) -> None:
    """Create a project; on a terminal, ask for what is not given."""
    from .new import new
    from .rendering.answers import parse_pairs

    dialog = None if defaults or as_json else _dialog()

    def review(project: "NewProject") -> None:
        if dialog and dialog.has_asked and not dialog.approves(project):
            say("Nothing was written.")
            raise typer.Exit(1)

    with failing(as_json), progress_line() as progress:
        made = new(
            dest,
            given=parse_pairs(data),
            preset=preset,
            template=template,
            ref=ref,
            prereleases=prereleases,
            answers_file=answers_file,
            trust=trust,
            ask=dialog.ask if dialog else None,
            review=review,
            with_git=not no_git,
            with_lock=lock,
            confirm=typer.confirm if dialog else lambda _: False,
            dry_run=dry_run,
            progress=progress,
        )
    following = () if dry_run else report.following(made.path, made.next)
    with failing(as_json):
        if as_json:
            print_json(asdict(made) | {"dry_run": dry_run, "next": following})
        elif dry_run:
            print(report.of_files(made.files))
        else:
            print(report.of_new(made, following))


@app.command(name="options")
def _options(template: Template = None, ref: Ref = None, as_json: AsJson = False) -> None:
    """List the questions, their choices and defaults, and the presets."""
    from .options import options

    with failing(as_json):
        found = options(template=template, ref=ref)
        if as_json:
            print_json(asdict(found))
        else:
            print(report.of_options(found))


@app.command(name="update")
def _update(
    projects: Projects = [Path()],  # noqa: B006
    data: Annotated[
        list[str], typer.Option("-d", "--data", metavar="KEY=VALUE", help="Change an answer.")
    ] = [],  # noqa: B006
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="A release; the newest without it.")
    ] = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    commit: Annotated[bool, typer.Option("--commit", help="Commit what changed.")] = False,
    branch: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Commit on a new branch instead."),
    ] = None,
    open_pr: Annotated[
        bool,
        typer.Option("--open-pr", help="Push the branch and open a pull request by gh or glab."),
    ] = False,
    prereleases: Prereleases = False,
    answers_file: AnswersFile = "",
    trust: Trust = False,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Projects at a time.")] = 1,
    resumes: Annotated[
        bool, typer.Option("--continue", help="End an update whose conflicts are resolved.")
    ] = False,
    aborts: Annotated[
        bool, typer.Option("--abort", help="Restore what was there before the update.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Re-apply the template to projects, by a merge that loses none of your changes."""
    from .fleet import update_all, update_one
    from .rendering.answers import parse_pairs
    from .update import UpdateRequest, abort, resume

    if resumes or aborts:
        others = data, to, dry_run, strict, commit, branch, prereleases, answers_file, trust
        if (resumes and aborts) or len(projects) > 1 or any(others) or open_pr:
            raise typer.BadParameter(
                "--continue and --abort take at most one PROJECT and no other option"
            )
        with failing(as_json):
            print_updated([(resume if resumes else abort)(projects[0])], as_json)
        return
    if branch == "":
        raise typer.BadParameter("--branch must name a branch, got ''")
    if commit and branch:
        raise typer.BadParameter("--commit and --branch exclude each other")
    if open_pr and not branch:
        raise typer.BadParameter("--open-pr needs --branch NAME")
    one = len(projects) == 1
    if trust and (branch or not one):
        raise typer.BadParameter("--trust takes one PROJECT, and no --branch")
    dialog = _dialog() if one and not as_json else None
    is_local = one and not open_pr
    left = "nothing was changed" if is_local else "projects not listed may be updated; run it again"
    with failing(as_json, interrupted=left):
        request = UpdateRequest(
            given=parse_pairs(data),
            to=to,
            prereleases=prereleases,
            dry_run=dry_run,
            strict=strict,
            commits=commit,
            branch=branch or "",
            opens_pr=open_pr,
            ask=dialog.ask if dialog else None,
            answers_file=answers_file,
            trust=trust,
        )
        rows = update_one(projects[0], request) if one else update_all(projects, request, jobs=jobs)
        code = print_updated(rows, as_json)
    raise typer.Exit(code)


@app.command(name="set")
def _set(
    pairs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE", help="Answers to change.")],
    project: Project = Path(),
    dry_run: DryRun = False,
    strict: Strict = False,
    answers_file: AnswersFile = "",
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Change a project's answers: add or remove a component, at the release that it has."""
    from .rendering.answers import parse_pairs
    from .set import set_answers

    with failing(as_json):
        done = set_answers(
            project,
            parse_pairs(pairs),
            dry_run=dry_run,
            strict=strict,
            answers_file=answers_file,
            trust=trust,
        )
        code = print_updated([done], as_json)
    raise typer.Exit(code)


@app.command(name="add")
def _add(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="dataset, model, objective, callback or stage."),
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name: my_model, my-model or MyModel.")
    ],
    project: Project = Path(),
    dry_run: ListsFiles = False,
    answers_file: AnswersFile = "",
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Add a dataset, model, objective, callback or stage: one that works, to be filled in."""
    from .add import add

    with failing(as_json):
        done = add(project, kind, name, dry_run=dry_run, answers_file=answers_file, trust=trust)
        if as_json:
            print_json(asdict(done) | {"dry_run": dry_run})
        else:
            print(report.of_added(done, dry_run=dry_run))


@app.command(name="diff")
def _diff(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT", help="The folder of a project.")
    ] = Path(),
    as_patch: Annotated[
        bool, typer.Option("--patch", help="As a patch of the template's files, for git apply.")
    ] = False,
    answers_file: AnswersFile = "",
    trust: Trust = False,
) -> None:
    """Show how a project differs from a fresh render of its release and answers."""
    from .diff import diff
    from .patch import patch

    with failing():
        if as_patch:
            made = patch(project, answers_file=answers_file, trust=trust)
            print_diff(made.text)
            for line in report.of_patch(made):
                say(line)
            return
        print_diff(diff(project, answers_file=answers_file, trust=trust))


@app.command(name="adopt")
def _adopt(
    project: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a project.")],
    data: Answers = [],  # noqa: B006
    template: Template = None,
    ref: Ref = None,
    answers_file: AnswersFile = "",
    trust: Trust = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is found.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a project that records no template be updated: find the closest release and answers."""
    from .adopt import adopt
    from .rendering.answers import parse_pairs

    with failing(as_json), progress_line() as progress:
        found = adopt(
            project,
            given=parse_pairs(data),
            template=template,
            ref=ref,
            answers_file=answers_file,
            trust=trust,
            dry_run=dry_run,
            progress=progress,
        )
    with failing(as_json):
        if as_json:
            print_json(asdict(found))
        else:
            print(report.of_adopted(found))


@app.command(name="check")
def _check(
    projects: Projects = [Path()],  # noqa: B006
    prereleases: Prereleases = False,
    answers_file: AnswersFile = "",
    as_json: AsJson = False,
) -> None:
    """Tell whether the template has a newer release; exit 4 if it has."""
    from .check import Standing, check

    with failing(as_json):
        found = check(projects, answers_file=answers_file, prereleases=prereleases)
        rows = printed(found, report.of_checked, as_json=as_json)
        standings = {one.standing for one in rows}
    if Standing.UNREADABLE in standings:
        raise typer.Exit(1)
    raise typer.Exit(OUTDATED if Standing.OUTDATED in standings else 0)


@app.command(name="doctor")
def _doctor(
    project: Annotated[
        Path | None, typer.Argument(metavar="PROJECT", help="The folder of a project.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what works on this machine, and the command that fixes what does not."""
    from .doctor import State, doctor

    with failing(as_json):
        findings = doctor(project)
        if as_json:
            print_json([asdict(finding) for finding in findings])
        else:
            print(*map(report.of_finding, findings), sep="\n")
    raise typer.Exit(any(finding.state is State.BROKEN for finding in findings))


def _dialog() -> "Dialog | None":
    """Return the dialog that asks the user, or `None` without a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    from .dialog import Dialog

    return Dialog()
