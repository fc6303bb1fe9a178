"""Where in a template the changes belong that a project made to its files."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .engine import Source, open_worker, sources
from .releases import Releases
from .reverse import reverse


def upstream(
    releases: Releases,
    *,
    ref: str,
    data: Mapping[str, Any],
    changed: Mapping[str, str | None],
    project: Path,
) -> dict[str, dict[str, Any]]:
    """Return by path, for each of the changed files, what is known about its source.

    `changed` has the new texts, `None` where there is none. `source` is the template's file; where
    none makes the file, or it makes others too, nothing is known. If it is not copied, `text` is
    what it has to become, and `left_out` lists the lines of the project's file that could not be
    carried back. `names` are texts in paths that differ from project to project.
    """
    there = str(project.resolve())
    if releases.trusted:
        return find(releases, ref=ref, data=data, changed=changed, project=there)
    return releases.in_sandbox(
        "upstream", ref=ref, data=dict(data), changed=dict(changed), project=there
    )


def find(
    releases: Releases,
    *,
    ref: str,
    data: Mapping[str, Any],
    changed: Mapping[str, str | None],
    project: str,
) -> dict[str, dict[str, Any]]:
    """Do what `upstream` says, in this process."""
    with open_worker(releases, ref=ref, project=project) as worker:
        worker.data.update(data)
        worker._ask()
        found = list(sources(worker))
        made = Counter(source.path for source in found)
        names = {value: part for source in found for value, part in source.names.items()}
        top = worker.template.local_abspath
        return {
            source.makes: _told(source, top, changed[source.makes], names)
            for source in found
            if source.makes in changed and made[source.path] == 1
        }


def _told(
    source: Source, top: Path, wanted: str | None, names: Mapping[str, str]
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "source": source.path,
        "names": list(names),
        "is_copied": source.render is None,
    }
    if source.render and wanted is not None:
        text = (top / source.path).read_bytes().decode()
        found = reverse(text, wanted, render=source.render, names=names)
        told |= {"text": found.text, "left_out": found.left_out}
    return told
