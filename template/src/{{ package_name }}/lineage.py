"""Where a model comes from: the commit, the data, the configuration."""

import hashlib
import json
import logging
import math
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated, Any

import yaml

from .artifacts import PROCESSED
from .config import Config
from .rules import FILE_NAME, Checked, Rule

ANSWERS = Path(".copier-answers.yml")
MAX_PATCH_BYTES = 2**20

log = logging.getLogger(__name__)

Line = Annotated[
    str,
    Rule("a line of 500 characters at most", lambda text: text.isprintable() and len(text) <= 500),
]
Metrics = Annotated[
    dict[str, float],
    Rule("finite numbers", lambda metrics: all(map(math.isfinite, metrics.values()))),
]


@dataclass(frozen=True)
class Lineage(Checked, section="lineage"):
    """Where a model came from, so that a prediction can be traced to its data."""

    git_commit: Line | None
    """The project's commit; `None` outside a repository."""
    git_dirty: bool
    """Whether files differed from that commit."""
    data_hash: Line
    """DVC's hash of data/processed, as it stands in dvc.lock."""
    config_hash: Line
    """SHA-256 of the settings that make a model."""
    run_id: Annotated[Line, FILE_NAME] | None
    """The tracked run that trained the model; it becomes the name of a folder."""
    template_version: Line | None
    """The release of the project's template."""
    created_at: Line
    """ISO 8601, UTC."""
    validation_metrics: Metrics = field(default_factory=dict)
    """Of the validation split, on which the best epoch was chosen; empty before the training."""

    def tags(self) -> dict[str, str]:
        """Return the fields that are known, as text, without the metrics."""
        values = asdict(self).items()
        return {name: str(value) for name, value in values if isinstance(value, str | bool)}


def current_lineage(config: Config, *, run_id: str | None) -> Lineage:
    """Return the lineage of a model that is about to be trained.

    Without a repository, as in an image, the commit is the value of GIT_COMMIT.
    """
    commit = _git("rev-parse", "HEAD").decode().strip() or os.environ.get("GIT_COMMIT")
    return Lineage(
        git_commit=commit or None,
        git_dirty=bool(_git("status", "--porcelain", "--untracked-files=no")),
        data_hash=dvc_hash(PROCESSED),
        config_hash=config_hash(config),
        run_id=run_id,
        template_version=_template_version(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def save_code(folder: Path) -> Path:
    """Replace `folder` with what the commit does not record about the code; return `folder`.

    packages.txt has the installed packages, diff.patch how tracked files differ from the commit,
    if they do. A file that git does not track is in neither.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    packages = {f"{package.name}=={package.version}\n" for package in distributions()}
    (folder / "packages.txt").write_text("".join(sorted(packages, key=str.lower)), "utf-8")
    # A user's settings for the terminal must not change what `git apply` reads.
    patch = _git("diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
    if len(patch) > MAX_PATCH_BYTES:
        patch = b"Cut off after %d bytes.\n" % MAX_PATCH_BYTES + patch[:MAX_PATCH_BYTES]
    if patch:
        (folder / "diff.patch").write_bytes(patch)
    return folder


def made_by(config: Config) -> dict[str, Any]:
    """Return the settings that determine a model, not those of tracking, registry and launcher."""
    settings = asdict(config)
    names = ("seed", "data", "model", "objective", "optimizer", "schedule", "training")
    return {name: settings[name] for name in names}


def config_hash(config: Config) -> str:
    """Return the SHA-256 of the settings that determine a model."""
    return hashlib.sha256(json.dumps(made_by(config), sort_keys=True).encode()).hexdigest()


def dvc_hash(folder: Path) -> str:
    """Return DVC's hash of a folder: the MD5 of the list of its files' MD5s.

    It is computed from the files, so it is right even if dvc.lock is out of date.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    names = sorted(name for name, path in files.items() if path.is_file())
    entries = [{"md5": _md5(files[name]), "relpath": name} for name in names]
    return _new_md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


# A machine in FIPS mode allows MD5 where it is not used for security, as in DVC's file names.
_new_md5 = partial(hashlib.md5, usedforsecurity=False)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _new_md5).hexdigest()


def _git(*arguments: str) -> bytes:
    """Return git's output, or nothing if git fails, as it does outside a repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:  # git is not installed
        return b""
    return b"" if done.returncode else done.stdout


def _template_version() -> str | None:
    if not ANSWERS.exists():  # as in an image
        return None
    try:
        answers = yaml.safe_load(ANSWERS.read_bytes())
    except yaml.YAMLError as error:
        log.warning("the model's lineage has no template version: %s", " ".join(str(error).split()))
        return None
    return str(answers["_commit"]) if isinstance(answers, dict) and "_commit" in answers else None
