"""The answers that a project records, as a release of its template reads them."""

from collections.abc import Mapping, Sequence

from ..errors import AnswerError, ProjectError, TemplateError
from ..project import ANSWERS_FILE, Project
from ..rendering.answers import Ask, checked, refuse_unknown, resolve, text_of
from ..rendering.questions import Question, Value
from ..rendering.releases import Releases, version_of
from ..rendering.renders import Renders


def recorded_release(project: Project, releases: Releases) -> str:
    """The release that the project was rendered from; raises ProjectError where it is not known."""
    try:
        return releases.find(project.commit)
    except TemplateError as error:
        latest = releases.latest()
        ours, theirs = version_of(project.commit), version_of(latest)
        if ours and theirs and ours > theirs:
            raise ProjectError(
                f"{project.path} has release {project.commit}, and {latest} is the newest that "
                "mlscaffold knows: upgrade mlscaffold"
            ) from error
        raise ProjectError(
            f"{error}; set _commit in {project.path / ANSWERS_FILE} to the commit of the template "
            "that made this project, commit that, and run the command again"
        ) from error


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
