"""Which releases of a template render to the same files, whenever and wherever that is done."""

import os
import re
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..repository import git
from .releases import Releases

# Expressions that git and Python read alike.
_OF_PROJECT = "_folder_name|dst_path|_external_data"
"""What an expression can know of a project beside its answers."""
_WORDS = (
    "now|make_secret|random|ans_random|random_mac|shuffle|lipsum|strftime|expanduser|expandvars"
    "|realpath|relpath|fileglob|_copier_python|_copier_phase"
)
_OF_THE_MOMENT = (
    f"(^|[^A-Za-z0-9_])({_WORDS})($|[^A-Za-z0-9_])"
    # All of it but `answers_file`, `vcs_ref` and `vcs_ref_hash`, for example `src_path`.
    r"|_copier_conf($|[^.]|\.($|[^av]|a($|[^n])|v($|[^c])))"
)
"""What else can be another one in each render: chance, the date, this machine and its folders."""

# Other versions of these may render other files.
_RENDERERS = {"copier", "jinja2", "jinja2_ansible_filters", "pathspec", "pyyaml"}
_OUR_PART = (
    "rendering/answers.py",
    "rendering/dialog_libraries.py",
    "rendering/engine.py",
    "rendering/questions.py",
    "rendering/render.py",
    "rendering/repeatable.py",
    "rendering/short_cuts.py",
    "rendering/validators.py",
    "repository/packs.py",
    "repository/scratch.py",
)


def looks_at_project(releases: Releases, ref: str) -> bool:
    """Return whether a release may ask for a project's name, path or other files."""
    return not releases.trusted and _mentions(releases, ref, _OF_PROJECT)


def looks_at_operation(releases: Releases, ref: str) -> bool:
    """Return whether a release may render other files in an update than in a new project."""
    return not releases.trusted and _mentions(releases, ref, "_copier_operation")


def may_be_repeatable(releases: Releases, ref: str) -> bool:
    """Return whether it can be: it is a tag, whose commit says what it holds, and runs no code."""
    return releases.is_tag(ref) and not releases.may_run_code


def is_repeatable(releases: Releases, ref: str) -> bool:
    """Return whether all renders of a release with the same answers are the same, and no secret."""
    if not may_be_repeatable(releases, ref) or _asks_for_secrets(releases, ref):
        return False
    changing = f"{_OF_PROJECT}|{_OF_THE_MOMENT}"
    return releases.trusted or not _mentions(releases, ref, changing)


@cache
def renderer() -> str:
    """Return a text that is another one after each change of what renders; empty if unknown."""
    versions: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 (no Path for each)
        except OSError:
            continue
        for name in names:
            distribution, _, version = name.removesuffix(".dist-info").rpartition("-")
            distribution = distribution.lower().replace("-", "_").replace(".", "_")
            if name.endswith(".dist-info") and distribution in _RENDERERS:
                versions.setdefault(distribution, version)
    if versions.keys() != _RENDERERS:
        return ""
    ours = b"".join(Path(__file__).parents[1].joinpath(name).read_bytes() for name in _OUR_PART)
    return f"{sorted(versions.items())} {sha256(ours).hexdigest()} {sys.version} {sys.platform}"


def _asks_for_secrets(releases: Releases, ref: str) -> bool:
    if releases.trusted:
        return "secret" in releases.read(ref, "copier.yml")
    asked: Any = releases.asked(ref)
    return any(isinstance(one, dict) and one.get("secret") for one in asked.values())


def _mentions(releases: Releases, ref: str, pattern: str) -> bool:
    """Return whether a file of a release, its path or a link's target matches a pattern.

    What is in a submodule is not known here, and so it may.
    """
    commit = releases.commit(ref)
    listed = git.output("ls-tree", "-r", "-z", commit, cwd=releases.repository).split(b"\0")
    entries = [entry.decode(errors="replace").partition("\t") for entry in listed if entry]
    links = [fields.split()[2] for fields, _, _ in entries if fields.startswith("120000")]
    names = "\n".join(path for _, _, path in entries)
    if links:
        asked = "\n".join(links).encode()
        names += git.run("cat-file", "--batch", cwd=releases.repository, stdin=asked)
    has_submodule = any(fields.startswith("160000") for fields, _, _ in entries)
    if has_submodule or re.search(pattern, names, re.MULTILINE):
        return True
    search = ("grep", "--files-with-matches", "--extended-regexp", "--text", "-e", pattern, commit)
    return bool(git.output(*search, cwd=releases.repository, may_exit=(0, 1)))
