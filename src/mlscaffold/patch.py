"""Write what a project changed as a patch against its template, to send a fix upstream."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .diff import Comparison, compared
from .rendering.upstream import upstream
from .repository import git
from .repository.scratch import Change, Entry, Scratch, open_scratch
from .updating.line_ends import line_end

_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Patch:
    """A patch for `git apply` in a clone of the template."""

    text: str
    """Empty if there is nothing to patch."""
    left_out: Mapping[str, str]
    """By path, or path and lines, of the project: why a change is not in the patch."""
    names: Mapping[str, str]
    """By path of the project: a name of this project that the patch adds to the template."""


def patch(path: Path, *, answers_file: str = "", trust: bool = False) -> Patch:
    """Return what a project changed in files of its template, as changes of the template's files.

    Files that are copied are patched as they are. In files that are rendered, a change is carried
    back where rendering the patched file gives the same change; otherwise it is left out.
    """
    with compared(path, answers_file=answers_file, trust=trust) as found:
        listed = found.scratch.changes(found.rendered, found.present)
        changes = [one for one in listed if one.path != found.project.answers_file]
        entries = [entry for one in changes for entry in (one.old, one.new) if entry]
        blobs = found.scratch.blobs(entry.id for entry in entries)
        known = upstream(
            found.releases,
            ref=found.release,
            data=found.answers.data,
            changed={one.path: _text(blobs[one.new.id]) if one.new else None for one in changes},
            project=found.project.path,
        )
        format = git.run("rev-parse", "--show-object-format", cwd=found.releases.repository)
        alternates = [found.releases.repository / "objects"]
        with open_scratch(object_format=format, alternates=alternates) as template:
            return _patch(found, changes, blobs, known, template)


def _patch(
    found: Comparison,
    changes: Iterable[Change],
    blobs: Mapping[str, bytes],
    known: Mapping[str, Mapping[str, Any]],
    template: Scratch,
) -> Patch:
    commit = found.releases.commit(found.release)
    tree = template.line("rev-parse", f"{commit}^{{tree}}")
    before = template.entries(tree)
    after: dict[str, Entry | None] = {}
    left_out: dict[str, str] = {}
    names: dict[str, str] = {}
    for change in changes:
        place = known.get(change.path, {})
        source = place.get("source", "")
        old = before.get(source)
        if old is None:
            left_out[change.path] = "not one file of the template makes it alone"
        elif change.new is None:
            after[source] = None
        else:
            written = template.blobs([old.id])[old.id]
            content, problems = _content(change, place, written, blobs)
            left_out |= problems
            id = template.write_blob(content)
            is_same_mode = change.old and change.old.mode == change.new.mode
            after[source] = Entry(old.mode if is_same_mode else change.new.mode, id)
            added = b"\n".join({*content.splitlines()} - {*written.splitlines()})
            for name in place["names"]:
                if re.search(rb"\b%b\b" % re.escape(name.encode()), added):
                    names[change.path] = name
    text = template.diff(tree, template.edited(tree, after), binary=True)
    return Patch(_header(found) + text if text else "", left_out, names)


def _content(
    change: Change, place: Mapping[str, Any], source: bytes, blobs: Mapping[str, bytes]
) -> tuple[bytes, dict[str, str]]:
    """Return the template's file with the change, and what of it could not be carried back."""
    assert change.old and change.new
    wanted = _with_line_ends_of(source, blobs[change.new.id])
    if place["is_copied"]:
        is_same = _with_line_ends_of(source, blobs[change.old.id]) == source
        problem = "the template's file is not what was copied"
        return (wanted, {}) if is_same else (source, {change.path: problem})
    if change.old.id == change.new.id:
        return source, {}
    if "text" not in place:
        return source, {change.path: f"{place['source']} is rendered, and this is no short text"}
    reason = f"{place['source']} does not hold these lines as they are"
    return place["text"].encode(), {
        f"{change.path}:{first}-{last}" if last > first else f"{change.path}:{first}": reason
        for first, last in place["left_out"]
    }


def _header(found: Comparison) -> str:
    """Return lines before the first file, which git skips."""
    template = git.without_secrets(found.project.template)
    return (
        f"A patch against the template {template}, release {found.release}.\n"
        "In a clone of it: git apply FILE\n\n"
    )


def _with_line_ends_of(like: bytes, text: bytes) -> bytes:
    ends = line_end(text), line_end(like)
    return text.replace(*ends) if all(ends) else text


def _text(content: bytes) -> str | None:
    """Return a text that can be compared line by line, `None` if it is something else."""
    try:
        is_text = b"\0" not in content and len(content) <= _MAX_BYTES
        return content.decode() if is_text else None
    except UnicodeDecodeError:
        return None
