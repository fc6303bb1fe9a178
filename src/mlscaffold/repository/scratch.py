"""A temporary git repository, in which trees are made, merged and compared."""

import hashlib
import os
import zlib
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from . import git
from .worktree import names

_SIGNATURE = "mlscaffold <mlscaffold@users.noreply.github.com> 1700000000 +0000"
_SETTINGS = tuple(
    word
    for setting in (
        "core.autocrlf=false",
        "core.fsync=none",
        "core.safecrlf=false",
        "core.fileMode=true",
        "core.symlinks=true",
        f"core.attributesFile={os.devnull}",
        f"core.excludesFile={os.devnull}",
        "merge.conflictStyle=zdiff3",
        "merge.directoryRenames=true",
        "merge.renames=true",
        "diff.renames=true",
        "core.quotePath=false",
    )
    for word in ("-c", setting)
)


@dataclass(frozen=True)
class Entry:
    """A file as git keeps it."""

    mode: str
    id: str
    stage: int = 0


@dataclass(frozen=True)
class Change:
    """A change to one path; without `old` it is added, without `new` it is deleted."""

    path: str
    """Relative to the project's folder."""
    old: Entry | None
    new: Entry | None


Key = TypeVar("Key")
Known = TypeVar("Known")

# Of trees, and from one tree to another: what has an id does not change. For several threads, each
# of which only adds to them.
_entries: dict[str, Mapping[str, Entry]] = {}
_changes: dict[tuple[str, str], tuple[Change, ...]] = {}
_ignored: dict[tuple[str, frozenset[str]], set[str]] = {}
_MAX_REMEMBERED = 100


class Scratch:
    """A temporary bare repository that reads the objects of others."""

    def __init__(
        self, folder: Path, *, object_format: str, alternates: Iterable[Path] = ()
    ) -> None:
        self.repository = folder
        self._object_format = object_format
        _init(folder, object_format)
        file = folder / "objects" / "info" / "alternates"
        file.write_bytes(b"".join(os.fsencode(objects) + b"\n" for objects in alternates))

    @property
    def objects(self) -> Path:
        """Where its own objects are."""
        return self.repository / "objects"

    def git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        may_exit: Collection[int] = (0,),
    ) -> bytes:
        """Run git without the user's settings; return what it printed."""
        return git.output(
            *_SETTINGS,
            *arguments,
            cwd=self.repository,
            stdin=stdin,
            env={"GIT_DIR": str(self.repository), **(env or {})},
            may_exit=may_exit,
        )

    def line(self, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> str:
        """Return the one line that git printed."""
        return os.fsdecode(self.git(*arguments, stdin=stdin, env=env)).strip()

    def write_folder(self, folder: Path) -> str:
        """Return the id of the tree that holds the files of a folder, ignored or not."""
        with self._index() as env:
            env = env | {"GIT_WORK_TREE": str(folder)}
            self.git("-C", str(folder), "add", "--all", "--force", ".", env=env)
            return self.line("write-tree", env=env)

    def without(self, tree: str, paths: Collection[str]) -> str:
        """Return the id of the tree without some of its files."""
        return self.edited(tree, dict.fromkeys(paths))

    def edited(self, tree: str, entries: Mapping[str, Entry | None]) -> str:
        """Return the id of the tree with some files set or removed; "" is the empty tree."""
        if tree and not entries:
            return tree
        nothing = Entry("0", "0" * len(tree or self.line("mktree", stdin=b"")))
        lines = b"".join(
            f"{(entry or nothing).mode} {(entry or nothing).id}\t".encode()
            + os.fsencode(path)
            + b"\0"
            for path, entry in entries.items()
        )
        with self._index() as env:
            if tree:
                self.git("read-tree", tree, env=env)
            self.git("update-index", "-z", "--index-info", stdin=lines, env=env)
            return self.line("write-tree", env=env)

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of files, by their ids."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        asked = "".join(f"{id}\n" for id in wanted).encode()
        printed = self.git("cat-file", "--batch", stdin=asked)
        return {id: content for id, _, content in git.objects(printed)}

    def paths(self, tree: str) -> set[str]:
        """Return every file in the tree."""
        return set(self._listed(tree))

    def ignored(self, tree: str, paths: Collection[str]) -> set[str]:
        """Return those of the paths that the tree's own .gitignore files ignore."""
        key = tree, frozenset(paths)
        found = _ignored.get(key)
        return _remember(_ignored, key, self._ignored(*key)) if found is None else found

    def _ignored(self, tree: str, paths: Collection[str]) -> set[str]:
        rules = [path for path in self.paths(tree) if path.rpartition("/")[2] == ".gitignore"]
        if not (rules and paths):
            return set()
        with (
            TemporaryDirectory(dir=self.repository, prefix="rules-") as folder,
            self._index() as env,
        ):
            env = env | {"GIT_WORK_TREE": folder}
            self.git("read-tree", tree, env=env)
            asked = b"".join(os.fsencode(path) + b"\0" for path in rules)
            self.git("-C", folder, "checkout-index", "-z", "--stdin", stdin=asked, env=env)
            return self._ignored_in(folder, paths)

    def matching(self, patterns: Iterable[str], paths: Collection[str]) -> set[str]:
        """Return those of the paths that match the patterns, which are as in .gitignore."""
        with TemporaryDirectory(dir=self.repository, prefix="rules-") as folder:
            rules = "".join(f"{pattern}\n" for pattern in patterns)
            Path(folder, ".gitignore").write_text(rules, encoding="utf-8")
            return self._ignored_in(folder, paths)

    def _ignored_in(self, folder: str, paths: Collection[str]) -> set[str]:
        """Return those of the paths that the .gitignore files in a folder ignore there."""
        asked = b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)
        if not asked:
            return set()
        check = ("-C", folder, "check-ignore", "--no-index", "-z", "--stdin")
        found = self.git(*check, stdin=asked, env={"GIT_WORK_TREE": folder}, may_exit=(0, 1))
        return {path.removeprefix("./") for path in names(found)}

    def branches(self, base: str, trees: Mapping[str, str]) -> tuple[str, ...]:
        """Commit a tree, and one on top of it for each branch; return the ids of all."""
        root = self._write_commit(base)
        tips = {branch: self._write_commit(tree, parent=root) for branch, tree in trees.items()}
        heads = self.repository / "refs" / "heads"
        heads.mkdir(exist_ok=True)
        for branch, tip in tips.items():
            (heads / branch).write_text(f"{tip}\n")
        return root, *tips.values()

    def write_blob(self, content: bytes) -> str:
        """Return the id of a new file with this content."""
        return self._write_object("blob", content)

    def _write_commit(self, tree: str, *, parent: str = "") -> str:
        above = f"parent {parent}\n" if parent else ""
        signed = f"author {_SIGNATURE}\ncommitter {_SIGNATURE}\n"
        return self._write_object("commit", f"tree {tree}\n{above}{signed}\nMerge\n".encode())

    def _write_object(self, kind: str, content: bytes) -> str:
        """Write an object as git does, which would have to be run for each; return its id."""
        whole = f"{kind} {len(content)}\0".encode() + content
        id = hashlib.new(self._object_format, whole, usedforsecurity=False).hexdigest()
        file = self.objects / id[:2] / id[2:]
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(zlib.compress(whole, level=1))
        return id

    def changes(self, old: str, new: str) -> tuple[Change, ...]:
        """Return the changes from one tree to the other."""
        if old == new:
            return ()
        found = _changes.get((old, new))
        return _remember(_changes, (old, new), self._compare(old, new)) if found is None else found

    def _compare(self, old: str, new: str) -> tuple[Change, ...]:
        listed = names(self.git("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new))
        pairs = zip(listed[::2], listed[1::2], strict=True)
        return tuple(_change(record, path) for record, path in pairs)

    def entries(self, tree: str) -> dict[str, Entry]:
        """Return every file in the tree, by path."""
        return dict(self._listed(tree))

    def _listed(self, tree: str) -> Mapping[str, Entry]:
        found = _entries.get(tree)
        return _remember(_entries, tree, self._list(tree)) if found is None else found

    def _list(self, tree: str) -> Mapping[str, Entry]:
        found: dict[str, Entry] = {}
        for record in names(self.git("ls-tree", "-r", "-z", tree)):
            fields, _, path = record.partition("\t")
            mode, _, id = fields.split(" ")
            found[path] = Entry(mode, id)
        return found

    def line_counts(self, old: str, new: str, *, only: str = "") -> dict[str, tuple[int, int]]:
        """Return how many lines each changed file gains and loses; a binary file counts as one.

        Line ends are ignored. `only` is as git's --diff-filter.
        """
        plain = ("--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-cr-at-eol")
        kinds = [f"--diff-filter={''.join(only)}"] if only else []
        counts = {}
        for record in names(
            self.git("diff-tree", "-r", "-z", "--numstat", *plain, *kinds, old, new)
        ):
            added, deleted, path = record.split("\t", 2)
            counts[path] = (1, 1) if added == "-" else (int(added), int(deleted))
        return counts

    def renames(self, old: str, new: str) -> dict[str, str]:
        """Return the files renamed from one tree to the other: new paths by old path."""
        options = ("-r", "-z", "--name-status", "--find-renames", "--diff-filter=R")
        listed = names(self.git("diff-tree", *options, old, new))
        return dict(zip(listed[1::3], listed[2::3], strict=True))

    def diff(self, old: str, new: str, *, only: str = "", binary: bool = False) -> str:
        """Return the unified diff between two trees; `only` is as git's --diff-filter.

        With `binary`, git can apply all of it.
        """
        kinds = [f"--diff-filter={only}"] if only else []
        kinds += ["--binary", "--full-index"] if binary else []
        plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--find-renames")
        shown = self.git("diff-tree", "-r", "-p", *plain, *kinds, old, new)
        return shown.decode(errors="surrogateescape")

    @contextmanager
    def _index(self) -> Generator[dict[str, str]]:
        with TemporaryDirectory(dir=self.repository, prefix="index-") as folder:
            yield {"GIT_INDEX_FILE": str(Path(folder, "index"))}


@contextmanager
def open_scratch(*, object_format: str, alternates: Iterable[Path]) -> Generator[Scratch]:
    """Yield a scratch repository that is removed when the block ends."""
    with TemporaryDirectory(prefix="mlscaffold-", ignore_cleanup_errors=True) as folder:
        yield Scratch(
            Path(folder, "scratch.git"), object_format=object_format, alternates=alternates
        )


def _remember(known: dict[Key, Known], key: Key, value: Known) -> Known:
    if len(known) >= _MAX_REMEMBERED:
        known.clear()
    known[key] = value
    return value


def _init(folder: Path, object_format: str) -> None:
    """Make an empty bare repository, as git would."""
    for name in ("objects/info", "objects/pack", "refs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    is_default = object_format == "sha1"
    extension = "" if is_default else f"[extensions]\n\tobjectFormat = {object_format}\n"
    version = 0 if is_default else 1
    core = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n"
    (folder / "config").write_text(core + extension)


def _change(record: str, path: str) -> Change:
    """Parse a record such as `:100644 100755 1a2b... 3c4d... M`."""
    old_mode, new_mode, old, new, _ = record.removeprefix(":").split(" ")
    return Change(path, _entry(old_mode, old), _entry(new_mode, new))


def _entry(mode: str, id: str) -> Entry | None:
    return Entry(mode, id) if mode != "000000" else None
