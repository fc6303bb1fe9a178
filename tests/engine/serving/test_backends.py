"""A server is a folder in serving/ and a config of its name."""

import logging
import shutil
from pathlib import Path

import pytest
from toy_project import serve, serving

from .. import commands

CONFIGS = Path(__file__).parents[3] / "configs"
THIRD = """
import logging

def serve(engine, config, schema):
    logging.getLogger(__name__).info("port %d, %s", config.port, schema.request.__name__)
"""


@pytest.mark.parametrize(
    ("name", "hint"),
    [("nope", ""), ("fastapy", "; did you mean fastapi?"), ("predictor", "")],
)
def test_a_server_that_is_none_is_one_line(workspace: Path, name: str, hint: str) -> None:
    line = f"error: serving.name must be a file in serving/ with a function serve(), got {name!r}"
    assert commands.run(serve, settings=[f"serving.name={name}"]) == line + hint


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
    assert caplog.messages == ["port 8123, PredictRequest"]
