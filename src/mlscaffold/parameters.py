"""The parameters that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]
ListsFiles = Annotated[bool, typer.Option("--dry-run", help="Only list the files.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Settle no conflict by a rule: leave each to me.")
]
Template = Annotated[
    str | None, typer.Option("--template", metavar="SRC", help="Another git URL or directory.")
]
Ref = Annotated[
    str | None, typer.Option("--ref", metavar="REF", help="A release, branch or commit of it.")
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Let another template run code: tasks, migrations, extensions."),
]
Prereleases = Annotated[
    bool, typer.Option("--prereleases", help="Also consider releases that are not final.")
]
AnswersFile = Annotated[
    str,
    typer.Option(
        "-a",
        "--answers-file",
        metavar="PATH",
        show_default=False,
        help="Where a project of several templates records the answers to this one.",
    ),
]
Answers = Annotated[
    list[str], typer.Option("-d", "--data", metavar="KEY=VALUE", help="Answer a question.")
]
Project = Annotated[Path, typer.Option("--project", metavar="DIR", help="The project.")]
Projects = Annotated[list[Path], typer.Argument(metavar="PROJECT", help="Folders of projects.")]
