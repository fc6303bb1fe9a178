"""Templates that attack: they write git's own folder, run code, name odd addresses."""

from pathlib import Path

import pytest
from hostile import SETTINGS, mlscaffold, project_of, template_of
from pseudo_terminal import Terminal
from templates import commit, git
from toys import cli, edit, files_of

# A rendered `.git`.

OF_GIT = [
    ".git",
    ".GIT",
    ".gIt",
    ".git.",
    ".git ",
    ".git . .",
    "git~1",
    "GIT~1",
    ".git::$INDEX_ALLOCATION",
    ".git:x",
    ".git .:x",
    "a\\.git\\hooks",
    ".g\u200cit",
    "\ufeff.git\u206f",
    "deep/er/.git",
]
NOT_OF_GIT = [".github", ".gitignore", ".gitattributes", ".gitmodules", "git", "x.git", ".git-x",
              "git~x", "..git"]  # fmt: skip


def told(path: str) -> str:
    return f"error: the template can't be rendered: it makes {path}, which git takes for its own\n"


def jinja(path: str) -> str:
    """The path as a template can have it in a git repository."""
    hidden = ("".join(f"\\u{ord(letter):04x}" for letter in part) for part in path.split("/"))
    return "/".join(f"{{{{ '{part}' }}}}" for part in hidden)


@pytest.mark.parametrize("with_git", [True, False])
@pytest.mark.parametrize("name", OF_GIT)
def test_no_path_is_rendered_that_git_takes_for_its_own(
    name: str, with_git: bool, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    hook = f"#!/bin/sh\ntouch '{mark}'\n"
    template = template_of(tmp_path / "fork", {f"{jinja(name)}/hooks/pre-commit": hook})
    options = ["--no-lock", *([] if with_git else ["--no-git"])]
    done = cli("new", tmp_path / "toy", f"--template={template}", *options)
    shown = repr(name) if name.isprintable() else ascii(name)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", told(shown))
    assert [path.name for path in tmp_path.iterdir()] == ["fork"]


def test_names_that_only_look_like_gits_are_rendered(tmp_path: Path) -> None:
    files = {f"{name}/file" if name[:4] != ".git" else name: "text\n" for name in NOT_OF_GIT}
    project = project_of(template_of(tmp_path / "fork", files), tmp_path / "toy")
    assert files_of(project).keys() >= files.keys()
    assert set(git(project, "ls-files").splitlines()) == {*files, ".copier-answers.yml"}


CONFIGS = {
    "monitor": ("[core]\nfsmonitor = {program}\n", ""),
    "hooks": ("[core]\nhooksPath = {program}\n", ""),
    "filter": ('[filter "evil"]\nclean = {program}\n', "* filter=evil\n"),
    "include": ("[include]\npath = {program}\n", ""),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_no_configuration_is_rendered(kind: str, tmp_path: Path) -> None:
    mark, program = tmp_path / "mark", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\ncat\n")
    program.chmod(0o755)
    config, attributes = CONFIGS[kind]
    files = {f"{jinja('.git')}/config": config.format(program=program)}
    template = template_of(tmp_path / "fork", files | {".gitattributes": attributes})
    done = cli("new", tmp_path / "toy", f"--template={template}", "--no-lock")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", told("'.git'"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fork", "program"]


def test_no_file_leads_git_into_another_repository(tmp_path: Path) -> None:
    victim = template_of(tmp_path / "victim", {"precious": "text\n"})
    before = git(victim, "rev-parse", "HEAD")
    link = f"gitdir: {victim}/.git\n"
    template = template_of(tmp_path / "fork", {jinja(".git"): link})
    done = cli("new", tmp_path / "toy", f"--template={template}", "--no-lock")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", told("'.git'"))
    assert git(victim, "rev-parse", "HEAD") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fork", "victim"]


def test_no_answers_file_is_gits(tmp_path: Path) -> None:
    settings = SETTINGS + "_answers_file: .git/config\n"
    template = template_of(tmp_path / "fork", {}, settings=settings)
    done = cli("new", tmp_path / "toy", f"--template={template}", "--no-lock")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", told("'.git'"))
    assert [path.name for path in tmp_path.iterdir()] == ["fork"]


@pytest.mark.parametrize("target", [".git", "./.GIT/hooks", "{outside}/.git"])
def test_no_link_leads_to_gits_own(target: str, tmp_path: Path) -> None:
    link = Path(target.format(outside=tmp_path / "victim"))
    template = template_of(tmp_path / "fork", {"link": link})
    done = cli("new", tmp_path / "toy", f"--template={template}", "--no-lock")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", told("'link'"))
    assert [path.name for path in tmp_path.iterdir()] == ["fork"]


@pytest.mark.parametrize("target", ["../victim/.git", ".git", "../victim", ".."])
def test_nothing_is_written_through_a_link(target: str, tmp_path: Path) -> None:
    victim = template_of(tmp_path / "victim")
    before = files_of(victim), list((victim / ".git").rglob("*"))
    hook = "#!/bin/sh\nexit 0\n"
    files = {"link": Path(target), f"{jinja('link')}/hooks/pre-commit": hook}
    template = template_of(tmp_path / "fork", files)
    done = cli("new", tmp_path / "toy", f"--template={template}", "--no-lock")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: ")
    assert (files_of(victim), list((victim / ".git").rglob("*"))) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fork", "victim"]


IF_FIVE = "{{ '.git' if size == 5 else 'other' }}/hooks/post-index-change"


@pytest.mark.parametrize("arguments", [["update"], ["update", "--dry-run"], ["set", "size=5"],
                                       ["update", "--branch=new"]])  # fmt: skip
def test_no_project_is_given_one(arguments: list[str], tmp_path: Path) -> None:
    files = {IF_FIVE: f"#!/bin/sh\ntouch '{tmp_path}/mark'\n"}
    second = files | {f"{jinja('.git')}/info/grafts": "text\n"}
    releases = (files,) if arguments[0] == "set" else (files, second)
    template = template_of(tmp_path / "fork", *releases)
    project = project_of(template, tmp_path / "toy")
    before = files_of(project), git(project, "for-each-ref")
    folder = ["--project"] if arguments[0] == "set" else []
    done = cli(*arguments, *folder, project)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", told("'.git'"))
    assert (files_of(project), git(project, "for-each-ref")) == before
    assert not (project / ".git" / "hooks").exists()
    assert not (tmp_path / "mark").exists()


def test_no_diff_shows_one(tmp_path: Path) -> None:
    template = template_of(tmp_path / "fork", {IF_FIVE: "text\n"})
    project = project_of(template, tmp_path / "toy")
    edit(project / ".copier-answers.yml", ("size: 3", "size: 5"))
    done = cli("diff", project)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", told("'.git'"))


def test_no_variable_of_the_caller_changes_the_first_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = template_of(tmp_path / "fork", {"file": "text\n"})
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_DATE", "1700000000 +0000")
    plain = project_of(template, tmp_path / "plain" / "toy")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/mark'\ncat\n")
    program.chmod(0o755)
    hostile = {
        "GIT_ATTR_SOURCE": "nothing",
        "GIT_CEILING_DIRECTORIES": str(tmp_path),
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": str(program),
        "GIT_CONFIG_KEY_1": "core.hooksPath",
        "GIT_CONFIG_VALUE_1": str(tmp_path),
        "GIT_DEFAULT_HASH": "sha256",
        "GIT_EDITOR": str(program),
        "GIT_EXTERNAL_DIFF": str(program),
        "GIT_ICASE_PATHSPECS": "1",
        "GIT_REFLOG_ACTION": "evil",
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_TRACE2_EVENT": str(tmp_path / "trace2"),
        "GIT_TRACE_SETUP": str(tmp_path / "trace3"),
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    hostile_one = project_of(template, tmp_path / "hostile" / "toy")
    monkeypatch.undo()
    logs = [(one / ".git" / "logs" / "HEAD").read_text() for one in (plain, hostile_one)]
    assert logs[0] == logs[1]
    assert [path.name for path in tmp_path.iterdir() if "trace" in path.name] == []
    assert not (tmp_path / "mark").exists()


# A lock that runs the template's code.

BACKEND = """\
from pathlib import Path

Path(r"{mark}").touch()


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = Path(folder, "evil-1.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: evil\\nVersion: 1\\n")
    return info.name


get_requires_for_build_editable = get_requires_for_build_wheel
prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel
"""
BUILD = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
DYNAMIC = (
    '[project]\nname = "evil"\nrequires-python = ">=3.11"\ndynamic = ["version", "dependencies"]\n'
)
BY_PATH = (
    '[project]\nname = "toy"\nversion = "1"\nrequires-python = ">=3.11"\n'
    'dependencies = ["evil @ file:///${PROJECT_ROOT}/part"]\n'
)
SOURCE = (
    '[project]\nname = "toy"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["evil"]\n'
    '[tool.uv.sources]\nevil = {path = "part"}\n'
)


def locking(folder: Path, *, kind: str, mark: Path) -> Path:
    """A template whose project runs code of its own when uv locks it."""
    backend = BACKEND.format(mark=mark)
    if kind == "in-tree":
        files = {"pyproject.toml": DYNAMIC + BUILD, "backend.py": backend}
    else:
        top = {"path": BY_PATH, "source": SOURCE}[kind]
        part = {"part/pyproject.toml": DYNAMIC + BUILD, "part/backend.py": backend}
        files = {"pyproject.toml": top, **part}
    return template_of(folder, files)


UNLOCKED = (
    "No uv.lock: uv may run code of this template, --lock lets it. Make it later with: uv lock"
)


@pytest.mark.parametrize("kind", ["in-tree", "path", "source"])
def test_no_lock_runs_code_of_a_template_unasked(kind: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    template = locking(tmp_path / "fork", kind=kind, mark=mark)
    done = mlscaffold("new", "toy", f"--template={template}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == UNLOCKED
    assert not mark.exists()
    done = mlscaffold("new", "locked", f"--template={template}", "--lock", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "uv.lock" not in done.stdout
    assert (tmp_path / "locked" / "uv.lock").is_file()
    # The attack is one: this is what --lock allows.
    assert mark.exists()


@pytest.mark.parametrize(("typed", "is_locked"), [("", False), ("n", False), ("y", True)])
def test_on_a_terminal_a_lock_is_asked_for(typed: str, is_locked: bool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    template = locking(tmp_path / "fork", kind="in-tree", mark=mark)
    terminal = Terminal("new", "toy", f"--template={template}", cwd=tmp_path, TERM="dumb")
    terminal.type(f"3\n\n{typed}\n")
    assert terminal.end() == 0
    shown = terminal.seen
    assert "Lock the dependencies? uv may run code of this template [y/N]: " in shown
    assert ("No uv.lock: " in shown, mark.exists()) == (not is_locked, is_locked)
    assert (tmp_path / "toy" / "uv.lock").exists() == is_locked


# Addresses that are programs.

ODD = [
    "fd::0",
    "ext::sh -c touch% mark",
    "git+ext::sh -c touch% mark",
    "EXT::sh -c touch% mark",
    "helper::https://example.com/a.git",
    "https::https://example.com/a.git",
    "::a",
    "http://127.0.0.1:9/a.git",
    "ftp://127.0.0.1:9/a.git",
    "ext://sh",
    "rsync://127.0.0.1/a.git",
    "git+fd::0",
]


def refused(address: str) -> str:
    return (
        f"the template {address!r} can't be read: it must be a folder, or the address of a git "
        "repository by https, ssh, git or file"
    )


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose git takes every address."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "always")


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("address", ODD)
def test_no_address_is_a_program(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of(template_of(tmp_path / "fork"), tmp_path / "toy")
    answers = project / ".copier-answers.yml"
    source = f"git+{(tmp_path / 'fork').as_uri()}"
    edit(answers, (f"_src_path: {source}", f"_src_path: {address!r}"))
    commit(project)
    monkeypatch.chdir(tmp_path)
    for command in (
        ["new", "other", f"--template={address}"],
        ["options", f"--template={address}"],
        ["update", "toy"],
        ["diff", "toy"],
        ["set", "size=5", "--project=toy"],
    ):
        done = cli(*command)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == f"error: {refused(address)}\n"
    done = cli("check", "toy")
    assert (done.exit_code, done.stdout) == (1, f"toy: unreadable: {refused(address)}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fork", "toy"]


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("url", ["ext::sh -c touch% mark", "fd::0", "file://{part}", "{part}"])
def test_no_submodule_is_a_program_or_a_folder_of_this_machine(url: str, tmp_path: Path) -> None:
    part = template_of(tmp_path / "part", {"secret": "text\n"})
    template = template_of(tmp_path / "fork")
    url = url.format(part=part)
    id = git(part, "rev-parse", "HEAD")
    text = f'[submodule "part"]\n\tpath = template/part\n\turl = "{url}"\n'
    (template / ".gitmodules").write_text(text)
    git(template, "update-index", "--add", "--cacheinfo", f"160000,{id},template/part")
    git(template, "add", ".gitmodules")
    git(template, "commit", "--quiet", "--message=Change")
    git(template, "tag", "v2")
    command = ("new", "toy", f"--template={template}", "--no-lock")
    done = mlscaffold(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: the template can't be rendered: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fork", "part"]
