"""What an unfinished update keeps in the git directory, so that it can be undone or completed."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..errors import JournalError
from ..repository import files
from ..repository.index import Lines
from ..repository.worktree import Worktree

_JOURNAL = "journal.json"


class Phase(StrEnum):
    """How far an update has come."""

    APPLYING = "applying"
    """Files are being put in place; what is interrupted here is undone."""
    INSTALLING = "installing"
    """The files are in place; what is interrupted here is completed."""
    CONFLICTS = "conflicts"
    """Applied; the user has conflicts to resolve."""
    ABORTING = "aborting"


@dataclass(frozen=True, kw_only=True)
class Journal:
    """What an update changes. Paths are relative to the working tree's top."""

    phase: Phase
    title: str
    """What is being done, for messages and for a commit."""
    head: str
    prefix: str
    before: Lines
    """By changed path, its old lines in git's index."""
    index: Lines
    """By path, its new lines in git's index."""
    content: Mapping[str, str]
    """By path, the digest of the new file; empty if there will be none.

    When an update is aborted, the digest of the file that is found then.
    """
    folders: tuple[str, ...]
    """The folders that the update makes."""
    marked: tuple[str, ...]
    """Paths with conflict markers."""
    unmarked: tuple[str, ...]
    """Paths in conflict without markers: the file is one whole version."""
    commit: str
    """The commit that becomes HEAD with the new index; empty for none."""
    commits: bool
    """Whether to commit once the conflicts are resolved."""
    author: Mapping[str, str]

    @property
    def paths(self) -> tuple[str, ...]:
        """All changed paths, sorted."""
        return tuple(sorted(self.index))


@dataclass(frozen=True)
class State:
    """The folder in the git directory that exists while an update is unfinished."""

    folder: Path

    @property
    def new(self) -> Path:
        """The new files, until they are in place."""
        return self.folder / "new"

    @property
    def old(self) -> Path:
        """The old files: those that were replaced, or copies."""
        return self.folder / "old"

    @property
    def gone(self) -> Path:
        """The files of the update that a rollback took away."""
        return self.folder / "gone"

    @property
    def old_index(self) -> Path:
        """Git's index as it was."""
        return self.folder / "index"

    @property
    def new_index(self) -> Path:
        """Git's index as it will be."""
        return self.folder / "new-index"

    @property
    def token(self) -> Path:
        """The file that git's lock on the index is a link to."""
        return self.folder / "token"

    def scratch(self, name: str) -> Path:
        """Return the path of a temporary file."""
        return self.folder / f"tmp-{name}"

    def make(self) -> None:
        """Create the folder, empty."""
        self.remove()
        self.folder.mkdir()

    def read(self) -> Journal | None:
        """Return the journal, if there is one; raise JournalError if it is broken."""
        file = self.folder / _JOURNAL
        try:
            return _read(json.loads(file.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalError(file, self.old) from error

    def write(self, journal: Journal) -> None:
        """Write the journal to the disk, whole or not at all."""
        new = self.scratch("journal")
        new.write_text(json.dumps(asdict(journal)))
        files.sync(new)
        new.replace(self.folder / _JOURNAL)
        files.sync(self.folder)

    def remove(self) -> None:
        """Remove all of it, the journal first: a folder without one means nothing."""
        if self.folder.exists():
            (self.folder / _JOURNAL).unlink(missing_ok=True)
            shutil.rmtree(self.folder)


def state_of(worktree: Worktree) -> State:
    """Return what an update of this working tree keeps, or would keep."""
    return State(worktree.git_dir / "mlscaffold-update")


def _read(recorded: dict[str, Any]) -> Journal:
    for name in ("before", "index"):
        recorded[name] = {
            path: tuple(tuple(line) for line in lines) for path, lines in recorded[name].items()
        }
    for name in ("folders", "marked", "unmarked"):
        recorded[name] = tuple(recorded[name])
    recorded["phase"] = Phase(recorded["phase"])
    return Journal(**recorded)
