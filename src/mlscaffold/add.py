"""Add a piece to a project: what its release writes for a new dataset, model or the like."""

import ast
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import (
    AnswerError,
    BlockedPathError,
    ExistingFileError,
    MarkedPlaceError,
    NoRepositoryError,
    ProjectError,
    TakenNameError,
    TemplateError,
    UnfinishedUpdateError,
    shown,
)
from .project import Project, open_project
from .rendering.pieces import Lines, Piece, kinds, read_piece
from .rendering.releases import Releases
from .rendering.render_cache import open_render_cache
from .repository import files
from .repository.git import without_secrets
from .repository.worktree import open_worktree
from .updating import addition, transaction
from .updating.project_answers import recorded_answers, recorded_release

_MAX_NAME = 32
"""Longer names would break lines of the template that are formatted for all names."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """A piece that was added, or in a dry run would have been; paths are below the project."""

    project: Path
    kind: str
    name: str
    release: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    places: tuple[str, ...]
    """Where something is to be filled in, as `path:line`."""
    mark: str
    """What marks these places."""
    next: tuple[str, ...]
    """Commands to type then, in the project."""


def add(
    path: Path,
    kind: str,
    name: str,
    *,
    dry_run: bool = False,
    answers_file: str = "",
    trust: bool = False,
) -> Added:
    """Write the files of a new piece, and the lines for it in existing files.

    All of it comes from the release that the project has. If anything fails, nothing is changed.

    Args:
        path: The project.
        kind: What to add, such as `model`.
        name: The name of the piece, in snake_case, kebab-case or CamelCase.
        dry_run: Whether to write nothing.
        answers_file: Which of a project's templates to use.
        trust: Whether the template may run its Jinja extensions.
    """
    project = open_project(path, answers_file)
    _require_finished(path)
    with open_render_cache(may_run_code=trust) as cache:
        releases = cache.releases(project.template)
        release = recorded_release(project, releases)
        _require_kind(kind, project, releases, release)
        names = {"name": _module_name(name), "class_name": _class_name(name)}
        data = {**recorded_answers(project, cache, release).data, **names}
        piece = read_piece(releases, release, kind, data)
    if piece.complaint:
        raise _invalid(name, piece.complaint)
    _require_no_clash(name, piece)
    with addition.locked(path):
        _require_free(path, piece)
        before = {one.file: files.digest_in(path, one.file) for one in piece.lines}
        changed = _with_lines(path, piece)
        if not dry_run:
            new = {one: text.encode() for one, text in piece.files.items()}
            addition.write(path, {**new, **changed}, before=before)
    contents = {one: text.decode(errors="replace") for one, text in changed.items()}
    return Added(
        project=path,
        kind=kind,
        name=names["name"],
        release=project.commit,
        added=tuple(sorted(piece.files)),
        changed=tuple(sorted(changed)),
        places=tuple(_places({**piece.files, **contents}, piece)),
        mark=piece.mark,
        next=piece.next,
    )


def _require_finished(path: Path) -> None:
    """Raise UnfinishedUpdateError if an update of the project is to be finished first."""
    try:
        worktree = open_worktree(path)
    except NoRepositoryError:
        return
    if journal := transaction.unfinished(worktree):
        raise UnfinishedUpdateError(worktree.top / journal.prefix)


def _require_kind(kind: str, project: Project, releases: Releases, release: str) -> None:
    """Raise an error if the project's release can't add a piece of this kind."""
    if known := kinds(releases, release):
        if kind not in known:
            raise AnswerError(f"KIND must be one of {', '.join(known)}; got {shown(kind)}")
        return
    latest = releases.latest()
    if latest != release and kinds(releases, latest):
        raise ProjectError(
            f"{project.path} has release {project.commit} of its template, which has no pieces to "
            f"add; {latest} has them: run `mlscaffold update` first"
        )
    template = without_secrets(project.template)
    raise TemplateError(f"the template {template} has no pieces to add at {release}")


def _module_name(name: str) -> str:
    """Return the name in snake_case; raise AnswerError if it can't be one of a Python module."""
    hump = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    found = re.sub(hump, "_", name).replace("-", "_").lower()
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", found) or len(found) > _MAX_NAME:
        raise _invalid(
            name,
            f"must be a word of at most {_MAX_NAME} letters and digits, with a letter first, or "
            "several such as my_model, my-model or MyModel",
        )
    if keyword.iskeyword(found) or keyword.issoftkeyword(found):
        raise _invalid(name, "is a keyword of Python")
    return found


def _class_name(name: str) -> str:
    """Return the name in CamelCase; capitals are kept, as in LSTM."""
    return "".join(part[:1].upper() + part[1:] for part in re.split("[-_]", name))


def _invalid(name: str, complaint: str) -> AnswerError:
    return AnswerError(f"NAME {complaint}; got {shown(name)}")


def _require_no_clash(name: str, piece: Piece) -> None:
    """Raise AnswerError if a new module would define a class under a name that it imports."""
    for path, text in piece.files.items():
        imported: set[str] = set()
        defined: set[str] = set()
        for node in ast.walk(_tree(text) if path.endswith(".py") else ast.Module([], [])):
            if isinstance(node, ast.ImportFrom):
                imported |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.ClassDef):
                defined.add(node.name)
        for clash in sorted(imported & defined):
            raise _invalid(name, f"must not give {clash}, which {path} imports")


def _tree(text: str) -> ast.AST:
    try:
        return ast.parse(text)
    except (RecursionError, SyntaxError, ValueError) as error:
        raise TemplateError(f"the template writes a module that is no Python: {error}") from error


def _require_free(top: Path, piece: Piece) -> None:
    """Raise ProjectError if something is where a new file will be."""
    for path in piece.files:
        package = path.removesuffix(".py")
        for taken in {path, package}:
            if (top / taken).exists():
                raise ExistingFileError(taken)
        if found := files.blocking_path(top, path, going=set()):
            raise BlockedPathError("a link or a file is in the way", [found], "move it first")


def _with_lines(top: Path, piece: Piece) -> Mapping[str, bytes]:
    """Return the files of the project that get lines, with these."""
    found: dict[str, bytes] = {}
    for lines in piece.lines:
        file = top / lines.file
        if not files.digest_in(top, lines.file).startswith("file "):
            raise MarkedPlaceError(lines.file, lines.below, lines.text, "is no file with")
        found[lines.file] = _inserted(found.get(lines.file) or file.read_bytes(), lines)
    return found


def _inserted(content: bytes, lines: Lines) -> bytes:
    """Return the content with the lines below the marked place, and nothing else changed."""
    end = "\r\n" if b"\r\n" in content else "\n"
    # Bytes that are no UTF-8 stay as they are.
    before = content.decode(errors="surrogateescape").splitlines(keepends=True)
    bare = [line.rstrip("\r\n") for line in before]
    for number, line in enumerate(bare, start=1):
        if line.startswith(lines.taken):
            raise TakenNameError(lines.file, number, line)
    if bare.count(lines.below) != 1:
        problem = "has more than once" if lines.below in bare else "does not have"
        raise MarkedPlaceError(lines.file, lines.below, lines.text, problem)
    place = bare.index(lines.below) + 1
    text = lines.text
    if place < len(bare) and bare[place].strip():
        # As many blank lines as it begins with also set it apart from what follows.
        text += "\n" * (len(text) - len(text.lstrip("\n")))
    if not before[place - 1].endswith("\n"):
        before[place - 1] += end
    before.insert(place, text.replace("\n", end))
    return "".join(before).encode(errors="surrogateescape")


def _places(contents: Mapping[str, str], piece: Piece) -> Iterator[str]:
    """Yield the places to fill in, as `path:line`; in files of the project, those that are new."""
    new = [(path, text) for path, text in piece.files.items()]
    new += [(one.file, one.text) for one in piece.lines]
    for path, text in sorted(new):
        content = contents[path].replace("\r\n", "\n")
        first = content[: content.index(text)].count("\n") + 1
        for number, line in enumerate(text.splitlines(), start=first):
            if piece.mark and piece.mark in line:
                yield f"{path}:{number}"
