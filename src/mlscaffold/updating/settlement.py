"""Settle the conflicts of a merge that only look like conflicts."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..repository.scratch import Entry, Scratch
from .conflicts import Conflict
from .resolvers import hunks, settling
from .resolvers.clash import Solution
from .resolvers.hunks import Hunk


@dataclass(frozen=True)
class SettledHunk:
    """A hunk that git reports as a conflict, and that a rule has settled."""

    path: str
    lines: tuple[int, int]
    """The first and the last line in the merged file, from 1; none where the last is lower."""
    rule: str
    """Its name; where more than one was needed, their names with commas between them."""


def settle(
    scratch: Scratch,
    tree: str,
    conflicts: Sequence[Conflict],
    long_marked: str,
    labels: tuple[str, str, str],
) -> tuple[str, list[Conflict], list[SettledHunk]]:
    """Return the tree, the conflicts that are left, and what was settled.

    Args:
        scratch: The repository of the merge.
        tree: The merged tree, with git's conflict markers.
        conflicts: What git could not merge.
        long_marked: The same tree with long markers in git's style `diff3`.
        labels: How markers name the project, the old render and the new one.
    """
    entries = scratch.entries(long_marked)
    mergeable = [one for one in conflicts if one.is_only_lines and one.path in entries]
    ids = {entry.id for one in mergeable for entry in one.entries}
    blobs = scratch.blobs(ids | {entries[one.path].id for one in mergeable})
    texts = {id: blob.decode(errors="surrogateescape") for id, blob in blobs.items()}
    left, edited, found = [], {}, []
    for one in conflicts:
        new: list[SettledHunk] = []
        if one in mergeable and hunks.can_be_read(texts[entry.id] for entry in one.entries):
            entry = entries[one.path]
            parts = settling.settled(one.path, hunks.parts_of(texts[entry.id]))
            text, new = _written(one.path, parts, labels)
            if new:
                blob = text.encode(errors="surrogateescape")
                id = scratch.write_blob(blob)
                edited[one.path] = Entry(entry.mode, id)
                found += new
        if not new or any(isinstance(part, Hunk) for part in parts):
            left.append(one)
    return scratch.edited(tree, edited), left, found


def _written(
    path: str, parts: Sequence[tuple[str, ...] | Hunk | Solution], labels: tuple[str, str, str]
) -> tuple[str, list[SettledHunk]]:
    """Return the file, with markers around what is left, and where each settled hunk is."""
    ours, base, theirs = labels
    lines: list[str] = []
    found = []
    for part in parts:
        if isinstance(part, Hunk):
            lines += hunks.written(part, (f" {ours}", f" {base}", "", f" {theirs}"))
        elif isinstance(part, Solution):
            where = len(lines) + 1, len(lines) + len(part.lines)
            found.append(SettledHunk(path, where, ", ".join(part.rules)))
            lines += part.lines
        else:
            lines += part
    return "".join(lines), found
