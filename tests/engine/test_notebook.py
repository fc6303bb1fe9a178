import os
import sys
from collections.abc import Generator
from importlib import import_module
from pathlib import Path

import nbformat
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from miniature import ROOT, make_rows

NOTEBOOK = ROOT / "notebooks/01_eda.ipynb"
SETTINGS = ("data.path=rows.parquet", "training=smoke", "model=mlp", "tracking=none")


class Shell(InteractiveShell):
    """Runs cells as Jupyter's kernel does, in this process, which has imported the most already."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Do nothing: inline pictures need no window."""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Shell]:
    """A fresh one, without what the user has set for theirs."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # it takes the name
    yield Shell.instance()
    Shell.clear_instance()


@pytest.fixture
def finished(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project that has gone through its stages."""
    rows = [{**row.values, "module": row.group} for row in make_rows()]
    pq.write_table(pa.Table.from_pylist(rows), workspace / "rows.parquet")
    for stage in ("fetch", "preprocess", "train", "evaluate"):
        monkeypatch.setattr(sys, "argv", [stage, *SETTINGS])
        import_module(f"toy_project.{stage}").main()
    return workspace


def test_the_notebook_runs_and_draws(finished: Path, shell: Shell) -> None:
    (finished / "notebooks").mkdir()
    os.chdir(finished / "notebooks")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    drawn = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            with capture_output() as captured:
                result = shell.run_cell(cell.source)
            result.raise_error()
            shown = sum("image/png" in output.data for output in captured.outputs)
            drawn += shown or isinstance(result.result, Figure)
    assert drawn == 3, "lengths, confusion matrix, F1"


def test_the_notebook_is_valid_and_stores_no_output() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
