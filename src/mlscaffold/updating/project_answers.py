"""The answers that a project records, as a release of its template reads them."""

from collections.abc import Mapping

from ..errors import (
    AnswerError,
    AnswersFileError,
    RecordedAnswerError,
    StaleAnswerError,
    TemplateError,
    UnknownBaseError,
    UnknownReleaseError,
)
from ..project import Project
from ..rendering.answers import Answered, Ask, answer
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
        raise UnknownBaseError(project.path / project.answers_file, str(error)) from error


def recorded_answers(project: Project, cache: RenderCache, release: str) -> Answered:
    """Return the answers that a project was rendered with; raise ProjectError if one is missing."""
    file = project.path / project.answers_file
    try:
        found = cache.answers(project.template, release, project.answers, project=project.path)
    except AnswerError as error:
        raise RecordedAnswerError(file, str(error)) from error
    if found.unanswered:
        raise AnswersFileError(file, f"must answer {found.unanswered[0]}")
    return found


def answers_at(
    project: Project,
    cache: RenderCache,
    release: str,
    *,
    given: Mapping[str, str],
    ask: Ask | None = None,
) -> Answered:
    """Return the project's answers at a release: those given, else those recorded, else new ones.

    Raises ProjectError when a recorded answer is no longer valid there, AnswerError when it is not
    valid beside those given.
    """
    releases = cache.releases(project.template)
    try:
        if not (given or ask):
            return cache.answers(project.template, release, project.answers, project=project.path)
        return answer(
            *(releases, release),
            given=given,
            recorded=project.answers,
            ask=ask,
            project=project.path,
        )
    except StaleAnswerError as error:
        if given and _are_valid_alone(project, releases, release):
            raise
        fix = f"answer it again with -d {error.question}=..."
        raise RecordedAnswerError(project.path, f"{error}; {fix}") from error


def _are_valid_alone(project: Project, releases: Releases, release: str) -> bool:
    """Return whether the recorded answers are valid at a release as they are."""
    try:
        answer(releases, release, recorded=project.answers, project=project.path)
    except StaleAnswerError:
        return False
    except AnswerError:  # of another question
        pass
    return True
