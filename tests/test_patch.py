"""What a project changed, as a patch for its template: it applies there, and gives the same."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from evolving import template_of, write
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from templates import commit, copy_checkout, git
from toys import Toys, cli, edit, files_of, snapshot
from typer.testing import Result

from mlscaffold.new import new
from mlscaffold.rendering.reverse import reverse

MAKEFILE = """\
# The commands of {{ project_name }}
NAME := {{ project_name }}
{% if store == "files" -%}
STORE := disk
{% else -%}
STORE := server
{% endif -%}
run:
	python -m {{ project_name }}.main --fast

{% for stage in ["one", "two"] -%}
{{ stage }}:
	echo stage
{% endfor -%}
clean:
	rm -rf build
"""
FILES: Mapping[str, str | bytes | Path | None] = {
    "src/{{ project_name }}/main.py": "import sys\n\nprint('hello')\n",
    "src/{{ project_name }}/old.py": "old\n",
    "Makefile.jinja": MAKEFILE,
    "crlf.txt": "one\r\ntwo\r\n",
    "crlf.cfg.jinja": "[it]\r\nname = {{ project_name }}\r\nsize = 1\r\n",
    "run.sh": "#!/bin/sh\n",
    "tool.sh.jinja": "#!/bin/sh\necho {{ project_name }}\n",
    "logo.bin": bytes(range(256)),
    "latest": Path("logo.bin"),
    "umläut ß.txt": "ä\n",
    "a file.txt": "spaced\n",
}


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template of one release, checked out."""
    return template_of(tmp_path / "template", {"v1.0.0": FILES})


@pytest.fixture
def toy(toys: Toys, template: Path, tmp_path: Path) -> Path:
    """A project of it."""
    return toys.make(tmp_path / "toy", template=template, project_name="apollo")


def patched(project: Path, clone: Path) -> Result:
    """Apply the project's patch in a clone of its template; return what the command said."""
    before = snapshot(project)
    done = cli("diff", project, "--patch")
    assert done.exit_code == 0
    assert snapshot(project) == before
    apply = ["git", "apply", "--whitespace=nowarn"]
    subprocess.run(apply, cwd=clone, input=done.stdout_bytes, check=True)
    return done


def test_a_patched_template_renders_the_project(template: Path, toy: Path, tmp_path: Path) -> None:
    edit(toy / "src" / "apollo" / "main.py", ("hello", "hi"))
    (toy / "src" / "apollo" / "old.py").unlink()
    (toy / "Makefile").write_text(
        "# The commands of apollo\nNAME := apollo\nSTORE := tape\nSIZE := 3\nrun: clean\n"
        "\tpython -m apollo.main --faster\n\tpython -m apollo.check\n\none:\n\techo stage\ntwo:\n"
        "\techo stage\nclean:\n"
    )
    edit(toy / "crlf.txt", ("two\r\n", "2\r\n3\r\n"))
    edit(toy / "crlf.cfg", ("1\n", "2\n"))
    (toy / "run.sh").chmod(0o644)
    (toy / "tool.sh").chmod(0o755)
    (toy / "logo.bin").write_bytes(b"\0mine")
    (toy / "latest").unlink()
    (toy / "latest").symlink_to("run.sh")
    (toy / "umläut ß.txt").write_text("no end")
    (toy / "a file.txt").write_text("")
    (toy / "own.txt").write_text("not of the template\n")
    done = patched(toy, template)
    assert done.stderr == ""
    assert done.stdout.startswith(
        f"A patch against the template git+{template.as_uri()}, release v1.0.0.\n"
        "In a clone of it: git apply FILE\n\ndiff --git a/template/"
    )
    makefile = (template / "template" / "Makefile.jinja").read_text()
    assert "run: clean\n\tpython -m {{ project_name }}.main --faster\n" in makefile
    assert "\tpython -m {{ project_name }}.check\n" in makefile
    assert "STORE := tape\n{% else -%}\nSTORE := server\n{% endif -%}\nSIZE := 3\n" in makefile
    commit(template, tag="v2.0.0")
    fresh = tmp_path / "fresh" / "toy"
    new(str(fresh), given={"project_name": "apollo"}, template=str(template), with_lock=False)
    ours, theirs = files_of(toy), files_of(fresh)
    for found in (ours, theirs):
        del found[".copier-answers.yml"]
    del ours["own.txt"]
    assert theirs == ours


def test_what_can_not_be_carried_back_is_named(template: Path, toy: Path) -> None:
    edit(
        toy / "Makefile",
        ("NAME := apollo\n", "NAME := gemini\n"),
        ("one:\n\techo stage\n", "one:\n\techo one\n"),
        ("rm -rf build\n", "rm -rf build '{{ x }}'\n"),
    )
    edit(toy / "crlf.cfg", ("size = 1\n", "size = 2\n"))
    (toy / "tool.sh").write_bytes(b"\xff\0")
    with (toy / ".copier-answers.yml").open("a") as answers:
        answers.write("# mine\n")
    with (toy / "src" / "apollo" / "main.py").open("a") as module:
        module.write("import apollo.other\n")
    done = patched(toy, template)
    lacks = "template/Makefile.jinja does not hold these lines as they are"
    assert done.stderr.splitlines() == [
        f"not in the patch: Makefile:2: {lacks}",
        f"not in the patch: Makefile:8: {lacks}",
        f"not in the patch: Makefile:12: {lacks}",
        "not in the patch: tool.sh: template/tool.sh.jinja is rendered, and this is no short text",
        "check src/apollo/main.py: the patch adds apollo, which only this project is called",
    ]
    assert git(template, "diff", "--name-only").splitlines() == [
        "template/crlf.cfg.jinja",
        "template/src/{{ project_name }}/main.py",
    ]


def test_line_ends_are_the_templates(toys: Toys, template: Path, toy: Path) -> None:
    main = toy / "src" / "apollo" / "main.py"
    main.write_bytes(b"import sys\r\n\r\nprint('hi')\r\n")
    patched(toy, template)
    there = template / "template" / "src" / "{{ project_name }}" / "main.py"
    assert there.read_bytes() == b"import sys\n\nprint('hi')\n"


def test_no_change_is_no_patch_and_a_shared_source_is_left_alone(
    toys: Toys, tmp_path: Path
) -> None:
    template = template_of(tmp_path / "template", {})
    name = "{% yield one from [1, 2] %}{{ one }}{% endyield %}.txt.jinja"
    write(template / "template" / name, "number {{ one }}\n")
    (template / "copier.yml").write_text("project_name: toy\n_subdirectory: template\n")
    commit(template, tag="v1.0.0")
    toy = toys.make(tmp_path / "toy", template=template)
    done = cli("diff", toy, "--patch")
    assert (done.exit_code, done.output) == (0, "")
    (toy / "1.txt").write_text("number one\n")
    done = cli("diff", toy, "--patch")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "not in the patch: 1.txt: not one file of the template makes it alone\n"


def test_a_fix_of_our_own_template_can_be_sent_upstream(tmp_path: Path) -> None:
    toy = tmp_path / "apollo-13"
    new(str(toy), given={}, with_lock=False)
    train = toy / "src" / "apollo_13" / "train.py"
    train.write_text(f"{train.read_text()}\nFIXED = True\n")
    edit(toy / "Makefile", ("ARGS ?=\n", "ARGS ?=\nFIXED ?= apollo_13\n"))
    edit(toy / "pyproject.toml", ('"0.1.0"', '"0.2.0"'), ("machine-learning", "better"))
    clone = copy_checkout(tmp_path / "clone")
    done = patched(toy, clone)
    [line] = done.stderr.splitlines()
    assert line.startswith("not in the patch: pyproject.toml:4: template/pyproject.toml.jinja")
    makefile = (clone / "template" / "Makefile.jinja").read_text()
    assert "\nFIXED ?= {{ package_name }}\n" in makefile
    assert 'version = "0.2.0"\n' in (clone / "template" / "pyproject.toml.jinja").read_text()
    there = clone / "template" / "src" / "{{ package_name }}" / "train.py"
    assert there.read_bytes() == train.read_bytes()
    assert len(git(clone, "status", "--short").splitlines()) == 3


JINJA = Environment(keep_trailing_newline=True)


def render(text: str) -> str:
    return JINJA.from_string(text).render(project_name="apollo", store="files")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_text_is_reversed_or_left_as_it_was(data: st.DataObject) -> None:
    lines = render(MAKEFILE).splitlines(keepends=True)
    new_lines = st.sampled_from(
        ["new\n", "x apollo\n", "{% if %}\n", "{{ 1 }}\n", "clean:\n", "\n"]
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines)))
        lines[at : at + data.draw(st.integers(0, 2))] = data.draw(st.lists(new_lines, max_size=2))
    wanted = "".join(lines)
    found = reverse(MAKEFILE, wanted, render=render, names={"apollo": "{{ project_name }}"})
    again = reverse(found.text, wanted, render=render, names={})
    assert (render(found.text) == wanted) == (not found.left_out)
    assert "{{ project_name }}" in found.text or "apollo" not in wanted
    assert len(again.left_out) <= len(found.left_out)
