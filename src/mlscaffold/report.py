"""Formats the results of the commands as text."""

import os
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import listed
from .terminal import printable
from .updating import wording
from .version import DISTRIBUTION

if TYPE_CHECKING:
    from .add import Added
    from .adopt import Adopted
    from .check import Checked
    from .doctor import Finding
    from .new import NewProject
    from .options import Options
    from .patch import Patch
    from .rendering.components import Component
    from .rendering.questions import Choice
    from .update import UpdateResult

_WIDTH = 14
"""The width of the column of choices."""
_INDENTED: Any = {
    "width": 100,
    "initial_indent": " " * (4 + _WIDTH),
    "subsequent_indent": " " * (6 + _WIDTH),
    "break_long_words": False,
    "break_on_hyphens": False,
}


def following(project: Path, commands: Sequence[str]) -> tuple[str, ...]:
    """Return the commands to type next: into the project's folder, and those of its template."""
    try:
        shown = os.path.relpath(project)
    except FileNotFoundError:  # the current folder is gone
        shown = str(project)
    return (f"cd {shlex.quote(shown)}", *commands)


def of_new(made: "NewProject", commands: Sequence[str]) -> str:
    """Format what was made, and what to type next."""
    count = f"{len(made.files)} {'file' if len(made.files) == 1 else 'files'}"
    lines = [f"Made {made.path.name} from {made.template} {made.release}: {count}."]
    if made.repository:
        lines.append(f"No repository of its own: {made.repository} is one. Commit the files there.")
    if made.unlocked_because:
        lines.append(f"No uv.lock: {made.unlocked_because}. Make it later with: uv lock")
    return _text([*lines, "", "Next:", *(f"  {command}" for command in commands)])


def of_files(paths: Iterable[str]) -> str:
    """Format paths, one a line."""
    return _text(map(wording.plain, paths))


def of_options(found: "Options") -> str:
    """Format every question with its choices and what they bring, and the presets."""
    return _text(_lines_of_options(found))


def of_choice(choice: "Choice") -> str:
    """Format a choice and its help."""
    return printable(f"{choice.value!s:<{_WIDTH}}{choice.help}".rstrip())


def of_summary(project: "NewProject") -> str:
    """Format what a new project will be made from, and a line for each answer."""
    width = max(map(len, project.answers), default=0)
    lines = [f"{project.path.name}, from {project.template} {project.release}:"]
    return _text([*lines, *(f"  {k:<{width}}  {v}" for k, v in project.answers.items())])


def of_adopted(one: "Adopted") -> str:
    """Format what a project was found to be, how it differs, and what to type next."""
    return _text(_lines_of_adopted(one))


def of_added(done: "Added", *, dry_run: bool = False) -> str:
    """Format what was written for a piece, where to fill it in, and what to type next."""
    what = f"{done.kind} {done.name}, from release {done.release}"
    lines = [f"Would add the {what}:" if dry_run else f"Added the {what}:"]
    lines += (f"  added     {wording.plain(path)}" for path in done.added)
    lines += (f"  changed   {wording.plain(path)}" for path in done.changed)
    if dry_run:
        return _text([*lines, "Nothing was written."])
    if done.places:
        lines += ["", f"It works as it is. Fill in what {done.mark!r} marks:"]
        lines += (f"  {wording.plain(place)}" for place in done.places)
    return _text([*lines, "", "Next:", *(f"  {command}" for command in done.next)])


def of_checked(one: "Checked") -> str:
    """Format how a project's release compares with the newest."""
    meaning = {
        "current": f"current ({one.release})",
        "outdated": f"outdated: {one.release} is followed by {one.latest}",
        "ahead": f"ahead: {one.release} is newer than {one.latest}, the newest that mlscaffold "
        f"knows; upgrade mlscaffold (`uv tool upgrade {DISTRIBUTION}`)",
        "unreleased": f"unreleased: the template has no release or commit {one.release}",
        "unreadable": f"unreadable: {one.problem}",
        "skipped": f"skipped: {one.problem}",
    }
    return printable(f"{one.project}: {meaning[one.standing]}")


def of_patch(made: "Patch") -> list[str]:
    """Format what a user has to know about a patch, a line each."""
    left_out = (
        f"not in the patch: {wording.plain(one)}: {why}" for one, why in made.left_out.items()
    )
    named = (
        f"check {wording.plain(path)}: the patch adds {name}, which only this project is called"
        for path, name in made.names.items()
    )
    return [*left_out, *named]


def of_finding(finding: "Finding") -> str:
    """Format a finding and what fixes it."""
    lines = [f"{finding.state:<8}  {finding.subject}: {finding.detail}"]
    return _text([*lines, f"{'':10}fix: {finding.fix}"] if finding.fix else lines)


def of_updated(one: "UpdateResult") -> str:
    """Format the result of an update, and what the user has to do; without the diff."""
    return _text(_lines_of_updated(one))


def _text(lines: Iterable[str]) -> str:
    """Join lines to one text; line ends inside a line are escaped."""
    return "\n".join(map(printable, lines))


def _lines_of_options(found: "Options") -> Iterator[str]:
    for question in found.questions:
        default = "" if question.default is None else question.default
        default = "computed" if "{{" in str(default) else default
        yield f"{question.name} [{default}]"
        yield from (f"  {line}" for line in question.help.splitlines())
        components = found.components.get(question.name, {})
        for choice in question.choices:
            yield f"    {of_choice(choice)}"
            yield from _lines_of_component(components.get(str(choice.value)))
    yield ""
    yield "presets"
    for name, answers in found.presets.items():
        pairs = " ".join(f"{key}={value}" for key, value in answers.items())
        yield f"    {name:<{_WIDTH}}{pairs or 'every default'}"
    yield f"release: {found.release} of {found.template}"


def _lines_of_component(component: "Component | None") -> Iterator[str]:
    for kind in ("files", "dependencies", "commands") if component else ():
        if names := getattr(component, kind):
            yield from textwrap.wrap(f"{kind}: {', '.join(names)}", **_INDENTED)


def _lines_of_adopted(one: "Adopted") -> Iterator[str]:
    if one.outcome == "current":
        yield (
            f"{one.project}: nothing to do, {one.answers_file} records {one.release} "
            f"of {one.template}"
        )
        return
    equal = one.files - len(one.changed) - len(one.missing)
    yield f"{one.project}: closest to {one.release} of {one.template}"
    differ, missing = len(one.changed), len(one.missing)
    yield (
        f"  {equal} of {one.files} files {'is' if equal == 1 else 'are'} equal, "
        f"{differ} {'differs' if differ == 1 else 'differ'}, "
        f"{missing} {'is' if missing == 1 else 'are'} missing"
    )
    for path, (more, fewer) in one.changed.items():
        yield f"  differs   {wording.plain(path)}: {more} more and {fewer} fewer lines"
    if one.missing:
        yield f"  missing   {listed(one.missing)}"
    yield "  answers   " + " ".join(shlex.quote(f"{k}={v}") for k, v in one.answers.items())
    if one.is_incomplete:
        yield "The first update adds what is missing. Files that differ stay as they are: take what"
        yield "you need from the diff after it, such as dependencies."
    elif one.missing:
        yield "What is missing counts as deleted by you: an update does not bring it back."
    if one.outcome == "previewed":
        yield "Nothing was written. Another answer: -d KEY=VALUE; another release: --ref REF."
        return
    folder = shlex.quote(str(one.project))
    following = ("update", "diff") if one.is_incomplete else ("diff", "update --dry-run")
    yield f"Wrote {wording.plain(one.answers_file)}. Next:"
    yield f"  git -C {folder} add {shlex.quote(one.answers_file)}"
    yield f"  git -C {folder} commit -m 'Record the template'"
    yield from (f"  mlscaffold {verb} {folder}" for verb in following)


def _lines_of_updated(one: "UpdateResult") -> Iterator[str]:
    if one.recovered:
        yield f"{one.project}: {one.recovered}"
    yield f"{one.project}: {_outcome(one)}"
    if one.outcome == "previewed":
        yield from (f"  added     {wording.plain(path)}" for path in one.added)
        yield from (f"  deleted   {wording.plain(path)}" for path in one.deleted)
    for path, reason in one.left_out.items():
        yield f"  left out  {wording.plain(path)}: {reason}"
    for file in one.kept:
        yield f"  kept      {wording.plain(file.path)}: {wording.change_of(file)}"
    for pattern in one.unused:
        yield f"  unused    {wording.plain(pattern)}: it is in .mlscaffold.yml, and no file matches"
    for hunk in one.settled:
        yield f"  settled   {wording.place_of(hunk)}: {wording.rules_of(hunk)}"
    for path, reason in one.conflicts.items():
        yield f"  conflict  {wording.plain(path)}: {reason}"
    if one.url:
        yield f"  open at   {one.url}"
    if one.outcome == "conflicts" and not one.branch:
        where = "" if one.project == Path() else f" {shlex.quote(str(one.project))}"
        them = (
            "it (git status lists it)"
            if len(one.conflicts) == 1
            else "them (git status lists them)"
        )
        yield f"Resolve {them}, then: mlscaffold update --continue{where}"
        yield f"Or go back to what was there: mlscaffold update --abort{where}"
    elif "pyproject.toml" in one.changed and one.outcome == "updated":
        yield "The dependencies may have changed: run `uv lock`, then `make setup`."


def _outcome(one: "UpdateResult") -> str:
    releases = one.new if one.old == one.new else f"{one.old} to {one.new}"
    if one.outcome in ("updated", "conflicts"):
        if not one.new:
            done = f"committed as {one.commit[:12]}" if one.commit else "staged, not committed"
            return f"the update is finished; {done}"
        return f"{releases}: {wording.counted(one)}; {_whereabouts(one)}"
    return {
        "current": f"nothing to do at {one.new}",
        "previewed": f"{releases}: {wording.counted(one)}; nothing was changed now",
        "aborted": "as it was before the update",
        "skipped": f"skipped: {one.problem}",
        "failed": f"failed: {one.problem}",
    }[one.outcome]


def _whereabouts(one: "UpdateResult") -> str:
    if one.branch:
        pushed = ", pushed" if one.pushed else ""
        return f"committed as {one.commit[:12]} on {one.branch}{pushed}"
    return f"committed as {one.commit[:12]}" if one.commit else "staged, not committed"
