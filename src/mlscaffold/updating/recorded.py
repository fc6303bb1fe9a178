"""The answers that a project records, as a release of its template reads them."""

from collections.abc import Mapping, Sequence

from ..errors import AnswerError, ProjectError
from ..project import ANSWERS_FILE, Project
from ..rendering.answers import Ask, checked, refuse_unknown, resolve, text_of
from ..rendering.questions import Question, Value
from ..rendering.renders import Renders


def recorded_answers(project: Project, renders: Renders, release: str) -> dict[str, Value]:
    """The answers that the project was rendered with; raises ProjectError where one is missing."""
    questions = renders.questions(project.template, release)
    recorded = _texts(project, questions)
    for question in questions:
        if question.name not in recorded and question.applies(project.answers):
            raise ProjectError(f"{project.path / ANSWERS_FILE} must answer {question.name}")
    try:
        return resolve(questions, given=recorded, suggested={}, reserved=())
    except AnswerError as error:
        raise ProjectError(f"{project.path / ANSWERS_FILE}: {error}") from error


def answers_at(
    project: Project,
    renders: Renders,
    release: str,
    *,
    given: Mapping[str, str],
    ask: Ask | None = None,
) -> dict[str, Value]:
    """The project's answers at a release: those given, else those recorded, else new ones.

    Raises ProjectError when a recorded answer is no longer valid there.
    """
    questions = renders.questions(project.template, release)
    reserved = renders.releases(project.template).read(release, "reserved-names.txt").split()
    refuse_unknown(given, questions)
    recorded = _texts(project, questions)
    for question in questions:
        if question.name in recorded and question.name not in given:
            _require_valid(project, question, recorded[question.name], reserved)
    answers = {**recorded, **given}
    return resolve(questions, given=answers, suggested={}, reserved=reserved, ask=ask)


def _texts(project: Project, questions: Sequence[Question]) -> dict[str, str]:
    """What is recorded for the questions, as text."""
    texts: dict[str, str] = {}
    for question in questions:
        value = project.answers.get(question.name)
        if isinstance(value, str | bool | int | float):
            texts[question.name] = text_of(value)
        elif value is not None:
            found = type(value).__name__
            raise ProjectError(
                f"{project.path / ANSWERS_FILE}: {question.name} must be one value, it is a {found}"
            )
    return texts


def _require_valid(
    project: Project, question: Question, text: str, reserved: Sequence[str]
) -> None:
    try:
        checked(question, text, reserved=reserved)
    except AnswerError as error:
        way_out = f"answer it anew with -d {question.name}=..."
        raise ProjectError(f"{project.path}: {error}; {way_out}") from error
