import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from dvc.repo import Repo
from toy_project.config import RegistryConfig
from toy_project.lineage import (
    config_hash,
    current_lineage,
    dvc_hash,
)

from .conftest import make_config


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_and_whether_files_differ_from_it(workspace, monkeypatch):
    monkeypatch.delenv("GIT_COMMIT", raising=False)
    assert current_lineage(make_config(), run_id=None).git_commit is None
    monkeypatch.setenv("GIT_COMMIT", "of an image")
    assert current_lineage(make_config(), run_id=None).git_commit == "of an image"
    git("init")
    Path("code.py").write_text("1", "utf-8")
    git("add", "code.py")
    git("commit", "--message", "first")
    lineage = current_lineage(make_config(), run_id="r")
    assert (lineage.git_commit, lineage.git_dirty) == (git("rev-parse", "HEAD"), False)
    Path("code.py").write_text("2", "utf-8")
    assert current_lineage(make_config(), run_id="r").git_dirty


def test_the_hash_of_a_folder_is_the_one_in_dvc_lock(workspace):
    for name in ("b.txt", "a/c.txt", "a.txt"):
        Path("data", name).parent.mkdir(parents=True, exist_ok=True)
        Path("data", name).write_text(name, "utf-8")
    Repo.init(no_scm=True).add("data")
    assert f"md5: {dvc_hash(Path('data'))}\n" in Path("data.dvc").read_text("utf-8")


def test_the_config_hash_covers_what_makes_a_model():
    config = make_config()
    assert config_hash(replace(config, registry=RegistryConfig(threshold=1))) == config_hash(config)
    assert config_hash(replace(config, seed=1)) != config_hash(config)


@pytest.mark.parametrize(
    ("answers", "version"),
    [
        ("_commit: v1.2.0\n", "v1.2.0"),
        ("_commit: '6863739'\n", "6863739"),
        ("<<<<<<< before\n_commit: v1\n", None),
        ("- v1\n", None),
    ],
)
def test_the_template_version_is_read_as_yaml(workspace, answers, version):
    Path(".copier-answers.yml").write_text(answers, "utf-8")
    assert current_lineage(make_config(), run_id=None).template_version == version
