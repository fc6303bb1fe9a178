"""Three-way merge of the old render, the new render and a project, in a git object database.

Nothing here writes to the project: the merge lives in a repository of its own that reads the
project's objects, so neither the project's settings nor its merge drivers have any influence.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import TemplateError, listed
from ..repository.files import parents
from ..repository.scratch import Change, Entry, Scratch
from ..repository.worktree import Worktree
from .conflicts import REASONS, Conflict, is_about_a_deleted_file, parse, relabelled
from .line_ends import with_line_ends_of
from .resolvers.hunks import SIZE
from .settlement import SettledHunk, settle

_MERGING = ("merge-tree", "--write-tree", "-z", "--messages")


@dataclass(frozen=True)
class Merge:
    """The project as it will be."""

    tree: str
    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    left_out: Mapping[str, str]
    """By path, why the project does not get what the template adds or changes."""
    settled: tuple[SettledHunk, ...] = ()
    """What git reports as a conflict, and a rule has merged."""


def merge(
    scratch: Scratch,
    worktree: Worktree,
    *,
    old: str,
    new: str,
    labels: tuple[str, str],
    is_one_release: bool = False,
    is_strict: bool = False,
) -> Merge:
    """Merge the changes from the render `old` to the render `new` into the project's HEAD.

    Renames on both sides are followed, except the template's if both renders are of one release.
    Files that the project deleted stay deleted, and ignored files are not merged: both are in
    `left_out`. `labels` name the two renders in conflict markers. Conflicts that only look like
    conflicts are settled by rules, unless it is strict.
    """
    ours = worktree.tree()
    ignored = _ignored(scratch, worktree, scratch.paths(old) | scratch.paths(new), ours, new)
    brought = (change.path for change in scratch.changes(old, new) if change.new)
    left_out = {path: "git ignores it here" for path in brought if path in ignored}
    old, new = with_line_ends_of(
        scratch, ours, scratch.without(old, ignored), scratch.without(new, ignored)
    )
    placeholders = _placeholders_of(scratch, old, new, ours) if is_one_release else {}
    merged = _three_way(
        scratch,
        scratch.edited(old, placeholders),
        ours,
        new,
        placeholders=placeholders,
        labels=labels,
        is_strict=is_strict,
    )
    return replace(merged, left_out={**left_out, **merged.left_out})


def _three_way(
    scratch: Scratch,
    old: str,
    ours: str,
    new: str,
    *,
    placeholders: Mapping[str, Entry | None],
    labels: tuple[str, str],
    is_strict: bool,
) -> Merge:
    """Merge the trees with git; `placeholders` are added to the project's before."""
    before, label = map(_branch, labels)
    base, mine, theirs = scratch.branches(
        old, {"yours": scratch.edited(ours, placeholders), label: new}
    )
    tree, found = parse(scratch.git(*_MERGING, "yours", label, may_exit=(0, 1)))
    deleted = [one for one in found if is_about_a_deleted_file(one)]
    conflicts = [one for one in found if one not in deleted]
    left_out = _unwanted(scratch, old, new, deleted)
    gone = {one.path for one in deleted}
    if gone and any(one.reason == REASONS["file/directory"] for one in conflicts):
        # What is in their place now does not have to move.
        old, new = (scratch.without(one, gone & scratch.paths(one)) for one in (old, new))
        again = _three_way(
            *(scratch, old, ours, new),
            placeholders=placeholders,
            labels=labels,
            is_strict=is_strict,
        )
        return replace(again, left_out={**left_out, **again.left_out})
    tree = scratch.without(tree, gone & scratch.paths(tree))
    settled: Sequence[SettledHunk] = ()
    if not is_strict and any(one.is_only_lines for one in conflicts):
        long_marked = _long_marked(scratch, mine, theirs)
        labelled = "yours", before, label
        tree, conflicts, settled = settle(scratch, tree, conflicts, long_marked, labelled)
    marked = [conflict.path for conflict in conflicts if conflict.is_marked]
    tree = relabelled(scratch, tree, marked, commit=base, label=before)
    saved = _dropped_files(scratch, base=base, ours=ours, theirs=theirs, merged=tree)
    tree = scratch.edited(tree, {one.path: one.entries[-1] for one in saved})
    changes = scratch.changes(ours, tree)
    return Merge(tree, changes, (*conflicts, *saved), left_out, tuple(settled))


def _ignored(
    scratch: Scratch, worktree: Worktree, rendered: Collection[str], ours: str, new: str
) -> set[str]:
    """Return rendered paths that the project lacks, and that git ignores there or in `new`."""
    missing = set(rendered) - scratch.paths(ours)
    return worktree.ignored(missing) | scratch.ignored(new, missing)


def _long_marked(scratch: Scratch, mine: str, theirs: str) -> str:
    """Return the merged tree with markers that no line of a file looks like."""
    attributes = scratch.repository / "long-markers"
    attributes.write_text(f"* conflict-marker-size={SIZE}\n")
    settings = ("-c", f"core.attributesFile={attributes}", "-c", "merge.conflictStyle=diff3")
    printed = scratch.git(*settings, *_MERGING, mine, theirs, may_exit=(0, 1))
    return parse(printed)[0]


def _unwanted(
    scratch: Scratch, old: str, new: str, conflicts: Collection[Conflict]
) -> dict[str, str]:
    """Return by path which file the project has deleted, if the template has changed it since."""
    versions = {
        one.path: {entry.stage: (entry.mode, entry.id) for entry in one.entries}
        for one in conflicts
    }
    changed = [path for path, one in versions.items() if 3 in one and one[3] != one.get(1)]
    renamed = {path: was for was, path in scratch.renames(old, new).items()} if changed else {}
    return {
        path: f"you deleted {listed([renamed[path]]) if path in renamed else 'it'}"
        for path in changed
    }


def _placeholders_of(scratch: Scratch, old: str, new: str, ours: str) -> dict[str, Entry | None]:
    """Return empty files at paths that `new` adds and git would take for renamed files of `old`.

    If these paths exist in both trees, git sees no rename.
    """
    empty = Entry("100644", scratch.write_blob(b""))
    placeholders: dict[str, Entry | None] = {}
    taken = [f"{path}/" for path in scratch.paths(ours)]
    while True:
        targets = scratch.renames(scratch.edited(old, placeholders), new).values()
        found = {
            path: empty
            for path in targets
            if not any(f"{path}/".startswith(one) or one.startswith(f"{path}/") for one in taken)
        }
        if not found:
            return placeholders
        placeholders |= found


def _dropped_files(
    scratch: Scratch, *, base: str, ours: str, theirs: str, merged: str
) -> list[Conflict]:
    """Return files that the project has changed and that git dropped, as conflicts.

    If both sides renamed equal files to one path, git keeps only one of them.
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
    # If a folder is added there, git has moved the file beside it, and reports a conflict.
    moved = {parent for path in arrived for parent in parents(path)}
    dropped: list[Conflict] = []
    for path, entry in edited.items():
        place = renamed.get(path, "")
        is_merged = place in arrived and arrived[place] != new[place]
        if not (is_merged or entry.id in contents or path in moved):
            stages = (before.get(path), 1), (entry, 2)
            versions = tuple(Entry(one.mode, one.id, stage) for one, stage in stages if one)
            dropped.append(Conflict(path, REASONS["modify/delete"], versions, is_marked=False))
    return dropped


def _branch(label: str) -> str:
    """Return a label as git accepts it for a branch."""
    safe = "".join(c if c.isalnum() or c in ".-_" else "-" for c in label).strip(".-")
    if not safe:
        raise TemplateError(f"the release {label!a} can't be named")
    return f"template-{safe}"
