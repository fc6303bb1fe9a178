"""The answers that a project records, as a release of its template reads them."""

from collections.abc import Mapping, Sequence
from functools import partial

from ..errors import (
    AnswerError,
    AnswersFileError,
    RecordedAnswerError,
    TemplateError,
    UnknownBaseError,
    UnknownReleaseError,
)
from ..project import ANSWERS_FILE, Project
from ..rendering.answers import Ask, Complaint, checked, refuse_unknown, resolve, text_of
from ..rendering.questions import Question, Value
from ..rendering.releases import Releases, version_of
from ..rendering.render_cache import RenderCache


def recorded_release(project: Project, releases: Releases) -> str:
    """Return the release that a project was rendered from; raise ProjectError if it is unknown."""
    try:
        return releases.find(project.commit)
    except TemplateError as error:
        latest = releases.latest()
        ours, theirs = version_of(project.commit), version_of(latest)
        if ours and theirs and ours > theirs:
            raise UnknownReleaseError(project.path, project.commit, latest) from error
        raise UnknownBaseError(project.path / ANSWERS_FILE, str(error)) from error


def recorded_answers(project: Project, cache: RenderCache, release: str) -> dict[str, Value]:
    """Return the answers that a project was rendered with; raise ProjectError if one is missing."""
    questions = cache.questions(project.template, release)
    recorded = _texts(project, questions)
    for question in questions:
        if question.name not in recorded and question.applies(project.answers):
            raise AnswersFileError(project.path / ANSWERS_FILE, f"must answer {question.name}")
    try:
        return resolve(questions, given=recorded, suggested={})
    except AnswerError as error:
        raise RecordedAnswerError(project.path / ANSWERS_FILE, str(error)) from error


def answers_at(
    project: Project,
    cache: RenderCache,
    release: str,
    *,
    given: Mapping[str, str],
    ask: Ask | None = None,
) -> dict[str, Value]:
    """Return the project's answers at a release: those given, else those recorded, else new ones.

    Raises ProjectError when a recorded answer is no longer valid there.
    """
    questions = cache.questions(project.template, release)
    complaint = partial(cache.releases(project.template).complaint, release)
    refuse_unknown(given, questions)
    recorded = _texts(project, questions)
    for question in questions:
        if question.name in recorded and question.name not in given:
            _require_valid(project, question, recorded, complaint)
    answers = {**recorded, **given}
    return resolve(questions, given=answers, suggested={}, complaint=complaint, ask=ask)


def _texts(project: Project, questions: Sequence[Question]) -> dict[str, str]:
    """Return what is recorded for the questions, as text."""
    texts: dict[str, str] = {}
    for question in questions:
        value = project.answers.get(question.name)
        if isinstance(value, str | bool | int | float):
            texts[question.name] = text_of(value)
        elif value is not None:
            found = type(value).__name__
            problem = f"{question.name} must be one value, it is a {found}"
            raise RecordedAnswerError(project.path / ANSWERS_FILE, problem)
    return texts


def _require_valid(
    project: Project, question: Question, recorded: Mapping[str, str], complaint: Complaint
) -> None:
    try:
        checked(question, recorded[question.name], recorded, complaint=complaint)
    except AnswerError as error:
        fix = f"answer it again with -d {question.name}=..."
        raise RecordedAnswerError(project.path, f"{error}; {fix}") from error
