"""Errors for the user: each has a one-line message and an exit code."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import ClassVar

from .version import DISTRIBUTION


class MlscaffoldError(Exception):
    """Refused or failed, and nothing was changed."""

    exit_code: ClassVar[int] = 1
    by_hand: str = ""
    """Lines for the user to add to a file, to print below the message."""


class AnswerError(MlscaffoldError):
    """A value given for a question is not valid."""

    exit_code = 2


class StaleAnswerError(AnswerError):
    """An answer that a project records is not valid for a release."""

    def __init__(self, question: str, problem: str) -> None:
        self.question = question
        super().__init__(problem)


class SettingError(MlscaffoldError):
    """An environment variable of mlscaffold holds a value that is not valid."""

    exit_code = 2


class DestinationError(MlscaffoldError):
    """The folder that the project should become can't be written."""


class TemplateError(MlscaffoldError):
    """The template or the release asked for can't be read or rendered."""


class CommandError(MlscaffoldError):
    """A command of a template that may run code has failed; in an update, the files are changed."""


class GitError(MlscaffoldError):
    """Git is missing, or a git command failed."""

    def __init__(self, message: str, printed: Sequence[str] = ()) -> None:
        self.printed = printed
        """What git printed on stderr, line by line."""
        super().__init__(message)


class PushError(MlscaffoldError):
    """A remote repository refused a branch, or can't be reached."""


class ForgeError(MlscaffoldError):
    """GitHub's or GitLab's command line is missing, or one of its commands failed."""


class ProjectError(MlscaffoldError):
    """A project can't be read or updated in its present state."""


class FolderError(ProjectError):
    """A project's folder is missing, or is something else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} {'is not a folder' if folder.exists() else 'does not exist'}")


class NotAProjectError(ProjectError):
    """A folder is not a generated project."""

    def __init__(self, folder: Path, answers_file: str) -> None:
        self.folder = folder
        super().__init__(f"{folder} is no generated project: no {answers_file}")


class ProjectFileError(ProjectError):
    """A file of a project that mlscaffold reads can't be used."""

    fix: ClassVar[str] = ""
    """What a message says at its end if the file can't be read at all."""

    def __init__(self, file: Path, problem: str) -> None:
        self.file = file
        super().__init__(f"{file} {problem}")


class OtherTemplateError(ProjectError):
    """A project to be adopted records that it has another template."""

    def __init__(self, answers_file: Path, template: str) -> None:
        self.answers_file, self.template = answers_file, template
        super().__init__(
            f"{answers_file} records the template {shown(template)}, which `mlscaffold update` "
            "continues with; record this one in another file with -a PATH, or remove that file"
        )


class AnswersFileError(ProjectFileError):
    """The file that records a project's answers can't be used."""

    fix = "; restore it from git"


class KeepFileError(ProjectFileError):
    """The file that names what updates leave alone can't be used."""


class RecordedAnswerError(ProjectError):
    """An answer that a project records is not valid."""

    def __init__(self, recorded_in: Path, problem: str) -> None:
        self.recorded_in = recorded_in
        super().__init__(f"{recorded_in}: {problem}")


class NoRepositoryError(ProjectError):
    """A project is in no git repository that has a commit."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(
            f"{folder} can't be updated: {reason}; `git init`, `git add .` and `git commit` first"
        )


class FolderNameError(ProjectError):
    """A folder's name holds a line break, which git's output can't represent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{shown(str(folder))} is in a folder whose name has a line break")


class NotCommittedError(ProjectError):
    """A project, or its answers file, is not committed to git as it is on disk."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        super().__init__(f"{path} is not committed {problem}: commit it first")


class DirtyTreeError(ProjectError):
    """A project has changes that are not committed."""

    def __init__(self, folder: Path, paths: Collection[str]) -> None:
        self.folder, self.paths = folder, paths
        super().__init__(
            f"{folder} has changes that are not committed: {listed(paths)}; "
            "commit or stash them first"
        )


class GitBusyError(ProjectError):
    """A merge, rebase, cherry-pick or revert is unfinished in the repository."""

    def __init__(self, top: Path, activity: str) -> None:
        self.top, self.activity = top, activity
        super().__init__(f"{activity} is under way in {top}: finish it first")


class GitLockError(ProjectError):
    """Git holds its lock on the index, or left it behind."""

    def __init__(self, top: Path, lock: Path) -> None:
        self.top, self.lock = top, lock
        super().__init__(f"git is running in {top}, or was killed there: there is {lock}")


class ConcurrentUpdateError(ProjectError):
    """Another update is running in the same working tree."""

    def __init__(self, top: Path) -> None:
        self.top = top
        super().__init__(f"another update is running in {top}")


class UnfinishedUpdateError(ProjectError):
    """An earlier update has to be finished or aborted first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"an update of {folder} is unfinished: resolve its conflicts and run "
            "`mlscaffold update --continue`, or `mlscaffold update --abort`"
        )


class NoUpdateError(ProjectError):
    """There is no unfinished update to continue or abort."""

    def __init__(self, top: Path) -> None:
        self.top = top
        super().__init__(f"no update is unfinished in {top}")


class BranchExistsError(ProjectError):
    """The branch that an update should be committed on exists already."""

    def __init__(self, branch: str, top: Path) -> None:
        self.branch, self.top = branch, top
        super().__init__(f"the branch {branch} exists in {top}: name another")


class BranchInUseError(ProjectError):
    """The branch that an update would replace is checked out."""

    def __init__(self, branch: str, worktree: str) -> None:
        self.branch, self.worktree = branch, worktree
        super().__init__(f"the branch {branch} is checked out in {worktree}: switch away first")


class ForeignCommitsError(ProjectError):
    """The branch that an update would replace has commits that this tool did not make."""

    def __init__(self, branch: str, place: str, hint: str = "") -> None:
        self.branch, self.place = branch, place
        super().__init__(
            f"the branch {branch} in {place} has commits that mlscaffold did not make, and is left "
            f"alone: merge it, delete it or name another{hint}"
        )


class OtherUpdatesError(ProjectError):
    """The branch that an update would replace has the update of another project or template."""

    def __init__(self, branch: str, place: str, answers_files: Collection[str]) -> None:
        self.branch, self.place, self.answers_files = branch, place, answers_files
        super().__init__(
            f"the branch {branch} in {place} has the update of {listed(answers_files)}, which "
            "would be lost: update all in one command, or merge the branch or name another"
        )


class NoRemoteError(ProjectError):
    """A project has no remote repository to push to."""

    def __init__(self, top: Path) -> None:
        self.top = top
        super().__init__(f"{top} has no remote to push to: `git remote add origin URL` adds one")


class UnpushedError(ProjectError):
    """A pull request would publish commits of the user that are not pushed."""

    def __init__(self, top: Path, remote: str) -> None:
        self.top, self.remote = top, remote
        super().__init__(f"{top} has commits that are not on {remote}: `git push` them first")


class UnknownReleaseError(ProjectError):
    """A project was made by a newer release than this installation has."""

    def __init__(self, project: Path, release: str, newest: str) -> None:
        self.project, self.release, self.newest = project, release, newest
        super().__init__(
            f"{project} has release {release}, and {newest} is the newest that mlscaffold knows: "
            f"upgrade mlscaffold (`uv tool upgrade {DISTRIBUTION}`)"
        )


class UnknownBaseError(ProjectError):
    """The release that a project records is not in its template."""

    def __init__(self, answers_file: Path, reason: str) -> None:
        self.answers_file, self.reason = answers_file, reason
        super().__init__(
            f"{reason}; set _commit in {answers_file} to the commit of the template that made this "
            "project, commit that, and run the command again"
        )


class DowngradeError(ProjectError):
    """The release asked for is older than the project's."""

    def __init__(self, project: Path, release: str, wanted: str) -> None:
        self.project, self.release, self.wanted = project, release, wanted
        super().__init__(f"{project} has release {release}, which is newer than {wanted}")


class BlockedPathError(ProjectError):
    """Files that an update may not touch are where it has to write."""

    def __init__(self, problem: str, paths: Collection[str], fix: str) -> None:
        self.paths = paths
        super().__init__(f"{problem}: {listed(paths)}; {fix}")


class ExistingFileError(ProjectError):
    """A file that a new piece consists of exists already."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} exists: give another NAME, or move it first")


class AdditionStateError(ProjectError):
    """The folder for the state of an interrupted addition holds something else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} was not left by `mlscaffold add`: move it away first")


class TakenNameError(ProjectError):
    """The name of a new piece is in use in a file that gets lines for it."""

    def __init__(self, file: str, number: int, line: str) -> None:
        self.file, self.number, self.line = file, number, line
        super().__init__(f"{file}:{number} has {shown(line.strip())} already: give another NAME")


class MarkedPlaceError(ProjectError):
    """A file lacks the line below which a new piece's lines belong."""

    def __init__(self, file: str, below: str, text: str, problem: str) -> None:
        self.file, self.below, self.by_hand = file, below, text
        super().__init__(
            f"{file} {problem} the line {shown(below)}, below which these lines belong: "
            "write it there once, and run the command again"
        )


class ChangedMeanwhileError(ProjectError):
    """A file, the index or HEAD changed while an update was running."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        super().__init__(f"{path} has just changed, or a program has it open: try again")


class MovedHeadError(ProjectError):
    """Commits were made since an update, so that aborting it would undo them in the files."""

    def __init__(self, top: Path) -> None:
        self.top = top
        super().__init__(
            f"{top} has other commits than before the update, which aborting would undo in the "
            "files: end the update with `mlscaffold update --continue`"
        )


class ConflictMarkersError(ProjectError):
    """Conflict markers are left in some files."""

    def __init__(self, paths: Collection[str]) -> None:
        self.paths = paths
        super().__init__(f"conflict markers are left in {listed(paths)}")


class UnresolvedConflictError(ProjectError):
    """Conflicts without markers are not resolved yet."""

    def __init__(self, paths: Collection[str]) -> None:
        self.paths = paths
        super().__init__(
            f"not resolved yet: {listed(paths)}; `git add` what stays, `git rm` what goes"
        )


class JournalError(ProjectError):
    """The journal of an unfinished update can't be read."""

    def __init__(self, file: Path, kept: Path) -> None:
        self.file, self.kept = file, kept
        super().__init__(f"{file} is broken: what was there before the update is kept in {kept}")


class RecoveryError(ProjectError):
    """An update failed, and what it had changed could not be restored."""

    def __init__(self, error: BaseException, second: Exception) -> None:
        self.error, self.second = error, second
        super().__init__(
            f"{str(error) or 'interrupted'}; then, while it was undone: {second}; "
            "fix that and run `mlscaffold update --abort`"
        )


def shown(value: object) -> str:
    """Format a value for a message: quoted, on one line, cut when it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"


def listed(paths: Collection[str], limit: int = 5) -> str:
    """Format the first of the paths, and how many more there are, on one line."""
    first = [path if path.isprintable() else ascii(path) for path in sorted(paths)[:limit]]
    more = len(paths) - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")
