"""JSON schemas of a project's configs: they accept what the stages accept, and refuse the rest."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import check_jsonschema
import pytest
from conftest import Render, Run

ADDITIONS = Path(__file__).with_name("additions")

IMAGE = {"modality": "image", "pretrained": "huggingface", "serving": "bentoml"}
PROJECTS = [
    pytest.param({}, id="text"),
    pytest.param({**IMAGE, "orchestration": "kubeflow"}, id="image"),
    pytest.param({"modality": "tabular"}, id="tabular", marks=pytest.mark.nightly),
]


class Schemas(NamedTuple):
    """A project with schemas of its configs."""

    project: Path
    files: dict[str, str]
    """Which files have which schema, as an editor reads it."""

    def refuse(self, config: str, *, name: str = "") -> bool:
        """Whether the schema of a file refuses it."""
        schema = next(one for one, files in self.files.items() if Path(name or config).match(files))
        told = ["--schemafile", str(self.project / schema), str(self.project / config)]
        with pytest.raises(SystemExit) as ended:
            check_jsonschema.main(["--quiet", *told])
        assert ended.value.code in (0, 1)
        return ended.value.code == 1

    def refuse_text(self, text: str, *, name: str) -> bool:
        """Whether the schema of the file `name` refuses this text."""
        (self.project / "changed.yaml").write_text(text)
        return self.refuse("changed.yaml", name=name)


def written(project: Path, run_in: Run) -> Schemas:
    """A project's schemas, as `make schemas` writes them."""
    assert run_in(project, "make", "schemas").stderr == ""
    files = json.loads((project / ".vscode" / "settings.json").read_text())["yaml.schemas"]
    assert {Path(schema) for schema in files} == {
        path.relative_to(project) for path in (project / ".schemas").iterdir()
    }
    return Schemas(project, files)


@pytest.fixture(scope="module")
def text(render: Render, run_in: Run) -> Schemas:
    """The schemas of a project of texts with another model."""
    project = render(deployment="kubernetes", monitoring="drift")
    for part in ("src/toy_project/models/lstm.py", "configs/model/lstm.yaml"):
        shutil.copy(ADDITIONS / part.replace("toy_project/", ""), project / part)
    return written(project, run_in)


@pytest.fixture(scope="module", params=PROJECTS)
def schemas(request: pytest.FixtureRequest, text: Schemas, render: Render, run_in: Run) -> Schemas:
    """The schemas of a project of each modality."""
    return written(render(**request.param), run_in) if request.param else text


def test_every_config_is_accepted(schemas: Schemas) -> None:
    configs = sorted((schemas.project / "configs").rglob("*.yaml"))
    names = [path.relative_to(schemas.project).as_posix() for path in configs]
    assert {Path(name).parts[1] for name in names} >= {"config.yaml", "serve.yaml", "model"}
    assert [name for name in names if schemas.refuse(name)] == []


def test_a_typo_in_any_config_is_refused(schemas: Schemas) -> None:
    for path in sorted((schemas.project / "configs").rglob("*.yaml")):
        name = path.relative_to(schemas.project).as_posix()
        assert schemas.refuse_text(f"{path.read_text()}\nepocs: 3\n", name=name), name


def test_they_are_schemas(schemas: Schemas) -> None:
    files = map(str, (schemas.project / ".schemas").iterdir())
    with pytest.raises(SystemExit) as ended:
        check_jsonschema.main(["--quiet", "--check-metaschema", *files])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("training/mine", "epochs: 3", "epochs: 0"),
        ("training/mine", "epochs: 3", "epochs: three"),
        ("training/mine", "epochs: ${launcher.num_workers}", "epochs: 2.5"),
        ("training/mine", "ema_decay: 0", "ema_decay: 1"),
        ("training/mine", "max_steps: null", "max_steps: 0"),
        ("training/mine", "precision: bfloat16", "precision: float8"),
        ("optimizer/mine", "learning_rate: 0.1", "learning_rate: 0"),
        ("launcher/mine", "num_workers: 4096", "num_workers: 4097"),
        ("data/mine", "encoder: {name: text, unit: byte}", "encoder: {name: text, unit: bit}"),
        ("data/mine", "path: {train: a.csv}", "path: 3"),
        ("model/mine", "{name: mlp, dropout: 0.5}", "{name: mlp, num_layers: 2}"),
        ("model/mine", "{name: lstm, width: 8}", "{name: lstm, width: 0}"),
        ("model/mine", "{defaults: [mlp], dropout: 0.5}", "{name: mpl}"),
        ("objective/mine", "{name: classification, gamma: 1}", "{name: regression, gamma: 1}"),
        ("experiment/mine", "model: {num_layers: 2}", "model: {layers: 2}"),
        ("config", "training: {epochs: 3}", "training: {epoch: 3}"),
        ("serve", "serving: {port: 0}", "serving: {port: 65536}"),
        ("serve", "deployment: {shadow: {share: 1}}", "deployment: {shadow: {shared: 1}}"),
        ("deployment/mine", "shadow: {share: 1}", "shadow: {share: 2}"),
        ("monitoring/mine", "days: 1.5", "days: 0"),
    ],
)
def test_a_value_is_accepted_that_the_setting_can_have(
    name: str, good: str, bad: str, text: Schemas
) -> None:
    assert not text.refuse_text(good, name=f"configs/{name}.yaml")
    assert text.refuse_text(bad, name=f"configs/{name}.yaml")


def test_a_setting_is_described_as_where_it_is_defined(text: Schemas) -> None:
    schema = json.loads((text.project / ".schemas" / "training.json").read_text())
    described = schema["properties"]["epochs"]["description"]
    assert described == "Passes over the training split, at most."


def test_settings_of_the_editor_are_left_alone(text: Schemas, run_in: Run) -> None:
    settings = text.project / ".vscode" / "settings.json"
    kept = settings.read_text()
    settings.write_text('{"editor.rulers": [100]} // mine\n')
    shown = run_in(text.project, "python", "-m", "toy_project.schemas").stdout
    line, _, rest = shown.partition("\n")
    assert line == ".vscode/settings.json is unchanged; add to it:"
    assert json.loads(rest) == {"yaml.schemas": text.files}
    assert settings.read_text() == '{"editor.rulers": [100]} // mine\n'
    settings.write_text(kept)


def test_elsewhere_it_says_where_to_run(text: Schemas, run_in: Run, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(text.project / "src")}
    done = run_in(tmp_path, "python", "-m", "toy_project.schemas", code=1, env=env)
    assert done.stderr == "error: there is no configs/ here; run this in the project's root\n"
    assert list(tmp_path.iterdir()) == []
