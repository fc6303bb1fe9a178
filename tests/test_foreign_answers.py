"""The answers to the questions of other templates: those that plain copier finds."""

from collections.abc import Mapping
from pathlib import Path

import copier
import pytest
import yaml
from evolving import template_of
from pseudo_terminal import Terminal
from templates import commit, copy_checkout
from toys import cli, edit, files_of

from mlscaffold.rendering.answers import answer
from mlscaffold.rendering.releases import open_releases

SETTINGS = "_subdirectory: template\n"
ENVOPS = """\
_envops:
  block_start_string: "[%"
  block_end_string: "%]"
  variable_start_string: "[["
  variable_end_string: "]]"
"""
VALUES = {
    "values.txt.jinja": "{{ _copier_answers | to_nice_yaml | to_json }} {{ a }} {{ b }} {{ c }}\n",
    "part.txt": "part\n",
    # For other settings of Jinja, under which the first is no expression.
    "[[ _copier_conf.answers_file ]].jinja": "[[ _copier_answers | to_nice_yaml ]]",
    "other.txt.jinja": "[[ a ]] [[ b ]] [[ c ]]\n",
}

# By what they show: a copier.yml, and the answers that are given.
QUESTIONNAIRES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "hidden": (
        'a: x\nb: {type: str, when: false, default: "{{ a | upper }}"}\n'
        'c: "{{ b }}-c"\n',
        {"a": "toy"},
    ),
    "hidden, given": ("a: x\nb: {when: false, default: 1}\nc: '{{ b + 1 }}'\n", {"b": "5"}),
    "hidden by a condition": (
        "a: {type: bool, default: false}\n"
        'b: {type: str, default: files, when: "{{ a }}"}\nc: "{{ b }}"\n',
        {},
    ),
    "hidden, without a default": ('a: {type: str, when: "{{ 0 }}"}\nb: "{{ a }}"\nc: 1\n', {}),
    "given, but hidden": ('a: {default: x, when: "no"}\nb: "{{ a }}"\nc: 1\n', {"a": "y"}),
    "settings of Jinja": (
        'a: "[[ 1 ]]"\nb: {type: str, default: b, when: "[[ a == 1 ]]"}\n'
        'c: {type: str, default: "[% if a == 1 %]one[% endif %]"}\n' + ENVOPS,
        {},
    ),
    "filters of copier": (
        "a: \"{{ 'A-b' | regex_replace('-', '_') | to_uuid }}\"\n"
        "b: {type: str, default: b, when: \"{{ a | regex_search('^[0-9a-f]') }}\"}\n"
        "c: \"{{ pathjoin('a', 'b') | basename }}\"\n",
        {},
    ),
    "a last line end": ('a: "x\\n"\nb: {type: str, default: "{{ a }}y\\n"}\nc: "{{ b }}"\n', {}),
    "conditions": (
        'a: {type: str, default: a, when: "{{ 2 }}"}\nb: {type: str, default: b, when: "y"}\n'
        'c: {type: str, default: c, when: " none "}\n',
        {},
    ),
    "files of the template": ("a: \"{% include 'template/part.txt' %}\"\nb: 1\nc: 1\n", {}),
}  # fmt: skip


def template_with(folder: Path, questions: str, **later: str) -> Path:
    """A template with release v1, whose copier.yml is `questions`, and the `later` ones."""
    texts = {"v1": questions + SETTINGS} | {name: one + SETTINGS for name, one in later.items()}
    return template_of(folder, {"v1": VALUES, **{name: {} for name in later}}, questions=texts)


def project_of(template: Path, at: Path, given: Mapping[str, str], *, release: str = "v1") -> Path:
    """A project of a release, by `mlscaffold new`."""
    pairs = [f"-d{key}={value}" for key, value in given.items()]
    done = cli("new", at, f"--template={template}", f"--ref={release}", "--no-lock", *pairs)
    assert done.exit_code == 0, done.output
    return at


def by_copier(template: Path, at: Path, given: Mapping[str, str], *, release: str = "v1") -> Path:
    """The same by plain copier."""
    source = f"git+{template.as_uri()}"
    copier.run_copy(source, at, dict(given), vcs_ref=release, defaults=True, quiet=True)
    return at


@pytest.mark.parametrize("kind", QUESTIONNAIRES)
def test_a_new_project_has_the_answers_that_copier_finds(kind: str, tmp_path: Path) -> None:
    questions, given = QUESTIONNAIRES[kind]
    template = template_with(tmp_path / "template", questions)
    ours = project_of(template, tmp_path / "ours" / "toy", given)
    theirs = by_copier(template, tmp_path / "theirs" / "toy", given)
    assert files_of(ours) == files_of(theirs)
    if "given" not in kind:  # Neither records what is given to a question that is not asked.
        assert cli("diff", ours).output == ""


def test_what_is_computed_follows_a_changed_answer(tmp_path: Path) -> None:
    questions, given = QUESTIONNAIRES["hidden"]
    template = template_with(tmp_path / "template", questions)
    toy = project_of(template, tmp_path / "toy", given)
    assert cli("set", "a=other", "c=mine", "--project", toy).exit_code == 0
    assert (toy / "values.txt").read_text().endswith(" other OTHER mine\n")
    assert "b" not in yaml.safe_load((toy / ".copier-answers.yml").read_text())


def test_what_a_release_no_longer_asks_is_computed(tmp_path: Path) -> None:
    before = "a: x\nb: {type: str, default: recorded}\nc: 1\n"
    after = 'a: x\nb: {type: str, when: false, default: "{{ a }}{{ a }}"}\nc: 1\n'
    template = template_with(tmp_path / "template", before, v2=after)
    toy = project_of(template, tmp_path / "toy", {"a": "ab"})
    assert cli("update", toy).exit_code == 0
    assert (toy / "values.txt").read_text().endswith(" ab abab 1\n")
    assert "b" not in yaml.safe_load((toy / ".copier-answers.yml").read_text())


PLAIN = "a: x\nb: y\nc: z\n"
LISTS = """\
tags:
  type: str
  multiselect: true
  choices: [red, green, blue]
  default: [red, blue]
sizes: {type: int, multiselect: true, choices: [1, 2, 3], default: "[1, 3]"}
options: {type: json, default: '{"deep": [1, 2.5, null, "1"]}'}
text: {type: json, default: '"1"'}
more: {type: yaml, default: "{x: [1, 'two', 3.0]}"}
number: {type: yaml, default: "'1'"}
nothing: {type: yaml, default: null}
token: {type: str, secret: true, default: changeme}
_secret_questions: [other_token]
other_token: changeme
"""
ALL = "tags sizes options text more number nothing token other_token"
LISTED = {"all.txt.jinja": "".join(f"{{{{ {name} | to_json }}}}\n" for name in ALL.split())}


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """A template whose second release adds questions of every kind, and whose third does not."""
    questions = {
        "v1": PLAIN + SETTINGS,
        "v2": PLAIN + LISTS + SETTINGS,
        "v3": PLAIN + LISTS + SETTINGS,
    }
    changes = {"v1": VALUES, "v2": LISTED, "v3": {"new.txt": "new\n"}}
    return template_of(tmp_path / "template", changes, questions=questions)


def test_lists_and_secrets_that_a_release_adds_are_as_copier_has_them(
    lists: Path, tmp_path: Path
) -> None:
    toy = project_of(lists, tmp_path / "toy", {})
    for release in ("v2", "v3"):
        done = cli("update", toy, f"--to={release}", "--commit")
        assert (done.exit_code, done.stderr) == (0, "")
        fresh = by_copier(lists, tmp_path / release / "toy", {}, release=release)
        assert files_of(toy) == files_of(fresh)
        assert cli("diff", toy).output == ""
        assert (
            cli("update", toy, f"--to={release}").output == f"{toy}: nothing to do at {release}\n"
        )


GIVEN = {
    "tags": "[green, red]",
    "sizes": "[2]",
    "options": '["a", {"b": 1}]',
    "text": '"2"',
    "more": "[1, b]",
    "number": "'007'",
    "token": "hunter2",
    "other_token": "hunter3",
}


def test_lists_and_secrets_can_be_given(lists: Path, tmp_path: Path) -> None:
    new = project_of(lists, tmp_path / "new", GIVEN, release="v2")
    assert files_of(new) == files_of(by_copier(lists, tmp_path / "by" / "new", GIVEN, release="v2"))
    assert "hunter" not in (new / ".copier-answers.yml").read_text()
    assert cli("update", new, "--commit").exit_code == 0
    assert "hunter2" in (new / "all.txt").read_text()

    later = project_of(lists, tmp_path / "later", {})
    pairs = [f"-d{key}={value}" for key, value in GIVEN.items()]
    assert cli("update", later, "--to=v2", "--commit", *pairs).exit_code == 0
    assert (later / "all.txt").read_text() == (new / "all.txt").read_text()
    assert cli("set", "tags=[]", "options=null", "--project", later).exit_code == 0
    assert (later / "all.txt").read_text().startswith("[]\n[2]\nnull\n")


def test_a_secret_is_changed_where_the_project_has_the_default(lists: Path, tmp_path: Path) -> None:
    toy = project_of(lists, tmp_path / "toy", {}, release="v2")
    assert cli("set", "token=hunter2", "--project", toy).exit_code == 0
    assert '"hunter2"\n' in (toy / "all.txt").read_text()
    assert "hunter" not in (toy / ".copier-answers.yml").read_text()
    commit(toy)
    # What the project has instead is recorded nowhere.
    assert cli("set", "token=hunter3", "--project", toy).exit_code == 3


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("tags=[pink]", "tags must be one of red, green, blue; got '[pink]'"),
        ("tags=red", "tags must be a list of str values, got 'red'"),
        ("sizes=[x]", "sizes must be a list of int values, got '[x]'"),
        ("options={", "options must be json, got '{'"),
        ("more={", "more must be yaml, got '{'"),
        ("size=1", f"'size' is no question; there are a, b, c, {', '.join(ALL.split())}"),
    ],
)  # fmt: skip
def test_a_list_that_is_invalid_is_wrong_usage(
    pair: str, message: str, lists: Path, tmp_path: Path
) -> None:
    done = cli("new", tmp_path / "toy", f"--template={lists}", f"-d{pair}", "--no-lock")
    assert (done.exit_code, done.output) == (2, f"error: {message}\n")
    assert not (tmp_path / "toy").exists()


def test_a_secret_is_not_shown(lists: Path, tmp_path: Path) -> None:
    arguments = ("new", tmp_path / "toy", f"--template={lists}", "-dtoken=hunter2", "--no-lock")
    assert "hunter" not in cli(*arguments, "--json").output


REQUIRED = {
    "none": "a:\n  type: str\n",
    "null": "a:\n  type: str\n  default: null\n",
    "unset": 'a:\n  type: str\n  default: "{{ UNSET }}"\n',
}


@pytest.mark.parametrize("kind", REQUIRED)
def test_what_has_no_default_must_be_answered(kind: str, tmp_path: Path) -> None:
    template = template_with(
        tmp_path / "template", "b: 1\nc: 1\n", v2="b: 1\nc: 1\n" + REQUIRED[kind]
    )
    new = ("new", tmp_path / "new", f"--template={template}", "--no-lock")
    toy = project_of(template, tmp_path / "toy", {})
    before = files_of(toy)
    for command in (new, ("update", toy)):
        done = cli(*command)
        assert (done.exit_code, done.output) == (2, "error: a must be answered: -d a=...\n")
    assert not (tmp_path / "new").exists()
    assert files_of(toy) == before
    assert cli(*new, "-d", "a=x").exit_code == 0
    assert cli("update", toy, "-d", "a=x").exit_code == 0
    assert files_of(toy) == files_of(tmp_path / "new")
    command = ("new", "asked", f"--template={template}", "--no-lock")
    terminal = Terminal(*command, cwd=tmp_path, TERM="dumb")
    terminal.type("\n\n\nx\n\n")
    assert terminal.end() == 0, terminal.seen
    assert "c [1]: a: a: \n" in terminal.seen
    assert "a: x\n" in (tmp_path / "asked" / ".copier-answers.yml").read_text()


CHOICES = """\
a:
  type: str
  choices: [small, large]
b:
  type: str
  choices: |
    - {{ a }} blue
    - {{ a }} red
    {% if a == "large" %}- green{% endif %}
  default: "{{ a }} red"
c:
  type: int
  choices:
    "few of {{ a }}": "{{ 1 + 1 }}"
    "many":
      value: "5"
      validator: "{% if a == 'small' %}there are not so many{% endif %}"
  default: 2
"""


def test_choices_that_are_computed_are_offered(tmp_path: Path) -> None:
    template = template_with(tmp_path / "template", CHOICES)
    new = ("new", tmp_path / "toy", f"--template={template}", "--no-lock")
    for given, message in (
        (("a=small", "b=green"), "b must be one of small blue, small red; got 'green'"),
        (("a=small", "c=5"), "c: there are not so many; got '5'"),
        (("a=small", "c=7"), "c must be one of 2; got 7"),
    ):
        done = cli(*new, *(f"-d{pair}" for pair in given))
        assert (done.exit_code, done.output) == (2, f"error: {message}\n")
    given = {"a": "large", "b": "Green", "c": "5"}
    toy = project_of(template, tmp_path / "toy", given)
    theirs = by_copier(template, tmp_path / "theirs" / "toy", given | {"b": "green"})
    assert files_of(toy) == files_of(theirs)
    done = cli("set", "a=small", "--project", toy)
    message = "b must be one of small blue, small red; got 'green'"
    assert (done.exit_code, done.output) == (2, f"error: {message}\n")
    assert cli("set", "a=small", "b=small blue", "c=2", "--project", toy).exit_code == 0


def test_choices_that_are_computed_are_asked_for(tmp_path: Path) -> None:
    template = template_with(tmp_path / "template", CHOICES)
    command = ("new", "toy", f"--template={template}", "--no-lock")
    terminal = Terminal(*command, cwd=tmp_path, TERM="dumb")
    terminal.type("2\n3\nmany\n5\n\n")
    assert terminal.end() == 0, terminal.seen
    assert "  1) large blue\n  2) large red\n  3) green\nb [large red]: " in terminal.seen
    assert "  1) 2             few of large\n  2) 5             many\nc [2]: " in terminal.seen
    assert "c must be int, got 'many'" in terminal.seen
    answers = yaml.safe_load((tmp_path / "toy" / ".copier-answers.yml").read_text())
    assert (answers["a"], answers["b"], answers["c"]) == ("large", "green", 5)


def test_the_bundled_template_is_answered_as_copier_does(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    given = {"project_name": "A.b-c", "serving": "none", "python_version": "3.12"}
    with open_releases() as ours, open_releases(str(checkout)) as copiers:
        assert (ours.trusted, copiers.trusted) == (True, False)
        found = [
            answer(one, one.latest(), given=given, project=tmp_path) for one in (ours, copiers)
        ]
        assert found[0].answers == found[1].answers
        recorded = dict(found[0].answers, package_name="other")
        found = [
            answer(one, one.latest(), recorded=recorded, project=tmp_path)
            for one in (ours, copiers)
        ]
        assert found[0] == found[1]


def recorded_source(project: Path) -> str:
    return yaml.safe_load((project / ".copier-answers.yml").read_text())["_src_path"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template that git finds as https://github.com/org/one.git, with two releases."""
    template = template_with(tmp_path / "org" / "one.git", PLAIN, v2=PLAIN + "# v2\n")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path.as_uri()}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    return template


ADDRESSES = ["gh:org/one", "gh:/org/one.git", "https://github.com/org/one",
             "https://github.com/org/one.git", "git+https://github.com/org/one.git"]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.usefixtures("hub")
def test_an_address_is_recorded_as_it_was_typed(address: str, tmp_path: Path) -> None:
    toy = tmp_path / "toy"
    done = cli("new", toy, f"--template={address}", "--ref=v1", "--no-lock")
    assert done.exit_code == 0, done.output
    assert recorded_source(toy) == address
    assert cli("diff", toy).output == ""
    assert cli("update", toy, "--commit").exit_code == 0
    assert recorded_source(toy) == address
    assert cli("check", toy).output == f"{toy}: current (v2)\n"


@pytest.mark.parametrize("address", ["{template}", "../org/one.git", "git+{template}", *ADDRESSES])
def test_a_recorded_address_stays_as_it_is(
    address: str, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = project_of(hub, tmp_path / "toy", {})
    address = address.format(template=hub)
    source = recorded_source(toy)
    for name in (".copier-answers.yml", "values.txt"):
        edit(toy / name, (source, address))
    commit(toy)
    monkeypatch.chdir(toy)
    assert cli("diff").output == ""
    done = cli("update", "--commit", "-d", "a=other")
    assert (done.exit_code, done.stderr) == (0, "")
    assert recorded_source(toy) == address
    assert (toy / "values.txt").read_text().endswith(" other y z\n")


def test_lists_and_secrets_are_asked_for(lists: Path, tmp_path: Path) -> None:
    command = ("new", "toy", f"--template={lists}", "--no-lock", "-da=1", "-db=1", "-dc=1")
    terminal = Terminal(*command, cwd=tmp_path, TERM="dumb")
    terminal.type('[green, blue]\n\n[1,\n["a"]\n\n\n\n\n')
    # What is typed before a secret is asked for does not count.
    for label, text in (("token: ", "hunter2"), ("other_token: ", "hunter3"), ("Write it?", "")):
        terminal.see(label)
        terminal.type(f"{text}\n")
    assert terminal.end() == 0, terminal.seen
    assert "  3) blue\ntags, as a list in YAML [[red, blue]]: " in terminal.seen
    assert "sizes, as a list in YAML [[1, 3]]: " in terminal.seen
    assert "options must be json, got '[1,'" in terminal.seen
    assert "nothing [null]: token: " in terminal.seen
    assert "hunter" not in terminal.seen
    found = (tmp_path / "toy" / "all.txt").read_text().splitlines()
    assert found[:3] == ['["green", "blue"]', "[1, 3]", '["a"]']
    assert found[-3:] == ["null", '"hunter2"', '"hunter3"']
