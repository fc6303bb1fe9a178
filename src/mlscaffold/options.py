"""What can be chosen: the template's questions, what each choice brings, and the presets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import AnswerError, TemplateError, shown
from .rendering.questions import Question
from .rendering.releases import open_releases

# Answers by preset; `standard` is what the questions default to.
PRESETS: Mapping[str, Mapping[str, str]] = {
    "minimal": {"tracking": "none", "serving": "none", "ci": "none"},
    "standard": {},
    "full": {"distributed": "ray", "orchestration": "kubeflow"},
}


@dataclass(frozen=True, kw_only=True)
class Component:
    """What one choice brings into a project, beside its part of files that every project has."""

    files: tuple[str, ...] = ()
    """Paths; `<package>` stands for the package's name."""
    dependencies: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


# By question, then by choice.
Components = Mapping[str, Mapping[str, Component]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What one release of the template lets its user choose."""

    template: str
    release: str
    questions: tuple[Question, ...]
    components: Components
    presets: Mapping[str, Mapping[str, str]]


def options(*, template: str | None = None, ref: str | None = None) -> Options:
    """The questions of a release, the latest unless `ref` names one, and the presets."""
    with open_releases(template) as releases:
        release = releases.find(ref)
        questions = releases.questions(release)
        return Options(
            template=releases.source,
            release=release,
            questions=questions,
            components=read_components(releases.read_yaml(release, "components.yml")),
            presets=_presets_of(questions),
        )


def preset_answers(preset: str) -> Mapping[str, str]:
    """The answers that a preset stands for; raises AnswerError when there is no such preset."""
    if preset.lower() not in PRESETS:
        raise AnswerError(f"--preset must be one of {', '.join(PRESETS)}; got {shown(preset)}")
    return PRESETS[preset.lower()]


def read_components(table: Any) -> Components:
    """What each choice brings, from what a components.yml holds; nothing without one."""
    try:
        return {
            question: {str(choice): _component(brought) for choice, brought in choices.items()}
            for question, choices in (table or {}).items()
        }
    except (AttributeError, TypeError) as error:
        reason = f"components.yml can't be read: {error}".replace("\n", " ")
        raise TemplateError(reason) from error


def _component(brought: Mapping[str, list[str]]) -> Component:
    return Component(**{name: tuple(values) for name, values in brought.items()})


def _presets_of(questions: tuple[Question, ...]) -> Mapping[str, Mapping[str, str]]:
    """The presets whose questions this template has."""
    known = {question.name for question in questions}
    return {name: answers for name, answers in PRESETS.items() if answers.keys() <= known}
