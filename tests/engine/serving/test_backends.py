"""A server is a folder in serving/ and a config of its name."""

import logging
import shutil
from pathlib import Path

import pytest
from miniature import CONFIGS
from toy_project import serve, serving

from .. import commands
from .conftest import compose

THIRD = """
import logging

def serve(engine):
    logging.getLogger(__name__).info("port %d", engine.config.port)
"""


def line(name: str) -> str:
    return f"error: serving.name must be a file in serving/ with a function serve(), got {name!r}"


@pytest.mark.parametrize("name", ["nope", "predictor"])
def test_an_unknown_server_is_one_line(workspace: Path, name: str) -> None:
    assert commands.run(serve, settings=[f"serving.name={name}"]) == line(name)


def test_a_misspelt_server_is_suggested(workspace: Path) -> None:
    name = compose().serving.name
    told = commands.run(serve, settings=[f"serving.name={name}s"])
    assert told == f"{line(name + 's')}; did you mean {name}?"


def test_a_third_server_is_a_folder_and_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "serving" / "third"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(THIRD)
    monkeypatch.setattr(serving, "__path__", [*serving.__path__, str(folder.parent)])
    shutil.copytree(CONFIGS, "configs")
    Path("configs/serving/third.yaml").write_text("name: third\nport: 8123\n")
    with caplog.at_level(logging.INFO):
        assert commands.run(serve, settings=["serving=third"]) is None
    assert caplog.messages == ["port 8123"]
