"""What an update says in its commit, and in a pull request: Markdown that is also plain text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .keep import KeptFile
    from .result import UpdateResult
    from .settlement import SettledHunk

MAX_BYTES = 60_000
"""GitHub refuses a text of more than 65,536 characters."""
_MAX_PATHS = 20
_RULES = {
    "touching": "both changed lines that touch",
    "list": "both added to a list",
    "blocks": "both added blocks at one place",
    "comment": "one side added a comment to a line that the other changed",
    "pin": "both raised a version, the higher one is taken",
    "layout": "one side reformatted what the other changed",
}
_CHANGES = {"added": "adds", "changed": "changes", "deleted": "deletes", "renamed": "renames"}


UNLOCKED = (
    "The dependencies may have changed, and `uv.lock` is as it was: run `uv lock` on this branch."
)


def title_of(done: "UpdateResult") -> str:
    """Return the title for an update to a release, or for files that were missing."""
    if done.old == done.new:
        return f"Add missing files of the template's release {done.new}"
    return f"Update from the template's release {done.old} to {done.new}"


def plain(path: str) -> str:
    """Return a path, escaped if it is not printable."""
    return path if path.isprintable() else ascii(path)


def place_of(hunk: "SettledHunk") -> str:
    """Return the file and the lines of a settled hunk."""
    first, last = hunk.lines
    return f"{plain(hunk.path)}:{first}-{last}" if last > first else f"{plain(hunk.path)}:{first}"


def rules_of(hunk: "SettledHunk") -> str:
    """Return what the rules that settled a hunk found."""
    return "; ".join(map(_RULES.__getitem__, hunk.rule.split(", ")))


def change_of(kept: "KeptFile") -> str:
    """Return what the template does to a file that the project keeps."""
    moves = f" to {plain(kept.to)}" if kept.to else ""
    return f"the template {_CHANGES[kept.change]} it{moves}"


def counted(done: "UpdateResult") -> str:
    """Return how many files were changed, added, deleted and are in conflict."""
    found = ", ".join(f"{len(paths)} {kind}" for kind, paths in _by_kind(done).items() if paths)
    return found or "no file changes"


def text_of(done: "UpdateResult") -> str:
    """Return what was done, without the title: conflicts, settled hunks, what was left out."""
    return "\n".join(_lines_of(done)).strip("\n")


def how_to_resolve(remote: str, branch: str) -> str:
    """Return how to resolve the conflicts of a pull request."""
    return (
        "To resolve the conflicts, edit what stands between the markers, and push to this branch. "
        "Later updates leave it alone while it has your commits.\n\n"
        f"    git fetch {remote}\n"
        f"    git switch {branch}\n"
        "    git grep -n '^<<<<<<<'"
    )


def shortened(text: str) -> str:
    """Return the text, without its last lines if it is longer than a request may be."""
    if len(text.encode(errors="replace")) <= MAX_BYTES:
        return text
    kept = text.encode(errors="replace")[:MAX_BYTES].decode(errors="ignore").splitlines()[:-1]
    left = len(text.splitlines()) - len(kept)
    return "\n".join([*kept, "", f"{left} more lines are in the message of the commit."])


def code(text: str) -> str:
    """Return the text as code in Markdown, which mentions nobody and formats nothing."""
    text = plain(text)
    fence = "`" if "`" not in text else "``" if "``" not in text else "```"
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _by_kind(done: "UpdateResult") -> dict[str, Sequence[str]]:
    return {
        "changed": done.changed,
        "added": done.added,
        "deleted": done.deleted,
        "in conflict": tuple(done.conflicts),
    }


def _lines_of(done: "UpdateResult") -> Iterator[str]:
    yield from _listed("Conflicts, to be resolved before this is merged:", done.conflicts)
    settled = {place_of(hunk): rules_of(hunk) for hunk in done.settled}
    yield from _listed("Both sides changed these lines, and a rule settled each of them:", settled)
    yield from _listed("Left out of what the template changes:", done.left_out)
    kept = {file.path: change_of(file) for file in done.kept}
    yield from _listed("Kept by the project's `.mlscaffold.yml`:", kept)
    unused = dict.fromkeys(done.unused, "matches no file")
    yield from _listed("Patterns of the project's `.mlscaffold.yml` without effect:", unused)
    yield f"Files: {counted(done)}."
    yield ""
    kinds = _by_kind(done)
    del kinds["in conflict"]
    for kind, paths in kinds.items():
        if paths:
            more = f" and {len(paths) - _MAX_PATHS} more" if len(paths) > _MAX_PATHS else ""
            yield f"- {kind}: {', '.join(map(code, sorted(paths)[:_MAX_PATHS]))}{more}"


def _listed(heading: str, reasons: Mapping[str, str]) -> Iterator[str]:
    if reasons:
        yield heading
        yield ""
        yield from (f"- {code(path)}: {reason}" for path, reason in reasons.items())
        yield ""
