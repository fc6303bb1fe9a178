"""Conflicts, as `git merge-tree` reports them."""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass

from ..repository.scratch import Entry, Scratch
from ..repository.worktree import names

REASONS = {
    "contents": "both changed it",
    "modify/delete": "you changed what the template removed",
    "rename/delete": "you renamed what the template removed",
    "rename/rename": "both renamed it",
    "binary": "both changed a binary file",
    "file/directory": "a file here, a folder there",
    "distinct modes": "both changed what kind of file it is",
    "distinct types": "both changed what kind of file it is",
    "submodule": "a submodule is in the way",
}
# What the project has deleted stays deleted.
_ABOUT_DELETIONS = ("modify/delete", "rename/delete")


@dataclass(frozen=True)
class Conflict:
    """A path that only the user can resolve."""

    path: str
    reason: str
    entries: tuple[Entry, ...]
    """The versions for git's index: stage 1 the old render, 2 the project, 3 the new render."""
    is_marked: bool
    """Whether the file holds conflict markers."""
    is_only_lines: bool = False
    """Whether both sides changed lines of a text, and nothing else is in conflict there."""


def is_about_a_deleted_file(conflict: Conflict) -> bool:
    reasons = {REASONS[kind] for kind in _ABOUT_DELETIONS}
    return conflict.reason in reasons and all(entry.stage != 2 for entry in conflict.entries)


def relabelled(
    scratch: Scratch, tree: str, paths: Collection[str], *, commit: str, label: str
) -> str:
    """Return the tree with `label` where markers name the old render's commit."""
    named = re.compile(rb"^(\|{7}) " + commit[:7].encode() + rb"[0-9a-f]*", re.MULTILINE)
    entries: dict[str, Entry | None] = {}
    for path in paths:
        mode, _, id = scratch.line("ls-tree", "--full-tree", tree, "--", path).split()[:3]
        text = scratch.git("cat-file", "blob", id)
        text = named.sub(rb"\1 " + label.encode(), text)
        entries[path] = Entry(mode, scratch.write_blob(text))
    return scratch.edited(tree, entries)


def parse(printed: bytes) -> tuple[str, list[Conflict]]:
    """Parse the merged tree and the conflicts from `git merge-tree -z --messages`."""
    head, _, messages = printed.partition(b"\0\0")
    tree, *records = names(head)
    entries: dict[str, list[Entry]] = {}
    for record in records:
        fields, _, path = record.partition("\t")
        mode, id, stage = fields.split(" ")
        entries.setdefault(path, []).append(Entry(mode, id, int(stage)))
    kinds = _kinds(messages)
    return tree, [
        Conflict(
            path,
            _reason(kinds.get(path, set()), stages),
            tuple(stages),
            is_marked=_is_marked(kinds.get(path, set()), stages),
            is_only_lines=_is_only_lines(kinds.get(path, set()), stages),
        )
        for path, stages in entries.items()
    ]


def _is_marked(kinds: set[str], entries: list[Entry]) -> bool:
    """Return whether git wrote markers: not into binary files, nor into a link's target."""
    return (
        "contents" in kinds
        and "binary" not in kinds
        and all(entry.mode.startswith("100") for entry in entries)
    )


def _is_only_lines(kinds: set[str], entries: list[Entry]) -> bool:
    stages = [entry.stage for entry in entries]
    return kinds == {"contents"} and stages == [1, 2, 3] and _is_marked(kinds, entries)


def _reason(kinds: set[str], entries: list[Entry]) -> str:
    if {entry.stage for entry in entries} == {2, 3} and "contents" in kinds:
        return "both added it"
    known = [REASONS[kind] for kind in REASONS if kind in kinds]
    return known[-1] if known else "both changed it"


def _kinds(messages: bytes) -> dict[str, set[str]]:
    """Return the kinds of conflict that git reports, by path."""
    fields = iter(messages.split(b"\0"))
    kinds: dict[str, set[str]] = {}
    for count in fields:
        if not count:
            continue
        paths = [os.fsdecode(next(fields)) for _ in range(int(count))]
        kind = next(fields).decode()
        next(fields)
        if kind.startswith("CONFLICT ("):
            for path in paths:
                kinds.setdefault(path, set()).add(kind[len("CONFLICT (") : -1])
    return kinds
