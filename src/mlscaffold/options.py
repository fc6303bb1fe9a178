"""What can be chosen: the template's questions, what each choice brings, and the presets."""

from collections.abc import Mapping
from dataclasses import dataclass

from .rendering.components import Choices
from .rendering.questions import Question
from .rendering.releases import open_releases
from .repository.git import without_secrets


@dataclass(frozen=True, kw_only=True)
class Options:
    """What one release of a template lets its user choose."""

    template: str
    release: str
    questions: tuple[Question, ...]
    components: Choices
    presets: Mapping[str, Mapping[str, str]]


def options(*, template: str | None = None, ref: str | None = None) -> Options:
    """Return the questions of a release, the latest unless `ref` names one, and the presets."""
    with open_releases(template) as releases:
        release = releases.find(ref)
        components = releases.components(release)
        return Options(
            template=without_secrets(releases.source),
            release=release,
            questions=releases.questions(release),
            components=components.choices,
            presets=components.presets,
        )
