"""Hostile settings of git, two updates at once, mutated answers, and chains of releases."""

import os
import random
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evolving import RELEASES

from mlscaffold.errors import MlscaffoldError
from mlscaffold.project import ANSWERS_FILE

from .faults import run
from .projects import Lab, commit, copied, difference, files_of, git, index_of, snapshot, unmerged
from .users import User, marks_of

# Each of these changes what git does somewhere; none may change what an update does.
SETTINGS = (
    ("apply.whitespace", "error"),
    ("apply.whitespace", "fix"),
    ("branch.autoSetupMerge", "always"),
    ("color.ui", "always"),
    ("commit.gpgsign", "true"),
    ("commit.template", "/nowhere"),
    ("core.attributesFile", "ATTRIBUTES"),
    ("core.bigFileThreshold", "10"),
    ("core.checkStat", "minimal"),
    ("core.compression", "0"),
    ("core.excludesFile", "EVERYTHING"),
    ("core.fsmonitor", "/bin/false"),
    ("core.hooksPath", "HOOKS"),
    ("core.ignoreCase", "true"),
    ("core.pager", "/bin/false"),
    ("core.precomposeUnicode", "true"),
    ("core.preloadIndex", "false"),
    ("core.quotePath", "false"),
    ("core.safecrlf", "warn"),
    ("core.splitIndex", "true"),
    ("core.trustctime", "false"),
    ("core.untrackedCache", "true"),
    ("core.whitespace", "trailing-space,cr-at-eol,tab-in-indent"),
    ("diff.algorithm", "patience"),
    ("diff.autoRefreshIndex", "false"),
    ("diff.external", "/bin/false"),
    ("diff.ignoreSubmodules", "all"),
    ("diff.mnemonicPrefix", "true"),
    ("diff.noprefix", "true"),
    ("diff.renames", "false"),
    ("feature.manyFiles", "true"),
    ("gpg.program", "/bin/false"),
    ("i18n.commitEncoding", "ISO-8859-1"),
    ("index.threads", "1"),
    ("index.version", "4"),
    ("init.defaultBranch", "strange"),
    ("log.showSignature", "true"),
    ("merge.conflictStyle", "merge"),
    ("merge.default", "hostile"),
    ("merge.directoryRenames", "false"),
    ("merge.ff", "only"),
    ("merge.hostile.driver", "/bin/false"),
    ("merge.renameLimit", "1"),
    ("merge.renames", "false"),
    ("merge.verifySignatures", "true"),
    ("push.default", "nothing"),
    ("rerere.enabled", "true"),
    ("status.branch", "true"),
    ("status.relativePaths", "true"),
    ("status.renames", "copies"),
    ("status.short", "true"),
    ("status.showUntrackedFiles", "no"),
    ("status.submoduleSummary", "true"),
    ("transfer.fsckObjects", "true"),
    ("user.useConfigOnly", "true"),
    ("alias.status", "!false"),
    ("alias.update-index", "!false"),
)


@dataclass
class Found:
    """The number of trials, and the failures."""

    trials: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def hostile_settings(lab: Lab, *, trials: int, seed: int) -> Found:
    """Run the same work and update with and without hostile settings: the same result."""
    found = Found()
    for number in range(seed, seed + trials):
        chance = random.Random(f"settings {number}")
        release = chance.choice(RELEASES[:-1])
        project = lab.project("plain", release=release)
        User(project, number).work(chance.choice([2, 5]))
        hostile = copied(project, lab.folder / "hostile")
        chosen = chance.sample(SETTINGS, chance.choice([1, 4, 12]))
        marks = marks_of(files_of(project))
        expected = _result(lab, project)
        before = snapshot(hostile)
        with _settings(lab.folder / "settings", chosen, hostile, is_local=chance.random() < 0.5):
            got = _result(lab, hostile)
        found.trials += 1
        found.count("refused" if isinstance(got, str) else "updated")
        text = f"{number}, {dict(chosen)}"
        lost = marks - marks_of(files_of(hostile)) - staged_marks(hostile)
        found.lost += [f"{text}: {mark!r}" for mark in lost]
        if got != expected:
            found.wrong.append(f"{text}: {_described(expected, got)}")
        if isinstance(got, str) and (changed := difference(before, snapshot(hostile))):
            found.wrong.append(f"{text}: refused, and changed {changed}")
    return found


def two_at_once(lab: Lab, *, pairs: int) -> Found:
    """Two updates of one project: as one of them alone, and one line from the other."""
    found = Found()
    base = lab.project("pair base", release="v2.0.0")
    User(base, 1).work(4)
    alone = copied(base, lab.folder / "pair")
    lab.update(alone)
    expected = snapshot(alone)
    for number in range(pairs):
        project = copied(base, lab.folder / "pair")
        other = os.fork()
        if other == 0:
            twin = Lab(lab.folder / "twin", lab.template, lab.renders)
            twin.folder.mkdir(exist_ok=True)
            ended = run(twin, project, ("update",))
            (twin.folder / "code").write_text(str(ended.code))
            os._exit(0)
        ended = run(lab, project, ("update",))
        os.waitpid(other, 0)
        printed = [ended.printed, (lab.folder / "twin" / "printed").read_text()]
        codes = sorted([ended.code, int((lab.folder / "twin" / "code").read_text())])
        found.trials += 1
        if text := difference(expected, snapshot(project)):
            found.wrong.append(f"pair {number}: {text}")
        refused = [text for text in printed if text.startswith("error: ")]
        reason = refused[0].partition(" in ")[0] if refused else "nothing to do for one"
        found.count(reason.removeprefix("error: ").partition(str(lab.folder))[0])
        # Both exit with 0: the second started after the first had ended, and had nothing to do.
        if codes not in ([0, 0], [0, 1], [1, 3]):
            found.wrong.append(f"pair {number}: exits {codes}: {printed}")
        if any(len(text.splitlines()) != 1 for text in refused):
            found.wrong.append(f"pair {number}: {printed}")
    return found


def mutated_answers(lab: Lab, *, trials: int, seed: int) -> Found:
    """Broken answers files: one line, and nothing changed."""
    found = Found()
    project = lab.project("answers", release="v1.1.0")
    whole = (project / ANSWERS_FILE).read_bytes()
    for number in range(seed, seed + trials):
        chance = random.Random(f"answers {number}")
        (project / ANSWERS_FILE).write_bytes(_mutated(whole, chance))
        git(project, "add", "--all")
        commit(project)
        before = snapshot(project)
        found.trials += 1
        try:
            # A preview succeeds if the mutation is harmless.
            done = lab.update(project, dry_run=True)
            found.count(str(done.outcome))
        except MlscaffoldError as error:
            found.count("one line")
            if "\n" in str(error) or not str(error):
                found.wrong.append(f"{number}: {error!r}")
        except Exception as error:
            found.wrong.append(f"{number}: {type(error).__name__}: {error}"[:300])
        if text := difference(before, snapshot(project)):
            found.wrong.append(f"{number}: {text}")
    return found


def chains(lab: Lab, *, trials: int, seed: int) -> Found:
    """From a random release to the newest, in random steps: as if rendered there at once."""
    found = Found()
    for number in range(seed, seed + trials):
        chance = random.Random(f"chain {number}")
        store = chance.choice(["files", "database"])
        first = chance.randrange(len(RELEASES) - 1)
        between = RELEASES[first + 1 : -1]
        steps = [*sorted(chance.sample(between, chance.randint(0, len(between)))), RELEASES[-1]]
        project = lab.project("chain", release=RELEASES[first], store=store)
        for release in steps:
            done = lab.update(project, to=release, commits=True)
            if done.outcome != "updated":
                found.wrong.append(f"{number}: {release} came out as {done.outcome}")
        found.trials += 1
        fresh = lab.project("fresh", release=RELEASES[-1], store=store)
        now, then = files_of(project), files_of(fresh)
        if now != then:
            differing = [p for p in now.keys() | then.keys() if now.get(p) != then.get(p)]
            found.wrong.append(f"{number}: {RELEASES[first]} by {steps}: {sorted(differing)}")
    return found


def _result(lab: Lab, project: Path) -> object:
    """Return why the update was refused, or the new index and files."""
    try:
        done = lab.update(project)
    except MlscaffoldError as error:
        return str(error).replace(str(project), "PROJECT")
    return dict(done.conflicts), index_of(project), files_of(project)


def _described(expected: object, got: object) -> str:
    if isinstance(expected, str) or isinstance(got, str):
        return f"{str(expected)[:200]} became {str(got)[:300]}"
    pairs = zip(("conflicts", "index", "files"), expected, got, strict=True)  # ty: ignore
    return f"other {', '.join(name for name, one, other in pairs if one != other)}"


def staged_marks(project: Path) -> set[bytes]:
    ids = {id for several in unmerged(project).values() for id in several}
    return marks_of({id: ("", git(project, "cat-file", "blob", id)) for id in ids})


@contextmanager
def _settings(
    folder: Path, chosen: list[tuple[str, str]], project: Path, *, is_local: bool
) -> Generator[None]:
    """Use these settings while the block runs, as the user's or the repository's own."""
    hooks = folder / "hooks"
    hooks.mkdir(parents=True, exist_ok=True)
    for name in ("pre-commit", "post-checkout", "reference-transaction", "post-index-change"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    (folder / "everything").write_text("*\n")
    (folder / "attributes").write_text("* merge=hostile -diff\n")
    places = {
        "HOOKS": str(hooks),
        "EVERYTHING": str(folder / "everything"),
        "ATTRIBUTES": str(folder / "attributes"),
    }
    config, own = folder / "gitconfig", project / ".git" / "config"
    before, own_before = os.environ["GIT_CONFIG_GLOBAL"], own.read_text()
    config.write_text(Path(before).read_text())
    where = ("--file", str(own if is_local else config))
    for key, value in chosen:
        git(project, "config", *where, key, places.get(value, value))
    os.environ["GIT_CONFIG_GLOBAL"] = str(config)
    try:
        yield
    finally:
        os.environ["GIT_CONFIG_GLOBAL"] = before
        own.write_text(own_before)


def _mutated(whole: bytes, chance: random.Random) -> bytes:
    """Return the answers after one to three mutations of bytes or of lines."""
    for _ in range(chance.choice([1, 1, 2, 3])):
        whole = chance.choice(_MUTATIONS)(whole, chance)
    return whole


def _bytes_changed(whole: bytes, chance: random.Random) -> bytes:
    changed = bytearray(whole)
    for _ in range(min(len(changed), chance.choice([1, 3, 10]))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _cut(whole: bytes, chance: random.Random) -> bytes:
    return whole[: chance.randrange(len(whole) + 1)]


def _line_dropped(whole: bytes, chance: random.Random) -> bytes:
    lines = whole.splitlines(keepends=True)
    if lines:
        lines.pop(chance.randrange(len(lines)))
    return b"".join(lines)


def _line_twice(whole: bytes, chance: random.Random) -> bytes:
    lines = whole.splitlines(keepends=True)
    return whole + chance.choice(lines or [b""])


def _value_changed(whole: bytes, chance: random.Random) -> bytes:
    lines = whole.splitlines() or [b"_commit: x"]
    number = chance.randrange(len(lines))
    key = lines[number].partition(b":")[0]
    lines[number] = key + b": " + chance.choice(_VALUES)
    return b"\n".join(lines) + b"\n"


def _wrapped(whole: bytes, chance: random.Random) -> bytes:
    before, after = chance.choice(_WRAPPINGS)
    return before + whole + after


_VALUES = (
    *(b"", b"null", b"[]", b"{}", b"[a, b]", b"{a: b}", b"true", b"1", b"1.5", b".nan", b".inf"),
    *(b"2024-01-01", b"!!python/object/apply:os.system ['true']", b"!!binary aGk=", b"&a [*a]"),
    *(b"--upload-pack=/bin/false", b"-x", b"../../etc", b"'; true'", b"HEAD", b"v9.9.9", b"v0"),
    *(b"'\\0'", b'"\\0"', b"file:///nowhere", b"git+file:///nowhere", b"ext::sh -c true", b"gh:"),
    *(b"a b", b"x" * 5000, "ü\u2028".encode(), b"{{ 1/0 }}", b"|\n  two\n  lines", b"0x7f", b"~"),
    *(b"refs/heads/main", b"main", b"v1.0.0^{tree}", b"@{-1}", b"v1.0.0..v2.0.0", b"1_000", b"yes"),
)
_WRAPPINGS = (
    (b"<<<<<<< yours\n", b"=======\n>>>>>>> theirs\n"),
    (b"- ", b""),
    (b"%YAML 9.9\n---\n", b""),
    (b"--- a\n--- b\n", b""),
    (b"\xff\xfe", b""),
    (b"\xef\xbb\xbf", b""),
    (b"a: &a [x]\nb: [*a, *a]\n", b""),
    (b"? [complex]\n: key\n", b""),
    (b"", b"\nextra: {deep: [1, 2]}\n"),
    (b"\t", b"\t"),
    (b"", b"1: number\nnull: nothing\ntrue: flag\n"),
    (b"[" * 3000, b""),
)
_MUTATIONS = (
    _bytes_changed,
    _cut,
    _line_dropped,
    _line_twice,
    _value_changed,
    _value_changed,
    _wrapped,
)
