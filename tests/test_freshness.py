"""`make freshness`: which version breaks what. The dependencies are wheels that are made here."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from freshness import Environment, Step, breaking, fits
from hypothesis import given
from hypothesis import strategies as st

WORKS, RAISES = "", "raise RuntimeError('no more')"
PYPROJECT = """\
[project]
name = "toy"
version = "0"
dependencies = ["cogs>=1,<3", "gears>=1,<3"]

[dependency-groups]
dev = ["teeth>=1"]

[tool.uv]
default-groups = ["dev"]
"""
IMPORTS = ("python -c 'import cogs'", "python -c 'import gears'", "python -c 'import teeth'")


class Toy:
    """A project of three dependencies, whose versions a test makes."""

    def __init__(self, folder: Path) -> None:
        """Write the project; there are no wheels yet."""
        self.wheels, self._work, self.known_good = (
            folder / name for name in ("wheels", "work", "known-good.txt")
        )
        self.project = folder / "toy"
        for made in (self.wheels, self._work, self.project):
            made.mkdir()
        (self.project / "pyproject.toml").write_text(PYPROJECT)
        for name in ("cogs", "gears", "teeth"):
            self.publish(name, {"1.0": WORKS})

    def publish(self, name: str, versions: Mapping[str, str], requires: str = "") -> None:
        """Make a wheel for each version, with the code of its only module."""
        for version, code in versions.items():
            info = f"{name}-{version}.dist-info"
            needs = f"Requires-Dist: {requires}\n" * bool(requires)
            with zipfile.ZipFile(self.wheels / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{name}.py", code)
                wheel.writestr(
                    f"{info}/METADATA",
                    f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
                )
                wheel.writestr(
                    f"{info}/WHEEL",
                    "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                )
                wheel.writestr(f"{info}/RECORD", "")

    def fits(self, which: str) -> bool:
        """Whether the newest or the lowest versions work; the report is printed."""
        work = self._work / which
        work.mkdir()
        steps = [Step(self.project, command) for command in IMPORTS]
        environment = Environment(work, [self.project])
        return fits(which, environment, [self.project], steps, self.known_good)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A project with one version of each dependency."""
    toy = Toy(tmp_path)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(toy.wheels))
    monkeypatch.delenv("UV_CONSTRAINT", raising=False)
    return toy


def test_the_newest_versions_are_recorded_where_they_work(
    toy: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.publish("cogs", {"2.0": WORKS, "3.0": RAISES})
    toy.publish("gears", {"2.0": RAISES})
    held = toy.project / "held.txt"
    held.write_text("gears==1.0\n")
    monkeypatch.setenv("UV_CONSTRAINT", str(held))
    assert toy.fits("newest")
    assert toy.known_good.read_text() == "cogs==2.0\ngears==1.0\nteeth==1.0\n"
    assert capsys.readouterr().out == (
        "## The newest versions\n\n"
        "- held by UV_CONSTRAINT: gears==1.0\n"
        "- toy: python -c 'import cogs': works\n"
        "- toy: python -c 'import gears': works\n"
        "- toy: python -c 'import teeth': works\n"
        "\n3 dependencies, 3 packages: all steps work\n\n"
    )


def test_what_breaks_is_named_with_the_version_that_worked(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.known_good.write_text("cogs==1.0\ngears==1.0\nteeth==1.0\n")
    toy.publish("cogs", {"2.0": WORKS})
    toy.publish("gears", {"2.0": RAISES})
    toy.publish("teeth", {"2.0": WORKS, "2.1": RAISES})
    assert not toy.fits("newest")
    report = capsys.readouterr().out
    assert "- toy: python -c 'import cogs': works\n" in report
    assert report.count("RuntimeError: no more") == 2
    assert "Broken by gears 2.0 (1.0 works).\n" in report
    assert "Broken by teeth 2.1 (1.0 works).\n" in report
    assert report.endswith("3 dependencies, 3 packages: 2 of 3 steps failed\n\n")
    assert toy.known_good.read_text() == "cogs==1.0\ngears==1.0\nteeth==1.0\n"


def test_a_dependency_of_a_dependency_is_named(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.publish("grease", {"1.0": WORKS, "1.1": RAISES})
    toy.publish("gears", {"1.0": "import grease"}, requires="grease")
    toy.known_good.write_text("cogs==1.0\ngears==1.0\ngrease==1.0\nteeth==1.0\n")
    assert not toy.fits("newest")
    assert "Broken by grease 1.1 (1.0 works).\n" in capsys.readouterr().out


def test_a_lower_bound_that_is_too_low_is_named(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.publish("cogs", {"1.0": RAISES, "2.0": WORKS})
    toy.publish("gears", {"2.0": WORKS}, requires="teeth>=1.5")
    toy.publish("gears", {"1.0": WORKS}, requires="teeth>=1.5")
    toy.publish("teeth", {"1.5": WORKS, "2.0": WORKS})
    assert toy.fits("newest")
    assert not toy.fits("lowest")
    report = capsys.readouterr().out
    assert "- teeth 1 can't be installed beside the others: 1.5 is tried\n" in report
    assert "Broken by cogs 1.0 (2.0 works).\n" in report


def test_what_is_broken_anyway_is_said_to_be(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.publish("cogs", {"1.0": RAISES, "2.0": RAISES})
    assert not toy.fits("newest")
    assert "Which version breaks it is not known: known-good.txt" in capsys.readouterr().out
    toy.known_good.write_text("cogs==1.0\ngears==1.0\nteeth==1.0\n")
    assert not toy.fits("lowest")
    assert "It also fails with the versions that worked before" in capsys.readouterr().out


NAMES = [f"package-{number}" for number in range(12)]


@given(st.sets(st.sampled_from(NAMES)))
def test_every_package_that_breaks_alone_is_found(culprits: set[str]) -> None:
    assert {*breaking(NAMES, lambda names: culprits.isdisjoint(names))} == culprits


def test_what_breaks_only_together_is_found_together() -> None:
    def works(names: Sequence[str]) -> bool:
        return not {NAMES[0], NAMES[2]} <= {*names}

    assert {NAMES[0], NAMES[2]} <= {*breaking(NAMES, works)}
    assert len(breaking(NAMES, works)) == 3
