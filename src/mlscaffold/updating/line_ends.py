"""Renders with the line ends of the project's files."""

from ..repository.scratch import Entry, Scratch


def with_line_ends_of(scratch: Scratch, ours: str, old: str, new: str) -> tuple[str, str]:
    """Return the renders with the line ends of the project's files, where these are uniform.

    Otherwise each change of the template to such a file would be in conflict.
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
        end = line_end(blobs[found.id])
        if {end, line_end(blobs[before.id])} == {b"\n", b"\r\n"}:
            for entries, entry in ((olds, before), (news, after)):
                text = blobs[entry.id].replace(b"\r\n", b"\n").replace(b"\n", end)
                id = scratch.write_blob(text)
                entries[path] = Entry(entry.mode, id)
    return scratch.edited(old, olds), scratch.edited(new, news)


def line_end(text: bytes) -> bytes:
    """Return how each line of a text ends; empty for bytes, and where lines differ."""
    count, pairs = text.count(b"\n"), text.count(b"\r\n")
    if b"\0" in text or not count or pairs not in (0, count):
        return b""
    return b"\r\n" if pairs else b"\n"
