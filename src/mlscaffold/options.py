"""What can be chosen: the template's questions and the presets."""

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import AnswerError
from .questions import Question, read_questions, shown
from .releases import open_releases

# Answers by preset; `standard` is what the questions default to.
PRESETS: Mapping[str, Mapping[str, str]] = {"standard": {}}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What one release of the template lets its user choose."""

    template: str
    release: str
    questions: tuple[Question, ...]
    presets: Mapping[str, Mapping[str, str]]


def options(*, template: str | None = None, ref: str | None = None) -> Options:
    """The questions of a release, the latest unless `ref` names one, and the presets."""
    with open_releases(template) as releases:
        release = releases.find(ref)
        questions = read_questions(releases.read(release, "copier.yml"))
        return Options(
            template=releases.source, release=release, questions=questions, presets=PRESETS
        )


def preset_answers(preset: str) -> Mapping[str, str]:
    """The answers that a preset stands for; raises AnswerError when there is no such preset."""
    if preset not in PRESETS:
        raise AnswerError(f"--preset must be one of {', '.join(PRESETS)}; got {shown(preset)}")
    return PRESETS[preset]
