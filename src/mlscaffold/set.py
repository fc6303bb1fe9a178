"""Change a project's answers at the release that it has."""

from collections.abc import Mapping
from pathlib import Path

from .update import UpdateRequest, UpdateResult, update


def set_answers(
    path: Path,
    given: Mapping[str, str],
    *,
    dry_run: bool = False,
    strict: bool = False,
    answers_file: str = "",
    trust: bool = False,
) -> UpdateResult:
    """Change a project's answers, which adds or removes a component, by a merge as in `update`.

    Raises MlscaffoldError as `update` does.
    """
    request = UpdateRequest(
        given=given,
        same_release=True,
        dry_run=dry_run,
        strict=strict,
        answers_file=answers_file,
        trust=trust,
    )
    return update(path, request)
