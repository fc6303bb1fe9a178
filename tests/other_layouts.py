"""Small projects that no template of ours made, in layouts that are widely used."""

from collections.abc import Mapping
from pathlib import Path

from templates import commit, git

# As cookiecutter-data-science lays a project out: the package at the top, stages in modeling/.
COOKIECUTTER_DATA_SCIENCE = {
    ".gitignore": "/data/\n__pycache__/\n.env\n",
    "LICENSE": "BSD 3-Clause License\n\nNeither the name of the holder nor the names of its\n"
    "contributors may be used to endorse or promote\nproducts derived from this software.\n",
    "Makefile": "PYTHON = python\n\n## Make dataset\ndata: requirements\n\t$(PYTHON) -m "
    "wine_quality.dataset\n\nclean:\n\tfind . -name '*.pyc' -delete\n",
    "README.md": "# wine-quality\n\nWhich wines are good.\n\n## Project Organization\n",
    "docs/docs/index.md": "# Documentation\n",
    "models/.gitkeep": "",
    "notebooks/0.1-ada-first-look.ipynb": "{}\n",
    "pyproject.toml": '[build-system]\nrequires = ["flit_core >=3.2,<4"]\n'
    'build-backend = "flit_core.buildapi"\n\n[project]\nname = "wine_quality"\n'
    'version = "0.0.1"\ndescription = "Which wines are good"\n'
    'authors = [{ name = "Grace Hopper" }]\nlicense = { file = "LICENSE" }\n'
    'requires-python = "~=3.12.0"\n',
    "references/.gitkeep": "",
    "reports/figures/.gitkeep": "",
    "requirements.txt": "loguru\nmlflow\npandas\nscikit-learn\n-e .\n",
    "wine_quality/__init__.py": "from wine_quality import config\n",
    "wine_quality/config.py": "from pathlib import Path\n\nDATA = Path('data')\n",
    "wine_quality/dataset.py": "print('dataset')\n",
    "wine_quality/features.py": "print('features')\n",
    "wine_quality/modeling/__init__.py": "",
    "wine_quality/modeling/predict.py": "print('predict')\n",
    "wine_quality/modeling/train.py": "print('train')\n",
    "wine_quality/plots.py": "print('plots')\n",
}

# As lightning-hydra-template does: src/ is the package, a config group for each part.
LIGHTNING_HYDRA = {
    ".github/workflows/test.yml": "name: Tests\non: [push]\n",
    ".gitignore": "logs/\ndata/\n!configs/data/\n!src/data/\n__pycache__/\n",
    ".project-root": "# marks the root\n",
    "Makefile": "help:\n\t@echo help\n\ntrain:\n\tpython src/train.py\n",
    "README.md": "<div align='center'>\n\n# Your Project Name\n\n</div>\n\nWhat it does\n",
    "configs/__init__.py": "",
    "configs/callbacks/default.yaml": "model_checkpoint:\n  monitor: val/acc\n",
    "configs/data/mnist.yaml": "_target_: src.data.mnist_datamodule.MNISTDataModule\n",
    "configs/experiment/example.yaml": "# @package _global_\nseed: 12345\n",
    "configs/logger/wandb.yaml": "wandb:\n  project: lightning\n",
    "configs/model/mnist.yaml": "_target_: src.models.mnist_module.MNISTLitModule\n",
    "configs/train.yaml": "defaults:\n  - _self_\n  - data: mnist\n  - model: mnist\n",
    "configs/trainer/default.yaml": "max_epochs: 10\n",
    "data/.gitkeep": "",
    "notebooks/.gitkeep": "",
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = ["--color=yes"]\n',
    "requirements.txt": "# --------- pytorch --------- #\ntorch>=2.0.0\ntorchvision>=0.15.0\n"
    "lightning>=2.0.0\n\n# --------- hydra --------- #\nhydra-core==1.3.2\n\n"
    "# --------- loggers --------- #\nwandb\n# mlflow\n",
    "src/__init__.py": "",
    "src/data/__init__.py": "",
    "src/data/mnist_datamodule.py": "class MNISTDataModule: ...\n",
    "src/eval.py": "print('eval')\n",
    "src/models/__init__.py": "",
    "src/models/mnist_module.py": "class MNISTLitModule: ...\n",
    "src/train.py": "print('train')\n",
    "src/utils/__init__.py": "",
    "tests/__init__.py": "",
    "tests/conftest.py": "import pytest\n",
    "tests/test_train.py": "def test_train() -> None:\n    assert True\n",
}

# By hand, in a layout near ours: a package in src/ that is served by FastAPI.
BY_HAND = {
    "Dockerfile": "FROM python:3.12-slim\nCOPY . /app\n",
    "README.md": "# Churn\n\nWho leaves?\n",
    "data/raw/.gitkeep": "",
    "pyproject.toml": '[project]\nname = "churn"\nversion = "0.3"\n'
    'description = "Who leaves"\nlicense = "MIT"\nrequires-python = ">=3.11"\n'
    'authors = [{ name = "Grace Hopper", email = "grace@example.org" }]\n'
    'dependencies = ["fastapi>=0.100", "scikit-learn", "uvicorn"]\n',
    "src/churn/__init__.py": '"""Who leaves."""\n',
    "src/churn/serve.py": "from fastapi import FastAPI\n\napp = FastAPI()\n",
    "src/churn/train.py": "print('train')\n",
    "tests/test_train.py": "def test_train() -> None:\n    assert True\n",
}


def make(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files into a repository with two commits; return its folder."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", "--all", "--force")
    commit(folder)
    commit(folder)
    return folder
