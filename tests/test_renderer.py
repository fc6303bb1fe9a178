"""A render is what plain copier writes, though copier is spared its clone and its look-ups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from evolving import RELEASES, evolving_template, write
from templates import commit, commit_template, git

from mlscaffold.rendering.releases import open_releases
from mlscaffold.rendering.render import render

COPIER = (sys.executable, "-m", "copier", "copy", "--defaults", "--quiet")


def by_mlscaffold(template: Path, ref: str, into: Path) -> Path:
    """Our render of a release into a new folder."""
    into.mkdir()
    with open_releases(str(template)) as releases:
        render(releases, ref=releases.find(ref), data={"project_name": "ours"}, into=into)
    return into


def by_copier(template: Path, ref: str, into: Path) -> Path:
    """Plain copier's."""
    source = f"git+{template.as_uri()}"
    command = [*COPIER, f"--vcs-ref={ref}", "--data=project_name=ours", source, str(into)]
    cache = {"COPIER_CACHE_DIR": str(into.parent / "cache"), "GIT_ALLOW_PROTOCOL": "file"}
    subprocess.run(command, env=os.environ | cache, check=True, capture_output=True)
    return into


def written(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file's mode and bytes, and where every link leads, by path."""
    return {
        path.relative_to(folder).as_posix(): (
            path.lstat().st_mode,
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("ref", [RELEASES[0], RELEASES[-1], "main", "v1.1.0~1"])
def test_it_is_the_same_to_the_byte(ref: str, tmp_path: Path) -> None:
    template = evolving_template(tmp_path / "template")
    commit(template)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert written(by_mlscaffold(template, ref, ours)) == written(by_copier(template, ref, theirs))


def test_attributes_symlinks_and_the_commits_id_are_as_copier_has_them(tmp_path: Path) -> None:
    files = {
        "hash.txt.jinja": "{{ _copier_conf.vcs_ref_hash }} {{ _copier_conf.vcs_ref }}\n",
        "eol.bat": "@echo off\n",
    }
    template = commit_template(tmp_path / "template", files=files)
    (template / ".gitattributes").write_text("*.bat text eol=crlf\n")
    (template / "template" / "link").symlink_to("eol.bat")
    (template / "template" / "eol.bat").chmod(0o755)
    with (template / "copier.yml").open("a") as copier_yml:
        copier_yml.write("_preserve_symlinks: true\n")
    commit(template, tag="v1.0.0")
    ours = written(by_mlscaffold(template, "v1.0.0", tmp_path / "ours"))
    assert ours == written(by_copier(template, "v1.0.0", tmp_path / "theirs"))
    assert ours["eol.bat"] == (0o100755, b"@echo off\r\n")
    assert ours["hash.txt"][1] == f"{git(template, 'rev-parse', 'HEAD')} v1.0.0\n".encode()


def test_a_name_in_a_path_is_what_it_is_there(tmp_path: Path) -> None:
    loop = "{% yield part from ['a', 'b'] %}{{ part }}{% endyield %}"
    template = commit_template(tmp_path / "template")
    folder = template / "template"
    write(folder / "{{ project_name }}" / "{{ project_name }}.txt", "")
    text = "{{ part }} of {{ _copier_answers.project_name }}\n"
    write(folder / loop / "{{ part }}" / "of.txt.jinja", text)
    commit(template, tag="v1.0.0")
    ours = written(by_mlscaffold(template, "v1.0.0", tmp_path / "ours"))
    assert ours == written(by_copier(template, "v1.0.0", tmp_path / "theirs"))
    assert {"ours/ours.txt", "a/a/of.txt", "b/b/of.txt"} <= ours.keys()


def test_a_template_with_a_submodule_is_left_to_copier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = commit_template(tmp_path / "part")
    template = commit_template(tmp_path / "template")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file")
    git(template, "submodule", "--quiet", "add", str(part), "template/part")
    commit(template, tag="v1.0.0")
    ours = written(by_mlscaffold(template, "v1.0.0", tmp_path / "ours"))
    assert "part/copier.yml" in ours
    assert ours == written(by_copier(template, "v1.0.0", tmp_path / "theirs"))
