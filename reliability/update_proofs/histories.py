"""Random histories of a user's work and of updates: no mark is lost, whatever happens."""

import os
import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field

from evolving import RELEASES

from mlscaffold.errors import MlscaffoldError
from mlscaffold.project import open_project
from mlscaffold.update import UpdateResult, abort, resume

from .projects import Lab, commit, difference, files_of, git, snapshot, unmerged
from .users import User, lines_of, marks_of, tracked


@dataclass
class Outcomes:
    """The results of the histories."""

    histories: int = 0
    marks: int = 0
    updates: int = 0
    conflicts: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    """Marks that were in the project before an update and are not after it."""
    wrong: list[str] = field(default_factory=list)
    """Other failures."""


def random_histories(lab: Lab, *, trials: int, seed: int) -> Outcomes:
    """Histories from `seed` on."""
    outcomes = Outcomes()
    for number in range(seed, seed + trials):
        History(lab, number, outcomes).run()
    return outcomes


class History:
    """The history of a project, from a random release on."""

    def __init__(self, lab: Lab, seed: int, outcomes: Outcomes) -> None:
        self.lab, self.seed, self.outcomes = lab, seed, outcomes
        self.chance = random.Random(f"history {seed}")
        release = self.chance.choice(RELEASES[:-1])
        store = self.chance.choice(["files", "database"])
        name = self.chance.choice(["project", "pro ject ü"])
        self.project = lab.project(name, release=release, store=store)
        self.top = self.project
        if self.chance.random() < 0.2:
            self._move_into_a_bigger_repository()
        self.user = User(self.project, seed)
        self.removed: set[bytes] = set()

    def run(self) -> None:
        """Work and update alternately."""
        self.outcomes.histories += 1
        for _ in range(self.chance.choice([1, 2, 2, 3])):
            there = self._lines()
            self.user.work(self.chance.choice([1, 3, 6, 10]))
            self.removed |= there - self._lines()
            self._update()
        self.outcomes.marks += self.user.marks

    def _update(self) -> None:
        if self.chance.random() < 0.1:
            with (self.user.some_file()).open("ab") as file:
                file.write(f"not committed {self.user.mark()}\n".encode())
        request = self._wish()
        before = snapshot(self.top)
        kept, marks = self._kept(), marks_of(self._tracked_files())
        own = self._own_files()
        store = str(open_project(self.project).answers["store"])
        self.outcomes.updates += 1
        try:
            done = self.lab.update(self.project, **request)
        except MlscaffoldError as error:
            self._refused(str(error), before)
            return
        if "dry_run" in request or done.outcome == "current":
            self._compare(before, "changed by a preview")
            return
        if branch := str(request.get("branch", "")):
            self._check_branch(branch, before, marks)
            return
        self._check(done, kept, marks, own)
        self._check_brought(done, store)
        self._go_on(done, before, kept, marks, is_committed=bool(done.commit))

    def _wish(self) -> dict[str, object]:
        project = open_project(self.project)
        later = [release for release in RELEASES if release >= project.commit]
        request: dict[str, object] = {"to": self.chance.choice([*later, None])}
        if self.chance.random() < 0.15:
            other = {"files": "database", "database": "files"}[str(project.answers["store"])]
            request = {"given": {"store": other}, "same_release": True}
        way = self.chance.random()
        if way < 0.1:
            request["dry_run"] = True
        elif way < 0.2:
            request["branch"] = f"update-{self.user.mark()[:-1]}"
        elif way < 0.4:
            request["commits"] = True
        return request

    def _check(
        self,
        done: UpdateResult,
        kept: dict[str, tuple[str, bytes]],
        marks: set[bytes],
        own: list[tuple[str, bytes]],
    ) -> None:
        """Check after an update that all marks exist and all conflicts are reported."""
        self._check_marks(marks, "update")
        self._check_kept(kept)
        stages = set(unmerged(self.top))
        prefix = "" if self.top == self.project else "services/ml/"
        if stages != {prefix + path for path in done.conflicts}:
            self._wrong(f"reported {sorted(done.conflicts)}, unmerged {sorted(stages)}")
        if (done.outcome == "conflicts") != bool(done.conflicts):
            self._wrong(f"{done.outcome} with {sorted(done.conflicts)}")
        gone = [name for name in own if name not in self._own_files()]
        if gone and not done.conflicts:
            self._wrong(f"files of the user's own are not as they were: {gone}"[:500])
        back = self.removed & self._lines(but=done.conflicts)
        if back:
            self._wrong(f"what the user deleted is back: {sorted(back)[:5]}")

    def _check_brought(self, done: UpdateResult, store: str) -> None:
        """Check that each new line of the template exists, or its file is named as left out."""
        stores = store, str(open_project(self.project).answers["store"])
        old, new = (
            files_of(self.lab.project("fresh", release=release, store=store))
            for release, store in zip((done.old, done.new), stores, strict=True)
        )
        known, there = _lines_in(old), _lines_in(files_of(self.top)) | _lines_in(self._stages())
        for path in new.keys() - set(done.left_out):
            missing = _lines_in({path: new[path]}) - known - there
            if missing:
                self._wrong(f"{path}: missing, untold: {sorted(missing)[:3]}")

    def _go_on(
        self,
        done: UpdateResult,
        before: dict[str, object],
        kept: dict[str, tuple[str, bytes]],
        marks: set[bytes],
        *,
        is_committed: bool,
    ) -> None:
        """Resolve conflicts or abort, and commit."""
        if done.conflicts:
            self.outcomes.conflicts += 1
            self._try_twice()
            if self.chance.random() < 0.3:
                abort(self.project)
                self._compare(before, "not restored by --abort")
                return
            dropped = self._settle()
            is_committed = bool(resume(self.project).commit)
            self._check_marks(marks - dropped, "--continue")
            self._check_kept(kept)
            self.removed -= self._lines()
            if unmerged(self.top):
                self._wrong("still unmerged after --continue")
        if not is_committed:
            commit(self.project)
        left = git(self.project, "status", "--porcelain", "--untracked-files=no", ".")
        if left:
            self._wrong(f"not clean after the update was committed: {left!r}")

    def _try_twice(self) -> None:
        """Check that a second update, and --continue with markers left, are refused."""
        before = snapshot(self.top)
        try:
            self.lab.update(self.project)
            self._wrong("a second update on top of an unfinished one")
        except MlscaffoldError:
            self._compare(before, "changed by a refused second update")
        try:
            resume(self.project)
        except MlscaffoldError:
            self._compare(before, "changed by a refused --continue")
        else:
            self._wrong("--continue with conflicts that nobody has settled")

    def _settle(self) -> set[bytes]:
        """Resolve every conflict at random; return the marks that are dropped by it."""
        before = marks_of(files_of(self.top)) | self._marks_in_stages()
        for path in unmerged(self.top):
            file = self.top / path
            if file.is_file() and not file.is_symlink():
                lines = file.read_bytes().split(b"\n")
                marker = (b"<<<<<<< ", b"||||||| ", b">>>>>>> ")
                settled = [
                    line
                    for line in lines
                    if not line.startswith(marker) and line.rstrip(b"\r") != b"======="
                ]
                file.write_bytes(b"\n".join(settled))
            if os.path.lexists(file) and not file.is_dir():
                git(self.top, "add", "--force", "--", f"./{path}")
            else:
                git(self.top, "rm", "--quiet", "--cached", "--", f"./{path}")
        return before - marks_of(files_of(self.top))

    def _check_branch(self, branch: str, before: dict[str, object], marks: set[bytes]) -> None:
        """Check that the branch has every mark, and that nothing else has changed."""
        committed, found = (git(self.top, "archive", name) for name in ("HEAD", branch))
        lost = [mark for mark in marks if mark in committed and mark not in found]
        self.outcomes.lost += [f"{self.seed}: {mark!r} by --branch" for mark in lost]
        git(self.top, "update-ref", "-d", f"refs/heads/{branch}")
        self._compare(before, "changed by --branch")

    def _refused(self, reason: str, before: dict[str, object]) -> None:
        self._compare(before, f"changed though refused ({reason})")
        if "\n" in reason:
            self._wrong(f"more than a line: {reason!r}")
        kind = reason.replace(str(self.project), "").replace(str(self.top), "")[:45].strip()
        self.outcomes.refused[kind] = self.outcomes.refused.get(kind, 0) + 1

    def _check_marks(self, marks: set[bytes], by: str) -> None:
        there = marks_of(files_of(self.top)) | self._marks_in_stages()
        self.outcomes.lost += [f"{self.seed}: {mark.decode()} by {by}" for mark in marks - there]

    def _marks_in_stages(self) -> set[bytes]:
        return marks_of(self._stages())

    def _stages(self) -> dict[str, tuple[str, bytes]]:
        """Return the versions of the paths in conflict, by their ids."""
        stages = {id for ids in unmerged(self.top).values() for id in ids}
        return {id: ("", git(self.top, "cat-file", "blob", id)) for id in stages}

    def _check_kept(self, kept: dict[str, tuple[str, bytes]]) -> None:
        now = files_of(self.top)
        changed = [path for path in kept if now.get(path) != kept[path]]
        if changed:
            self.outcomes.lost.append(f"{self.seed}: {changed} were not to be written")

    def _kept(self) -> dict[str, tuple[str, bytes]]:
        """Return what an update must not write: ignored, untracked, hidden, of other folders."""
        seen = self._paths()
        return {
            path: found
            for path, found in files_of(self.top).items()
            if path not in seen and not path.endswith("/")
        }

    def _tracked_files(self) -> dict[str, tuple[str, bytes]]:
        seen = self._paths()
        return {path: found for path, found in files_of(self.top).items() if path in seen}

    def _own_files(self) -> list[tuple[str, bytes]]:
        """Return the files that the user added, wherever they are now.

        A file that a resolved conflict has filled with the template's lines does not count.
        """
        files = self._tracked_files().values()
        return [one for one in files if one[1].startswith(b"own file: ") and not lines_of([one])]

    def _paths(self) -> set[str]:
        prefix = "" if self.top == self.project else "services/ml/"
        return {prefix + path for path in tracked(self.project)}

    def _lines(self, *, but: Iterable[str] = ()) -> set[bytes]:
        files = files_of(self.project)
        return lines_of(files[path] for path in files.keys() - set(but))

    def _compare(self, before: dict[str, object], what: str) -> None:
        differences = difference(before, snapshot(self.top))
        if differences:
            self._wrong(f"{what}: {differences}")

    def _wrong(self, what: str) -> None:
        self.outcomes.wrong.append(f"{self.seed}: {what}")

    def _move_into_a_bigger_repository(self) -> None:
        """Make the project a folder of a larger repository with other changes."""
        self.top = self.lab.folder / "mono repo"
        if self.top.exists():
            shutil.rmtree(self.top)
        inner = self.top / "services" / "ml"
        inner.parent.mkdir(parents=True)
        self.project.rename(inner)
        (inner / ".git").rename(self.top / ".git")
        self.project = inner
        (self.top / "sibling.txt").write_text("sibling\n")
        (self.top / "staged.txt").write_text("sibling\n")
        git(self.top, "add", "--all")
        commit(self.top)
        (self.top / "sibling.txt").write_text("sibling's work mark-0-1;\n")
        (self.top / "staged.txt").write_text("sibling's work mark-0-2;\n")
        git(self.top, "add", "staged.txt")


def _lines_in(files: dict[str, tuple[str, bytes]]) -> set[bytes]:
    return {line.rstrip(b"\r") for _, content in files.values() for line in content.split(b"\n")}
