"""A project's own git repository: where it is, and what in it must not be written."""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..errors import (
    DirtyTreeError,
    FolderError,
    FolderNameError,
    GitBusyError,
    GitError,
    NoRepositoryError,
    NotCommittedError,
)
from . import files, git

# These override the user's settings: no hook or monitor runs, and only the project ignores files.
_OVERRIDES = tuple(
    word
    for setting in (
        f"core.hooksPath={os.devnull}",
        "core.fsmonitor=false",
        "core.safecrlf=false",
        f"core.excludesFile={os.devnull}",
        "core.splitIndex=false",
    )
    for word in ("-c", setting)
)
_BUSY = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
}


@dataclass(frozen=True, kw_only=True)
class Worktree:
    """The working tree that a project's folder is in, which may hold more than the project."""

    top: Path
    prefix: str
    """The project's folder relative to `top`: empty, or with a slash at its end."""
    git_dir: Path
    """The working tree's own git directory; a linked one has its own."""
    index: Path
    objects: Path
    object_format: str
    head: str
    """The commit that is checked out."""
    _committed: dict[str, tuple[str, bytes]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.top / self.prefix

    def git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        may_exit: Collection[int] = (0,),
    ) -> bytes:
        """Run git in `top` under the user's settings, except those that could do harm."""
        settings = {"GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1", **(env or {})}
        return git.output(
            *_OVERRIDES,
            *arguments,
            cwd=self.top,
            stdin=stdin,
            env=settings,
            isolated=False,
            may_exit=may_exit,
        )

    def current_head(self) -> str:
        """Return the commit that HEAD names now."""
        return self.git("rev-parse", "--verify", "HEAD").decode().strip()

    def tree(self) -> str:
        """Return the id of the project's tree in HEAD; raise NotCommittedError if it has none."""
        id, _ = self._read("")
        if not id:
            raise NotCommittedError(self.folder, "to git")
        return id

    def read_committed(self, *paths: str) -> None:
        """Read the project's tree and some of its files in HEAD: later, git is not run for them."""
        wanted = ("", *paths)
        asked = [f"{self.head}:{self.prefix}{path}".removesuffix("/") for path in wanted]
        stdin = b"".join(os.fsencode(one) + b"\n" for one in asked)
        printed = self.git("cat-file", "--batch", stdin=stdin)
        for path, (id, kind, content) in zip(wanted, git.objects(printed), strict=True):
            is_found = kind == ("blob" if path else "tree")
            self._committed[path] = (id, content) if is_found else ("", b"")

    def _read(self, path: str) -> tuple[str, bytes]:
        """Return the id and the content of a file in HEAD, both empty if there is none."""
        if path not in self._committed:
            self.read_committed(*([path] if path else []))
        return self._committed[path]

    def require_committed(self, path: str) -> None:
        """Raise NotCommittedError unless HEAD has the file of the project as it is on disk."""
        _, committed = self._read(path)
        present = (self.folder / path).read_bytes()
        if committed.replace(b"\r\n", b"\n") != present.replace(b"\r\n", b"\n"):
            raise NotCommittedError(self.folder / path, "as it is on disk")

    def has_committed(self, path: str) -> bool:
        """Return whether HEAD has a file of the project."""
        return bool(self._read(path)[0])

    def require_clean(self) -> None:
        """Raise ProjectError if a merge or the like is unfinished, or files are not committed."""
        for name, activity in _BUSY.items():
            if (self.git_dir / name).exists():
                raise GitBusyError(self.top, activity)
        listed = self.git(
            *("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=no"),
            *("--ignore-submodules=dirty", "--", self.prefix or "."),
        )
        changed = [record[3:] for record in names(listed)]
        if changed:
            raise DirtyTreeError(self.folder, changed)

    def ignored(self, paths: Collection[str]) -> set[str]:
        """Return those of the paths, given from the project's folder, that git ignores."""
        # "./", since git reads a leading colon as a pattern.
        own = self.own(paths) if paths else []
        asked = b"".join(b"./" + os.fsencode(self.prefix + path) + b"\0" for path in own)
        if not asked:
            return set()
        # It takes paths, not patterns, and refuses the variable that turns patterns off.
        env = {"GIT_LITERAL_PATHSPECS": "0"}
        found = self.git("check-ignore", "-z", "--stdin", stdin=asked, env=env, may_exit=(0, 1))
        return {path.removeprefix(f"./{self.prefix}") for path in names(found)}

    def tracks(self, path: str) -> bool:
        """Return whether git tracks a path, given from the project's folder, or one below it."""
        return bool(self.git("ls-files", "-z", "--", self.prefix + path))

    def hidden(self) -> set[str]:
        """Return paths relative to `top`: submodules, and tracked files that git skips."""
        flagged = {
            record[2:]
            for record in names(self.git("ls-files", "-v", "-z", "--", self.prefix or "."))
            if record[0] == "S" or record[0].islower()
        }
        return flagged | self.submodules()

    def submodules(self) -> set[str]:
        """Return the paths relative to `top` that hold another repository."""
        staged = names(self.git("ls-files", "--stage", "-z", "--", self.prefix or "."))
        return {record.partition("\t")[2] for record in staged if record[:6] == "160000"}

    def own(self, paths: Iterable[str]) -> list[str]:
        """Return those of the paths, given from the project's folder, that don't lead out of it.

        A path leads out through a symbolic link or into a submodule.
        """
        above = {path: files.parents(self.prefix + path) for path in paths}
        folders = {folder for parents in above.values() for folder in parents}
        links = {folder for folder in folders if (self.top / folder).is_symlink()}
        outside = links | self.submodules()
        return [path for path, parents in above.items() if outside.isdisjoint(parents)]


def require_folder(path: Path) -> None:
    """Raise FolderError unless the path is a folder."""
    if not path.is_dir():
        raise FolderError(path)


def open_worktree(project: Path) -> Worktree:
    """Return the working tree around a project's folder; raise ProjectError if there is none."""
    require_folder(project)
    try:
        printed = git.output(
            *("rev-parse", "--show-toplevel", "--show-prefix", "--absolute-git-dir"),
            *("--git-path", "index", "--git-path", "objects", "--show-object-format"),
            *("--verify", "HEAD"),
            cwd=project,
            env={"LC_ALL": "C"},
            isolated=False,
        )
    except GitError as error:
        reason = "its repository has no commit" if "revision" in str(error) else str(error)
        raise NoRepositoryError(project, reason) from error
    answers = os.fsdecode(printed).splitlines()
    if len(answers) != 7:
        raise FolderNameError(project)
    top, prefix, git_dir, index, objects, object_format, head = answers
    return Worktree(
        top=Path(top),
        prefix=prefix,
        git_dir=Path(git_dir),
        index=project.resolve() / index,
        objects=project.resolve() / objects,
        object_format=object_format,
        head=head,
    )


def enclosing(folder: Path) -> Path | None:
    """Return the working tree that keeps a folder which exists or will; `None` if there is none.

    One that ignores the folder does not keep it.
    """
    above = next(one for one in (folder, *folder.parents) if one.is_dir())
    ask = partial(git.output, cwd=above, isolated=False, may_exit=(0, 1, 128))
    top = os.fsdecode(ask("rev-parse", "--show-toplevel")).removesuffix("\n")
    if not top or ask("check-ignore", "--", f"{folder}/"):
        return None
    return Path(top)


def names(listed: bytes) -> list[str]:
    """Split git's output under -z into paths or records."""
    return [os.fsdecode(record) for record in listed.split(b"\0") if record]
