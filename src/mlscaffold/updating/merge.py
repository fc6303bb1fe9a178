"""Three-way merge of the old render, the new render and a project, in a git object database.

Nothing here writes to the project: the merge lives in a repository of its own that reads the
project's objects, so neither the project's settings nor its merge drivers have a say.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ..errors import TemplateError
from ..repository.files import parents
from ..repository.scratch import Change, Entry, Scratch
from ..repository.worktree import Worktree, names, some

_REASONS = {
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
    """A path that only its user can settle."""

    path: str
    reason: str
    entries: tuple[Entry, ...]
    """The versions for git's index: stage 1 the old render, 2 the project, 3 the new render."""
    is_marked: bool
    """Whether the file holds conflict markers."""


@dataclass(frozen=True)
class Merge:
    """The project as it will be."""

    tree: str
    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    left_out: Mapping[str, str]
    """By path, why the project does not get what the template adds or changes."""


def merge(
    scratch: Scratch,
    worktree: Worktree,
    *,
    old: str,
    new: str,
    labels: tuple[str, str],
    is_one_release: bool = False,
) -> Merge:
    """The project's HEAD with what has changed from the render `old` to the render `new`.

    A rename on either side is followed, but for the template's where both renders are of one
    release; a file that the project has deleted stays deleted, and what git ignores there takes no
    part: both are told. `labels` name the two renders in conflict markers.
    """
    ours = worktree.tree()
    ignored = _ignored(scratch, worktree, scratch.paths(old) | scratch.paths(new), ours, new)
    brought = (change.path for change in scratch.changes(old, new) if change.new)
    left_out = {path: "git ignores it here" for path in brought if path in ignored}
    old, new = _with_line_ends_of(
        scratch, ours, scratch.without(old, ignored), scratch.without(new, ignored)
    )
    held = _taken_for_renames(scratch, old, new, ours) if is_one_release else {}
    merged = _three_way(scratch, scratch.edited(old, held), ours, new, held=held, labels=labels)
    return replace(merged, left_out={**left_out, **merged.left_out})


def _three_way(
    scratch: Scratch,
    old: str,
    ours: str,
    new: str,
    *,
    held: Mapping[str, Entry | None],
    labels: tuple[str, str],
) -> Merge:
    """What git merges the trees to; `held` are put into the project's before."""
    base = scratch.commit(old)
    mine = scratch.commit(scratch.edited(ours, held), base)
    theirs = scratch.commit(new, base)
    before, label = map(_branch, labels)
    tree, found = _merged(scratch, mine, theirs, label=label)
    deleted = [one for one in found if _is_about_a_deleted_file(one)]
    conflicts = [one for one in found if one not in deleted]
    left_out = _unwanted(scratch, old, new, deleted)
    gone = {one.path for one in deleted}
    if gone and any(one.reason == _REASONS["file/directory"] for one in conflicts):
        # What lies in their place now need not give way.
        old, new = (scratch.without(one, gone & scratch.paths(one)) for one in (old, new))
        again = _three_way(scratch, old, ours, new, held=held, labels=labels)
        return replace(again, left_out={**left_out, **again.left_out})
    tree = scratch.without(tree, gone & scratch.paths(tree))
    marked = [conflict.path for conflict in conflicts if conflict.is_marked]
    tree = _relabelled(scratch, tree, marked, commit=base, label=before)
    saved = _let_go(scratch, base=base, ours=ours, theirs=theirs, merged=tree)
    tree = scratch.edited(tree, {one.path: one.entries[-1] for one in saved})
    return Merge(tree, scratch.changes(ours, tree), (*conflicts, *saved), left_out)


def _ignored(
    scratch: Scratch, worktree: Worktree, rendered: Collection[str], ours: str, new: str
) -> set[str]:
    """What of the renders the project does not have, and git ignores there or in the new one."""
    missing = set(rendered) - scratch.paths(ours)
    return worktree.ignored(missing) | scratch.ignored(new, missing)


def _merged(scratch: Scratch, mine: str, theirs: str, *, label: str) -> tuple[str, list[Conflict]]:
    """The tree that git merges two commits to, and the conflicts."""
    for name, commit in (("yours", mine), (label, theirs)):
        scratch.git("update-ref", f"refs/heads/{name}", commit)
    merging = ("merge-tree", "--write-tree", "-z", "--messages", "yours", label)
    return _parsed(scratch.git(*merging, may_exit=(0, 1)))


def _unwanted(
    scratch: Scratch, old: str, new: str, conflicts: Collection[Conflict]
) -> dict[str, str]:
    """By path, which file the project has deleted, where the template has changed it since."""
    versions = {
        one.path: {entry.stage: (entry.mode, entry.id) for entry in one.entries}
        for one in conflicts
    }
    changed = [path for path, one in versions.items() if 3 in one and one[3] != one.get(1)]
    renamed = {path: was for was, path in scratch.renames(old, new).items()} if changed else {}
    return {
        path: f"you deleted {some([renamed[path]]) if path in renamed else 'it'}"
        for path in changed
    }


def _taken_for_renames(scratch: Scratch, old: str, new: str, ours: str) -> dict[str, Entry | None]:
    """Empty files in the places of what `new` adds and git would take for files of `old`, renamed.

    Where they are in both trees to begin with, git doesn't.
    """
    empty = Entry("100644", scratch.line("hash-object", "-w", "--stdin"))
    held: dict[str, Entry | None] = {}
    taken = [f"{path}/" for path in scratch.paths(ours)]
    while True:
        targets = scratch.renames(scratch.edited(old, held), new).values()
        found = {
            path: empty
            for path in targets
            if not any(f"{path}/".startswith(one) or one.startswith(f"{path}/") for one in taken)
        }
        if not found:
            return held
        held |= found


def _let_go(scratch: Scratch, *, base: str, ours: str, theirs: str, merged: str) -> list[Conflict]:
    """Files that the project has changed and that git lets go, as conflicts.

    It does where both sides renamed equal files to one place: then it forgets the other changes.
    """
    changes = scratch.changes(ours, merged)
    deleted = {change.path: change.old for change in changes if change.old and not change.new}
    before = scratch.entries(base) if deleted else {}
    edited = {path: one for path, one in deleted.items() if one != before.get(path)}
    if not edited:
        return []
    renamed, new = scratch.renames(base, theirs), scratch.entries(theirs)
    arrived = {change.path: change.new for change in changes if change.new}
    contents = {entry.id for entry in arrived.values()}
    # For a folder that comes there, git has moved the file beside it, and tells of a conflict.
    moved = {parent for path in arrived for parent in parents(path)}
    let_go: list[Conflict] = []
    for path, entry in edited.items():
        place = renamed.get(path, "")
        is_merged = place in arrived and arrived[place] != new[place]
        if not (is_merged or entry.id in contents or path in moved):
            stages = (before.get(path), 1), (entry, 2)
            versions = tuple(Entry(one.mode, one.id, stage) for one, stage in stages if one)
            let_go.append(Conflict(path, _REASONS["modify/delete"], versions, is_marked=False))
    return let_go


def _with_line_ends_of(scratch: Scratch, ours: str, old: str, new: str) -> tuple[str, str]:
    """The renders with the line ends of the project, where it has files with only the other ends.

    Else every line of such a file would be in conflict with what the template changes in it.
    """
    mine = {change.path: change.new for change in scratch.changes(old, ours)}
    both: dict[str, tuple[Entry, Entry, Entry]] = {}
    for change in scratch.changes(old, new):
        found = mine.get(change.path)
        if change.old and change.new and found:
            both[change.path] = found, change.old, change.new
    blobs = scratch.blobs(entry.id for entries in both.values() for entry in entries)
    olds: dict[str, Entry | None] = {}
    news: dict[str, Entry | None] = {}
    for path, (found, before, after) in both.items():
        end = _line_end(blobs[found.id])
        if {end, _line_end(blobs[before.id])} == {b"\n", b"\r\n"}:
            for entries, entry in ((olds, before), (news, after)):
                text = blobs[entry.id].replace(b"\r\n", b"\n").replace(b"\n", end)
                id = scratch.line("hash-object", "-w", "--stdin", stdin=text)
                entries[path] = Entry(entry.mode, id)
    return scratch.edited(old, olds), scratch.edited(new, news)


def _line_end(text: bytes) -> bytes:
    """How each line of a text ends; empty for bytes, and where lines differ."""
    count, pairs = text.count(b"\n"), text.count(b"\r\n")
    if b"\0" in text or not count or pairs not in (0, count):
        return b""
    return b"\r\n" if pairs else b"\n"


def _relabelled(
    scratch: Scratch, tree: str, paths: Collection[str], *, commit: str, label: str
) -> str:
    """The tree with the label where markers name the old render's commit, as git has it."""
    named = re.compile(rb"^(\|{7}) " + commit[:7].encode() + rb"[0-9a-f]*", re.MULTILINE)
    entries: dict[str, Entry | None] = {}
    for path in paths:
        mode, _, id = scratch.line("ls-tree", "--full-tree", tree, "--", path).split()[:3]
        text = scratch.git("cat-file", "blob", id)
        text = named.sub(rb"\1 " + label.encode(), text)
        entries[path] = Entry(mode, scratch.line("hash-object", "-w", "--stdin", stdin=text))
    return scratch.edited(tree, entries)


def _is_about_a_deleted_file(conflict: Conflict) -> bool:
    reasons = {_REASONS[kind] for kind in _ABOUT_DELETIONS}
    return conflict.reason in reasons and all(entry.stage != 2 for entry in conflict.entries)


def _parsed(printed: bytes) -> tuple[str, list[Conflict]]:
    """The merged tree and the conflicts in what `git merge-tree -z --messages` printed."""
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
        )
        for path, stages in entries.items()
    ]


def _is_marked(kinds: set[str], entries: list[Entry]) -> bool:
    """Whether git could write markers: neither into bytes nor into a link's target."""
    return (
        "contents" in kinds
        and "binary" not in kinds
        and all(entry.mode.startswith("100") for entry in entries)
    )


def _reason(kinds: set[str], entries: list[Entry]) -> str:
    if {entry.stage for entry in entries} == {2, 3} and "contents" in kinds:
        return "both added it"
    known = [_REASONS[kind] for kind in _REASONS if kind in kinds]
    return known[-1] if known else "both changed it"


def _kinds(messages: bytes) -> dict[str, set[str]]:
    """By path, the kinds of conflict that git tells of."""
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


def _branch(label: str) -> str:
    """A label as git accepts it for a branch."""
    safe = "".join(c if c.isalnum() or c in ".-_" else "-" for c in label).strip(".-")
    if not safe:
        raise TemplateError(f"the release {label!a} can't be named")
    return f"template-{safe}"
