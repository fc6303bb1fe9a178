"""Find the release and the answers whose render comes closest to a project.

Three steps, each with as few renders as possible: the files that a release copies as they are
select the releases in question without a render; the project's own files give most answers; what
is left is tried, one answer after the other.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..clues import Clues
from ..errors import AnswerError, MlscaffoldError, StaleAnswerError, TemplateError
from ..project import ANSWERS_FILE
from ..rendering.answers import Answered, answer, text_of
from ..rendering.questions import Question, Value
from ..rendering.releases import Releases
from ..rendering.render_cache import RenderCache
from ..repository.git import without_secrets
from ..repository.scratch import Scratch
from ..repository.worktree import Worktree

_MAX_RELEASES = 8
"""How many releases are rendered at most."""
_MAX_RENDERS = 40
_KINSHIP = 0.1
"""The share of a render's lines that a project made from the template has at least."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How a project compares with a render, apart from the answers file."""

    lines: int
    """Of the render."""
    lost: int
    """Those of them that the project does not have."""
    files: int
    changed: Mapping[str, tuple[int, int]]
    """By path, how many lines the project has more, and how many it lacks."""
    missing: tuple[str, ...]

    @property
    def score(self) -> int:
        """The lines that the project has, less those that it lacks: highest for the least diff."""
        return self.lines - 2 * self.lost

    @property
    def is_exact(self) -> bool:
        """Whether nothing differs."""
        return not (self.changed or self.missing)

    @property
    def is_kin(self) -> bool:
        """Whether so much is equal that the project was made from the template."""
        return self.lines - self.lost >= _KINSHIP * self.lines


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A release with answers, and how the project compares with their render."""

    release: str
    answered: Answered
    tree: str
    likeness: Likeness


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched for, and where."""

    project: Path
    worktree: Worktree
    scratch: Scratch
    """It must read the objects of the project and of the cache."""
    cache: RenderCache
    template: str
    answers_file: str
    clues: Clues
    given: Mapping[str, str]
    recorded: Mapping[str, Any]
    """The answers that the project still records, if any."""
    progress: Callable[[str], None]

    @property
    def releases(self) -> Releases:
        """The releases of the template."""
        return self.cache.releases(self.template)


def closest(search: Search, candidates: Sequence[str]) -> Candidate:
    """Return the closest of the candidate releases, which are given newest first.

    A project that has next to nothing in common with the template gets the first of them. Raises
    AnswerError or TemplateError if none can be rendered with the answers given.
    """
    tied = _with_most_equal_files(search, candidates)[:_MAX_RELEASES]
    best = _best(search, tied)
    if not best.likeness.is_kin:
        return best if best.release == candidates[0] else _best(search, candidates[:1])
    improved = _descend(search, best)
    if improved is not best and len(tied) > 1:
        known = improved.answered.answers
        improved = _best(search, tied, known=known, at_least=improved)
    return improved


def _with_most_equal_files(search: Search, candidates: Sequence[str]) -> Sequence[str]:
    """Return the releases of whose files most are in the project, byte for byte."""
    if len(candidates) < 2:
        return candidates
    search.progress(f"Comparing {len(candidates)} releases")
    ours = {entry.id for entry in search.scratch.entries(search.worktree.tree()).values()}
    equal = {ref: len(ours & search.releases.file_ids(ref)) for ref in candidates}
    return [ref for ref in candidates if equal[ref] == max(equal.values())]


def _best(
    search: Search,
    candidates: Sequence[str],
    *,
    known: Mapping[str, Any] | None = None,
    at_least: Candidate | None = None,
) -> Candidate:
    """Return the closest release, with the answers `known`, or those that are deduced for each."""
    best = at_least
    problem: MlscaffoldError | None = None
    for release in candidates:
        if best and (best.likeness.is_exact or not best.likeness.is_kin):
            break
        try:
            found = _candidate(search, release, known or _deduced(search, release))
        except (AnswerError, TemplateError) as error:
            problem = problem or error
            continue
        if best is None or found.likeness.score > best.likeness.score:
            best = found
    if best is None:
        raise problem or TemplateError(f"{without_secrets(search.template)} has no release")
    return best


def _descend(search: Search, best: Candidate) -> Candidate:
    """Try the other values of each question that is still open; return the closest candidate."""
    budget = _MAX_RENDERS
    open_questions = {
        question.name: _values(question)
        for question in search.releases.questions(best.release)
        if question.name in best.answered.unanswered
    }
    is_better = True
    while is_better and not best.likeness.is_exact:
        is_better = False
        for name, values in open_questions.items():
            answers = {
                key: value
                for key, value in best.answered.answers.items()
                if key not in best.answered.unanswered
            }
            for value in values:
                if value == best.answered.answers.get(name) or not budget:
                    continue
                budget -= 1
                try:
                    found = _candidate(search, best.release, {**answers, name: value})
                except (AnswerError, TemplateError):
                    continue
                if found.likeness.score > best.likeness.score:
                    best, is_better = found, True
    return best


def _values(question: Question) -> Collection[Value]:
    return (False, True) if question.type == "bool" else question.values


def _candidate(search: Search, release: str, known: Mapping[str, Any]) -> Candidate:
    """Render a release and compare it; raise AnswerError if an answer is not valid there."""
    answered = answer(
        *(search.releases, release),
        given=search.given,
        recorded=known,
        project=search.project,
    )
    search.progress(f"Comparing the project with {release}")
    tree = search.cache.tree(
        *(search.template, release, answered),
        project=search.project,
        answers_file="" if search.answers_file == ANSWERS_FILE else search.answers_file,
        object_format=search.worktree.object_format,
    )
    return Candidate(
        release=release, answered=answered, tree=tree, likeness=_likeness(search, tree)
    )


def _likeness(search: Search, tree: str) -> Likeness:
    scratch = search.scratch
    rendered = scratch.paths(tree)
    if search.answers_file in rendered:
        tree = scratch.without(tree, [search.answers_file])
        rendered = rendered - {search.answers_file}
    ours = search.worktree.tree()
    changed = scratch.line_counts(tree, ours, only="DMT")
    lines = scratch.line_counts(scratch.edited("", {}), tree)
    missing = rendered - scratch.paths(ours)
    return Likeness(
        lines=sum(added for added, _ in lines.values()),
        lost=sum(deleted for _, deleted in changed.values()),
        files=len(rendered),
        changed={path: count for path, count in changed.items() if path not in missing},
        missing=tuple(sorted(missing)),
    )


def _deduced(search: Search, release: str) -> dict[str, Any]:
    """Return the answers that the project's files tell, as far as the release accepts them."""
    asked = [one for one in search.releases.questions(release) if not one.is_secret]
    choices = search.releases.components(release).choices
    possible: dict[str, list[Any]] = {}
    for question in asked:
        texts = search.clues.texts.get(question.name, ())
        if question.values:
            values = {text_of(value).casefold(): value for value in question.values}
            found = [values[text.casefold()] for text in texts if text.casefold() in values]
            chosen = search.clues.choice(choices.get(question.name, {}))
            possible[question.name] = [*found, *([values[chosen]] if chosen in values else [])]
        elif question.type == "str":
            possible[question.name] = list(texts)
        if question.name in search.recorded:
            possible.setdefault(question.name, []).insert(0, search.recorded[question.name])
    return _valid(search, release, possible)


def _valid(search: Search, release: str, possible: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the first answer to each question that is valid there."""
    while True:
        known = {name: values[0] for name, values in possible.items() if values}
        try:
            answer(
                *(search.releases, release),
                given=search.given,
                recorded=known,
                project=search.project,
            )
        except StaleAnswerError as error:
            possible[error.question].pop(0)
        else:
            return known
