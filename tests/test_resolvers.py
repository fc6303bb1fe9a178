"""The rules that settle conflicts: when each one is certain, what it writes, and when it is not."""

import ast
import time
import tomllib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_histories import History, faults, history, merged, merged_by_git, parts_by_git
from merges_to_leave import LEFT
from merges_to_settle import SETTLED

from mlscaffold.updating.resolvers import hunks
from mlscaffold.updating.resolvers.clash import Solution
from mlscaffold.updating.resolvers.hunks import Hunk, lines_of
from mlscaffold.updating.resolvers.settling import settled


def settle(path: str, base: str, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
    """The merged file, and the rules; "" if it stays a conflict. All of it is one hunk."""
    [part] = settled(path, [Hunk(*map(lines_of, (base, ours, theirs)))])
    return ("".join(part.lines), part.rules) if isinstance(part, Solution) else ("", ())


@pytest.mark.parametrize("case", SETTLED)
def test_what_is_certain_is_settled_whichever_side_is_whose(case: str) -> None:
    rules, path, base, ours, theirs, expected = SETTLED[case]
    assert settle(path, base, ours, theirs) == (expected, rules)
    assert settle(path, base, theirs, ours) == (expected, rules)


@pytest.mark.parametrize("case", LEFT)
def test_what_is_not_certain_stays_a_conflict(case: str) -> None:
    path, base, ours, theirs = LEFT[case]
    assert settle(path, base, ours, theirs) == ("", ())
    assert settle(path, base, theirs, ours) == ("", ())


def test_random_histories_lose_no_line_and_stay_valid() -> None:
    outcomes: list[str] = []
    wrong: list[str] = []
    for number in range(250):
        one = history(number)
        text, rules = merged(one, parts_by_git(one))
        outcomes += rules
        if text is not None:
            wrong += [f"{number}: {fault}" for fault in faults(one, text)]
    assert not wrong
    assert {"touching", "list", "blocks", "comment", "layout"} <= {*outcomes}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_is_left_has_the_markers_of_git(end: str) -> None:
    """Its style is zdiff3, as in the merge itself."""
    written = 0
    for number in range(60):
        one = history(number)
        texts = (text.replace("\n", end) for text in (one.base, one.ours, one.theirs))
        one = History(one.path, *texts)
        parts = parts_by_git(one)
        labels = " ours", " base", "", " theirs"
        texts = ("".join(hunks.written(part, labels)) if isinstance(part, Hunk) else "".join(part)
                 for part in parts)  # fmt: skip
        assert "".join(texts) == merged_by_git(one, "--zdiff3")
        written += sum(isinstance(part, Hunk) for part in parts)
    assert written > 30


WORDS = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
NAMES = st.lists(WORDS, min_size=6, max_size=12, unique=True)


@given(NAMES, st.data())
@settings(max_examples=60, deadline=None)
def test_lines_that_touch_are_each_changed_by_the_side_that_changed_them(
    names: list[str], data: st.DataObject
) -> None:
    sides = [data.draw(st.sampled_from(["base", "ours", "theirs"])) for _ in names]
    versions = {
        version: "".join(
            f"{name}: {2 if side == version else 1}\n"
            for name, side in zip(names, sides, strict=True)
        )
        for version in ("base", "ours", "theirs")
    }
    for version in ("ours", "theirs"):
        versions[version] += "end: 1\n"
    versions["base"] = versions["base"].replace("2", "1") + "end: 1\n"
    expected = "".join(
        f"{name}: {1 if side == 'base' else 2}\n" for name, side in zip(names, sides, strict=True)
    )
    text, rules = settle("c.yaml", *versions.values())
    assert text == f"{expected}end: 1\n"
    assert {*rules} <= {"touching"}


@given(NAMES, st.data())
@settings(max_examples=60, deadline=None)
def test_a_sorted_list_has_the_items_of_both_sides_once(
    names: list[str], data: st.DataObject
) -> None:
    base, *new = sorted(names)
    mine, theirs = (data.draw(st.lists(st.sampled_from(new), unique=True)) for _ in range(2))
    texts = [_requirements([base, *side]) for side in ([], mine, theirs)]
    text, _ = settle("pyproject.toml", *texts)
    found = tomllib.loads(text)["dependencies"]
    assert found == [f"{name}>=1" for name in sorted({base, *mine, *theirs})]


def _requirements(names: Sequence[str]) -> str:
    items = "".join(f'    "{name}>=1",\n' for name in sorted(names))
    return f"dependencies = [\n{items}]\n"


@given(NAMES)
@settings(max_examples=30, deadline=None)
def test_functions_of_both_sides_are_all_there_and_in_nothing_else(names: list[str]) -> None:
    def text(several: Sequence[str]) -> str:
        return "\n\n".join(f"def _{name}():\n    return '{name}'\n" for name in several)

    first, *others = names
    mine, theirs = others[::2], others[1::2]
    merged, rules = settle("a.py", text([first]), text([first, *mine]), text([first, *theirs]))
    defined = [node.name for node in ast.parse(merged).body if isinstance(node, ast.FunctionDef)]
    assert rules == ("blocks",)
    assert defined in ([f"_{name}" for name in [first, *one, *other]]
                       for one, other in ((mine, theirs), (theirs, mine)))  # fmt: skip


@given(
    st.sampled_from(["call({})", "x = '#{}'", 'y["{}"] = "# no" # "', "z = f('''#{}''')"]),
    st.from_regex(r"# [^\n\r]{0,20}", fullmatch=True),
)
@settings(max_examples=60, deadline=None)
def test_a_comment_is_kept_at_the_end_of_the_changed_line(line: str, comment: str) -> None:
    comment = comment.rstrip()
    if not comment.isprintable() or '"' in line[-1:]:
        return
    base, theirs = (f"{line.format(value)}\n" for value in (1, 2))
    ours = f"{base[:-1]}  {comment}\n"
    assert settle("a.py", base, ours, theirs)[0] == f"{theirs[:-1]}  {comment}\n"


VERSIONS = st.lists(st.integers(0, 30), min_size=2, max_size=3)


@given(VERSIONS, VERSIONS, VERSIONS)
@settings(max_examples=100, deadline=None)
def test_the_higher_pin_is_taken_unless_one_was_lowered(
    base: list[int], ours: list[int], theirs: list[int]
) -> None:
    def text(version: list[int]) -> str:
        return f'dependencies = [\n    "torch>={".".join(map(str, version))}",\n]\n'

    def padded(version: list[int]) -> list[int]:
        return [*version, 0][:3]

    if len({*map(text, (base, ours, theirs))}) < 3:
        return
    old, mine, new = map(padded, (base, ours, theirs))
    merged, rules = settle("pyproject.toml", text(base), text(ours), text(theirs))
    if min(mine, new) < old or mine == new:
        assert (merged, rules) == ("", ())
    else:
        assert (merged, rules) == (text(max(ours, theirs, key=padded)), ("pin",))


RANGES = st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda one: (one[0], sum(one)))


@given(RANGES, RANGES, RANGES)
@settings(max_examples=150, deadline=None)
def test_each_end_of_a_range_is_the_higher_one_where_both_sides_allow_some(
    base: tuple[int, int], ours: tuple[int, int], theirs: tuple[int, int]
) -> None:
    def text(ends: tuple[int, int]) -> str:
        return 'dependencies = [\n    "torch>={}.0,<{}",\n]\n'.format(*ends)

    if len({base, ours, theirs}) < 3:
        return
    merged, rules = settle("pyproject.toml", text(base), text(ours), text(theirs))
    lower, upper = ((fn(ours[0], theirs[0]), fn(ours[1], theirs[1])) for fn in (min, max))
    was_lowered = lower[0] < base[0] or lower[1] < base[1]
    is_one_side = upper in (ours, theirs)
    if was_lowered or not (is_one_side or upper[0] < lower[1]):
        assert (merged, rules) == ("", ())
    else:
        assert (merged, rules) == (text(upper), ("pin",))


@given(st.lists(WORDS, min_size=2, max_size=5, unique=True), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_what_the_other_side_left_alone_keeps_its_new_layout(names: list[str], which: int) -> None:
    which %= len(names)

    def text(line: str, changed: int) -> str:
        return "".join(
            line.format(name=f"_{name}", value=2 if place == changed else 1)
            for place, name in enumerate(names)
        )

    short, long = "{name}('a', {value})\n", '{name}(\n    "a",\n    {value},\n)\n'
    base, ours, theirs = text(short, -1), text(long, -1), text(short, which)
    merged, rules = settle("a.py", base, ours, theirs)
    expected = [long.format(name=f"_{name}", value=1) for name in names]
    expected[which] = short.format(name=f"_{names[which]}", value=2)
    assert (merged, rules) == ("".join(expected), ("layout",))


@pytest.mark.parametrize(
    "path", ["a.py", "c.yaml", "p.toml", "Makefile", "README.md", ".gitignore"]
)
def test_long_lines_that_look_alike_take_no_time(path: str) -> None:
    lines = ("'" + "a#" * 990, "' #" + "a #" * 600, "'" + "a #" * 600)
    start = time.monotonic()
    assert settle(path, *(f"{line}\n" for line in lines)) == ("", ())
    assert time.monotonic() - start < 10
