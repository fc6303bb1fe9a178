"""The releases of a template: those bundled in the wheel, or those of a git repository."""

import os
import re
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from ..errors import GitError, TemplateError, shown
from ..repository import git
from ..repository.git import without_secrets
from ..version import installed_version
from . import bundle
from .components import Components, read_components
from .questions import Answers, Question, Value, read_questions, read_yaml
from .validators import Validators

PUBLIC_URL = "https://github.com/mlscaffold/mlscaffold.git"

_PACKAGE, _CHECKOUT = Path(__file__).parents[1], Path(__file__).parents[3]
_SHORTHANDS = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}
_AS_COPIER = ("git+", "git@", "git://", *_SHORTHANDS.values(), *_SHORTHANDS)
"""What copier takes for a git repository, as it takes a name that ends in .git."""
# `scheme://...`, or `helper::address`, for which git runs the program `git-remote-helper`.
_SCHEME = re.compile(r"([A-Za-z0-9+.-]*)(://|::)")


@dataclass(frozen=True, kw_only=True)
class Releases:
    """All releases of one template, in a local bare git repository."""

    source: str
    """The template as a project records it, in the form that copier expects."""
    url: str
    """The same as a URL for git."""
    repository: Path
    trusted: bool
    """Whether this process may read and render them itself, outside the sandbox."""
    may_run_code: bool = False
    """Whether the user lets the template run its tasks, migrations and Jinja extensions."""
    current: str = ""
    """The release to use by default; if empty, the newest tag."""
    uncommitted: str = ""
    """The tag, if any, that stands for files which are in no commit of the template."""
    _read: dict[tuple[str, str], str] = field(default_factory=dict, init=False, repr=False)
    _asked: dict[str, tuple[Question, ...]] = field(default_factory=dict, init=False, repr=False)
    _validators: dict[str, Validators] = field(default_factory=dict, init=False, repr=False)

    def tags(self) -> list[str]:
        """Return the release tags, newest first, and final releases before pre-releases."""
        return self._tags

    def is_tag(self, ref: str) -> bool:
        """Return whether a release is a tag of the template, and not a later state of its files."""
        return ref in self._tags and ref != self.uncommitted

    @cached_property
    def _tags(self) -> list[str]:
        return sorted(filter(_version, self._commits), key=_rank, reverse=True)

    @cached_property
    def _commits(self) -> dict[str, str]:
        """The commit that each tag names, empty for a tag of a tag."""
        form = "%(refname:lstrip=2) %(objecttype) %(objectname) %(*objecttype) %(*objectname)"
        listed = git.run("for-each-ref", f"--format={form}", "refs/tags", cwd=self.repository)
        found = {}
        for name, *objects in map(str.split, listed.splitlines()):
            found[name] = objects[objects.index("commit") + 1] if "commit" in objects else ""
        return found

    def latest(self, *, prereleases: bool = False) -> str:
        """Return the default release: the newest tag, or the newest commit if there is no tag.

        Without `prereleases`, that is a final one if there is any.
        """
        if self.current or not self._tags:
            return self.current or self.describe("HEAD")
        return max(self._tags, key=Version) if prereleases else self._tags[0]

    def candidates(self) -> list[str]:
        """Return every release that a project may have: the default one, then the tags.

        Without a tag, each of the newest commits counts as a release.
        """
        tags = [tag for tag in self._tags if version_of(tag)]
        paths = bundle.TEMPLATE_PATHS if self.trusted else ()
        commits = ("rev-list", "--max-count=100", "HEAD", "--", *paths)
        found = tags or git.run(*commits, cwd=self.repository).split()
        return list(dict.fromkeys([self.latest(), *found]))

    def file_ids(self, ref: str) -> set[str]:
        """Return the ids of the files that make up a release, as git hashes their content."""
        listed = git.run("ls-tree", "-r", ref, cwd=self.repository)
        return {line.split(maxsplit=3)[2] for line in listed.splitlines()}

    def find(self, ref: str | None, *, prereleases: bool = False) -> str:
        """Return the release that `ref` names in the form that a project records.

        That is a tag, or for any other commit what `git describe` prints; the latest for `None`.

        Raises:
            TemplateError: There is no such release.
        """
        if ref is None:
            return self.latest(prereleases=prereleases)
        return ref if ref in self._tags else self.describe(self.commit(ref))

    def is_before(self, ref: str, other: str) -> bool:
        """Return whether `ref` is older than `other`: by version, then by ancestry."""
        ours, theirs = version_of(ref), version_of(other)
        if ours and theirs and ours != theirs:
            return ours < theirs
        older, newer = self.commit(ref), self.commit(other)
        missing = ("rev-list", "--max-count=1", older, f"^{newer}")
        return older != newer and not git.run(*missing, cwd=self.repository)

    def read(self, ref: str, path: str) -> str:
        """Return the text of a file of a release, empty if it has no such file."""
        if (ref, path) not in self._read:
            if self.trusted:
                self._read_here(ref, {path, *bundle.SETTINGS})
            else:
                self._read[ref, path] = self.in_sandbox("read", ref=ref, path=path)
        return self._read[ref, path]

    def _read_here(self, ref: str, paths: Collection[str]) -> None:
        """Read files of a release in one process."""
        asked = "".join(f"{ref}:{path}\n" for path in paths).encode()
        printed = git.output("cat-file", "--batch", cwd=self.repository, stdin=asked)
        for path, (_, kind, content) in zip(paths, git.objects(printed), strict=True):
            text = content.decode(errors="replace").removesuffix("\n")
            self._read[ref, path] = text if kind == "blob" else ""

    def read_yaml(self, ref: str, path: str) -> Any:
        """Parse a YAML file of a release; raises TemplateError if it is invalid."""
        if not self.trusted:
            return self.in_sandbox("read_yaml", ref=ref, path=path)
        try:
            return read_yaml(self.read(ref, path))
        except (RecursionError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise TemplateError(f"{path} can't be read: {reason}") from error

    def questions(self, ref: str) -> tuple[Question, ...]:
        """Return the questions of a release."""
        if ref not in self._asked:
            self._asked[ref] = read_questions(self.asked(ref))
        return self._asked[ref]

    def asked(self, ref: str) -> Any:
        """Return the questions of a release as its copier.yml holds them."""
        if self.trusted:
            return self.read_yaml(ref, "copier.yml")
        return self.in_sandbox("questions", ref=ref)

    def components(self, ref: str) -> Components:
        """Return what the choices of a release add; empty if it has no components.yml."""
        return read_components(self.read_yaml(ref, "components.yml"))

    def skips(self, ref: str) -> bool:
        """Return whether a release may have files that it writes only where they do not exist."""
        return not self.trusted and self.in_sandbox("skips", ref=ref)

    def skipped(
        self, ref: str, data: Mapping[str, Any], paths: Collection[str], *, project: Path
    ) -> set[str]:
        """Return those of the paths that a release writes only where they do not exist."""
        if self.trusted:
            return set()
        found = self.in_sandbox(
            "skipped", ref=ref, data=dict(data), paths=sorted(paths), project=project.resolve()
        )
        return set(found)

    def require_no_migrations(self, old: str, new: str) -> None:
        """Raise TemplateError if the template may not run the commands that an update asks for."""
        if self.trusted or self.may_run_code:
            return
        if self.in_sandbox("has_migrations", ref=new, since=old):
            raise TemplateError(
                f"the template runs commands (migrations) for an update from {old} to {new}; "
                "--trust allows that"
            )

    def complaint(self, ref: str, question: str, value: Value, answers: Answers) -> str:
        """Return the message of a question's validator for a value, empty if the value is valid."""
        if not self.trusted:
            return self.in_sandbox("complaint", ref=ref, name=question, text=str(value))
        if ref not in self._validators:
            entries = self.read_yaml(ref, "copier.yml")
            self._validators[ref] = Validators(entries, lambda path: self.read(ref, path))
        return self._validators[ref].complaint(question, value, answers)

    def in_sandbox(self, function: str, *, writes: Path | None = None, **arguments: Any) -> Any:
        """Call a function of sandbox_worker.py with these releases and return its result."""
        place = {
            "source": self.source,
            "url": self.url,
            "repository": self.repository,
            "may_run_code": self.may_run_code,
        }
        from . import sandbox  # The bundled template needs none.

        written = [self.checkouts, *([writes] if writes else [])]
        return sandbox.call(function, writes=written, releases=place, **arguments)

    def describe(self, commit: str) -> str:
        """Return the name that a project records for a commit, as `git describe` prints it."""
        if len(tags := [tag for tag, named in self._commits.items() if named == commit]) == 1:
            return tags[0]
        return git.run("describe", "--tags", "--always", commit, cwd=self.repository)

    def checkout(self, commit: str) -> Path:
        """Return the folder with the files of a commit, which is written once."""
        folder = self.checkouts / commit
        if not folder.exists():
            self.checkouts.mkdir(exist_ok=True)
            new = Path(mkdtemp(dir=self.checkouts))
            index = {"GIT_INDEX_FILE": str(new.with_suffix(".index"))}
            command = ("--work-tree", new, "checkout", "--quiet", commit, "--")
            git.run(*command, *self._needed(commit), cwd=self.repository, env=index)
            new.rename(folder)
        return folder.resolve()

    def _needed(self, commit: str) -> Collection[str]:
        """Return the paths of a commit that are the template: of the bundled one not our code."""
        if self.url != PUBLIC_URL:
            return {"."}
        present = git.run("ls-tree", "--name-only", commit, cwd=self.repository).splitlines()
        return set(bundle.TEMPLATE_PATHS) & set(present) or {"."}

    @property
    def checkouts(self) -> Path:
        """The folder that holds what is checked out, until the releases are closed."""
        return self.repository.parent / "checkouts"

    def commit(self, ref: str) -> str:
        """Return the id of the commit that `ref` names; raises TemplateError if there is none."""
        if known := self._commits.get(ref):
            return known
        try:
            return git.run(
                *("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"),
                cwd=self.repository,
            )
        except GitError as error:
            known = ", ".join(self._tags) or "no release"
            raise TemplateError(
                f"{without_secrets(self.source)} has no release {shown(ref)} here; it has {known}"
            ) from error


@contextmanager
def open_releases(
    template: str | None = None, *, is_recorded: bool = False, may_run_code: bool = False
) -> Generator[Releases]:
    """Open the releases of `template`, a git URL or a folder; by default the bundled ones.

    Bundled releases need no network, though a project records their public URL. What a project
    has recorded stays as it is; what is typed is recorded so that it can be read from anywhere.
    """
    template = PUBLIC_URL if template is None else template
    url = _url(template)
    source = template if is_recorded else _source(template, url)
    with TemporaryDirectory(prefix="mlscaffold-", ignore_cleanup_errors=True) as folder:
        repository = Path(folder, "releases.git")
        current = uncommitted = ""
        if is_bundled := url == PUBLIC_URL:
            current, uncommitted = _unpack(repository)
        else:
            _mirror(url, repository)
        yield Releases(
            source=source,
            url=url,
            repository=repository,
            trusted=is_bundled,
            may_run_code=may_run_code and not is_bundled,
            current=current,
            uncommitted=uncommitted,
        )


def recorded_source(template: str | None = None) -> str:
    """Return a template as a project records it: a git URL or a folder, by default the bundled one.

    Raises TemplateError if it can't be the address of one.
    """
    template = PUBLIC_URL if template is None else template
    return _source(template, _url(template))


def is_same_template(source: str, other: str) -> bool:
    """Return whether two recorded sources stand for one template."""
    try:
        return source == other or _url(source) == _url(other)
    except TemplateError:
        return False


def version_of(commit: str) -> Version | None:
    """Return the version in a recorded commit such as v0.1.0 or v0.1.0-3-g1234abc, or `None`.

    A commit id has none, although 1234567 and 12345a6 look like versions.
    """
    if re.fullmatch(r"[0-9a-f]{7,40}", commit):
        return None
    return _version(re.sub(r"-\d+-g[0-9a-f]+$", "", commit))


def _version(tag: str) -> Version | None:
    try:
        return Version(tag)
    except InvalidVersion:
        return None


def _rank(tag: str) -> tuple[bool, Version]:
    version = Version(tag)
    return not version.is_prerelease, version


def _unpack(repository: Path) -> tuple[str, str]:
    """Create the bare `repository` of the bundled releases; return the default one, if any.

    When mlscaffold runs from its checkout, that is the template in the working tree. Also return
    the tag of files that are not committed there, if any.
    """
    if bundle.holds_template(_CHECKOUT):
        if (_CHECKOUT / ".git").exists():
            with suppress(GitError):  # It has no commit, or belongs to another user.
                name, is_changed = bundle.clone_checkout(_CHECKOUT, repository)
                return name, name if is_changed else ""
        bundle.write_release(_CHECKOUT, repository, tag=(tag := _own_tag()))
        return "", tag
    packed, index = _PACKAGE / "releases.bundle", _PACKAGE / "releases.idx"
    if not packed.is_file():
        raise TemplateError("this installation holds no template: install mlscaffold again")
    try:
        bundle.unpack(packed, index, repository)
    except (FileNotFoundError, ValueError):
        git.run("clone", "--quiet", "--mirror", "--template=", packed, repository)
    return "", ""


def _own_tag() -> str:
    version = installed_version()
    return bundle.tag_of(version) if version else "v0.1.dev0"


def _source(template: str, url: str) -> str:
    """Return the template as a project records it: as it was typed, if copier finds it so."""
    is_address = template.endswith(".git") or template.startswith(_AS_COPIER)
    if is_address and not url.startswith(("file:", "/")):
        return template
    return url if url.endswith(".git") else f"git+{url}"


def _url(template: str) -> str:
    """Return the template as an absolute URL for git."""
    for shorthand, start in _SHORTHANDS.items():
        if template.startswith(shorthand):
            template = start + template.removeprefix(shorthand).lstrip("/")
    if template.startswith(tuple(_SHORTHANDS.values())):
        return template.rstrip("/").removesuffix(".git") + ".git"
    url = template.removeprefix("git+")
    try:
        path = Path(url).expanduser()
        if path.exists():
            # Git finds a bundle, which is a file, by its path alone.
            return str(path.resolve()) if path.is_file() else path.resolve().as_uri()
    except (OSError, RuntimeError):
        pass  # Not a path: too long, or in the home of an unknown user.
    scheme = _SCHEME.match(url)
    if scheme and (scheme[2] == "::" or scheme[1] not in git.PROTOCOLS):
        raise TemplateError(
            f"the template {shown(template)} can't be read: it must be a folder, or the address "
            "of a git repository by https, ssh, git or file"
        )
    # `host:path` is an address by ssh.
    if not scheme and ":" not in url.partition("/")[0]:
        raise TemplateError(f"the template {shown(template)} does not exist")
    return url


def _mirror(url: str, repository: Path) -> None:
    # Under the user's settings, but without hooks, and without URLs that are commands.
    clone = ("-c", f"core.hooksPath={os.devnull}", "clone", "--quiet", "--mirror", "--template=")
    clone += ("--end-of-options", url, repository)
    try:
        git.run(*clone, env={"GIT_ALLOW_PROTOCOL": git.allowed_protocols()}, isolated=False)
    except GitError as error:
        url = without_secrets(url)
        raise TemplateError(f"the template {url} can't be read: {error}") from error
