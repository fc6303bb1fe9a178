"""What users change in a project that the template renders, and what its authors change in it.

Both are changes of the project's files: a release of the template is what it rendered to before,
with some of `CHANGES`. Each finds its place by a pattern, and raises `Misplaced` where an earlier
one has taken that place.
"""

from edit_steps import (
    Edit,
    after,
    append,
    before,
    comment,
    move,
    reformat,
    remove,
    replace,
    write,
)

PACKAGE = "src/toy_project"
NAME = "toy-project"

CI = ".github/workflows/ci.yml"
TRAINER = f"{PACKAGE}/training/trainer.py"
FIT = f"{PACKAGE}/training/fit.py"
CALLBACKS = f"{PACKAGE}/training/callbacks.py"
SCHEDULES = f"{PACKAGE}/training/schedules.py"
CONFIG = f"{PACKAGE}/config.py"
MLP = f"{PACKAGE}/models/mlp.py"
CLASSIFICATION = f"{PACKAGE}/objectives/classification.py"
SERVER = f"{PACKAGE}/serving/fastapi/__init__.py"
DEFAULT = "configs/training/default.yaml"
CHECKOUT = r"actions/checkout@\w+ # v[\d.]+"

EDITS = (
    Edit(
        "add a dependency at the end of the list",
        replace("pyproject.toml", r"^dependencies = \[\n(    .*\n)*", r'\g<0>    "polars>=1.9",\n'),
    ),
    Edit(
        "add a dependency in alphabetical order",
        before("pyproject.toml", '"matplotlib>=', '    "lightgbm>=4.6,<5",'),
    ),
    Edit(
        "measure what the tests cover",
        after("pyproject.toml", '"pytest>=', '    "pytest-cov>=7",'),
        replace("Makefile", "^(.PHONY: .*lint format test)", r"\1 coverage"),
        after(
            "Makefile",
            "^\tpytest$",
            "\ncoverage:  ## Run the tests and measure what they cover\n"
            "\tpytest --cov=src --cov-report=xml",
        ),
        append(".gitignore", ".coverage\ncoverage.xml"),
        after(
            CI,
            "- run: make check",
            "      - name: Upload the coverage\n"
            "        run: curl --fail --upload-file coverage.xml https://coverage.example.com",
        ),
    ),
    Edit(
        "merge what bots propose",
        replace("pyproject.toml", '"torch>=[^"]*"', '"torch>=2.14,<3"'),
        replace("pyproject.toml", '"uvicorn>=[^"]*"', '"uvicorn>=0.56,<1"'),
        replace(CI, CHECKOUT, f"actions/checkout@{'a1' * 20} # v7.1.0"),
    ),
    Edit("lower a pin on purpose", replace("pyproject.toml", '"numpy>=[^"]*"', '"numpy>=2.1,<3"')),
    Edit("say why a pin is there", comment("pyproject.toml", '"pyarrow>=', "our cluster has 25")),
    Edit(
        "choose other rules of the linter",
        replace("pyproject.toml", '"SIM", "UP"', '"SIM", "T20", "UP"'),
        after("pyproject.toml", r'"tests/\*\*" = ', '"notebooks/**" = ["D", "E501"]'),
    ),
    Edit(
        "append a target to the Makefile",
        append("Makefile", "\n.PHONY: docs\ndocs:  ## Build our documentation\n\tmkdocs build"),
    ),
    Edit(
        "clean and ignore more",
        replace("Makefile", r"(rm -rf .*data/processed models reports)", r"\1 outputs"),
        append(".gitignore", "\n# Ours.\n/outputs/\n/scratch/\n.vscode/\n.DS_Store"),
    ),
    Edit("add a variable to the Makefile", after("Makefile", "^PACKAGE :=", "CLUSTER ?= gpu-west")),
    Edit("ignore another cache", before(".gitignore", "^.pytest_cache/", ".mypy_cache/")),
    Edit(
        "say in the README what the project is for",
        replace(
            "README.md",
            r"^A machine-learning project\n\nIt trains a PyTorch model.*\n(.+\n)*",
            "Sorts the tickets of our help desk by team.\n\nThe model reads the text of a ticket\n"
            "and predicts which of our twelve teams answers it. Ask ml@example.com.\n",
        ),
    ),
    Edit(
        "append a section to the README",
        append("README.md", "\n## Contacts\n\nThe data team, #tickets-ml on our chat."),
    ),
    Edit(
        "extend the quick start",
        before(
            "README.md", "^make repro ", "make access      # ask for access to the tickets first"
        ),
    ),
    Edit(
        "run CI on another branch, and longer",
        replace(CI, r"branches: \[main\]", "branches: [main, develop]"),
        replace(CI, "timeout-minutes: 20", "timeout-minutes: 45"),
    ),
    Edit(
        "train longer, on larger batches",
        replace(DEFAULT, r"^epochs: \d+", "epochs: 12"),
        replace(DEFAULT, r"^batch_size: \d+", "batch_size: 128  # fills our GPU"),
    ),
    Edit(
        "explain settings",
        comment(DEFAULT, "^patience: ", "the loss is noisy on tickets"),
        comment(DEFAULT, "^ema_decay: ", "did not help"),
    ),
    Edit(
        "choose another model and optimizer",
        replace("configs/config.yaml", "model: transformer", "model: mlp"),
        replace("configs/config.yaml", "optimizer: adamw", "optimizer: muon"),
    ),
    Edit(
        "add a model",
        write("configs/model/lstm.yaml", "name: lstm\nhidden_size: 64\nnum_layers: 2\n"),
        write(
            f"{PACKAGE}/models/lstm.py",
            '"""An LSTM."""\n\nfrom torch import nn\n\nfrom .base import Model\n\n\n'
            "class LSTM(Model):\n    rnn: nn.LSTM\n",
        ),
        replace("configs/config.yaml", "model: transformer", "model: lstm"),
    ),
    Edit(
        "change a model",
        after(MLP, r"nn.Linear\(width, width\),", "            nn.LayerNorm(width),"),
        replace(MLP, r"nn.GELU\(\)", "nn.SiLU()"),
    ),
    Edit("give a file a better name", move(MLP, f"{PACKAGE}/models/bag_of_words.py")),
    Edit(
        "add a callback to each training",
        before(
            CALLBACKS,
            "^def chosen_callbacks",
            "class Heartbeat(Callback):\n"
            '    """Tells our dashboard that the run is alive."""\n\n'
            "    def on_log(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:\n"
            '        Path("heartbeat").write_text(str(trainer.progress.step))\n\n',
        ),
        after(FIT, "^    EarlyStopping,", "    Heartbeat,"),
        replace(FIT, r"(watching: list\[Callback\] = \[.*)\]$", r"\1, Heartbeat()]"),
    ),
    Edit(
        "penalize what a model should not learn",
        before(TRAINER, r"^ +loss.backward\(\)", "            loss = loss + self.penalty(part)"),
        before(CONFIG, "^    profile_steps: ", "    penalty: NonNegativeFloat = 0.0"),
        append(DEFAULT, "penalty: 0.01"),
    ),
    Edit(
        "measure the memory in the loop",
        after(TRAINER, "^from functools import reduce", "from resource import RUSAGE_SELF"),
        after(TRAINER, r'"samples_per_s": ', '            "memory_mib": memory_mib(RUSAGE_SELF),'),
    ),
    Edit(
        "format files in 88 columns",
        replace("pyproject.toml", "line-length = 100", "line-length = 88"),
        reformat(TRAINER, line_length=88),
        reformat(FIT, line_length=88),
        reformat(CALLBACKS, line_length=88),
    ),
    Edit(
        "add a metric",
        after(CLASSIFICATION, r'^        "auroc": ', '        "top_3": Metric(top_3),'),
        before(
            CLASSIFICATION,
            "^def average_precision",
            "def top_3(targets: np.ndarray, scores: np.ndarray) -> float:\n"
            '    """Return the share of rows whose label is among the three most probable."""\n'
            "    best = scores.argsort(axis=-1)[:, -3:]\n"
            "    return float((best == targets[:, None]).any(axis=-1).mean())\n\n",
        ),
    ),
    Edit(
        "add a schedule",
        before(
            SCHEDULES,
            "^SCHEDULES",
            "def sqrt(done: float, config: ScheduleConfig) -> float:\n"
            '    """Fall with the square root."""\n    return 1 - math.sqrt(done)\n\n',
        ),
        replace(SCHEDULES, r"\(constant, cosine, linear", "(constant, cosine, linear, sqrt"),
    ),
    Edit(
        "add an address to the server, and a test",
        before(
            SERVER,
            r'^    @router.get\("/metrics"',
            '    @router.get("/teams")\n    async def teams() -> list[str]:\n'
            '        """Return the teams that tickets are sorted to."""\n'
            '        return ["network", "payroll"]\n',
        ),
        append(
            "tests/test_serving.py",
            "\n\ndef test_the_teams_are_known(client):\n"
            '    assert "payroll" in client.get("/teams").json()',
        ),
    ),
    Edit(
        "install a system package in the image",
        before(
            "Dockerfile",
            "^RUN useradd",
            "RUN apt-get update && apt-get install -y --no-install-recommends libgomp1",
        ),
        replace("Dockerfile", r'"serving.port=8000"\]', '"serving.port=8000", "seed=1"]'),
    ),
    Edit(
        "add an input to stages",
        after("dvc.yaml", rf"^      - {PACKAGE}/data$", "      - vocabulary.txt"),
        after("dvc.yaml", rf"^      - {PACKAGE}/models$", "      - vocabulary.txt"),
    ),
    Edit(
        "append a stage",
        append(
            "dvc.yaml",
            "\n  publish:\n    cmd: python scripts/publish.py\n    deps:\n      - models/bundle",
        ),
        write("scripts/publish.py", '"""Publish the model."""\n'),
        append("Makefile", "\npublish: repro  ## Publish the model\n\tdvc repro publish"),
    ),
    Edit(
        "add a hook",
        append(
            ".pre-commit-config.yaml",
            "  - repo: https://github.com/codespell-project/codespell\n    rev: v2.4.1\n"
            "    hooks:\n      - id: codespell",
        ),
    ),
    Edit("add a variable to .env.example", append(".env.example", "\n#TICKETS_TOKEN=")),
    Edit("delete what is not needed", remove("configs/optimizer/sgd.yaml")),
)

CHANGES = (
    Edit(
        "raise pins",
        replace("pyproject.toml", '"torch>=[^"]*"', '"torch>=2.15,<3"'),
        replace("pyproject.toml", '"numpy>=[^"]*"', '"numpy>=2.5,<3"'),
        replace("pyproject.toml", '"pyarrow>=[^"]*"', '"pyarrow>=26,<28"'),
        replace("pyproject.toml", '"uvicorn>=[^"]*"', '"uvicorn>=0.55,<1"'),
        replace(CI, CHECKOUT, f"actions/checkout@{'b2' * 20} # v7.2.0"),
        replace(CI, r"setup-uv@\w+ # v[\d.]+", f"setup-uv@{'c3' * 20} # v10.1.0"),
        replace("Dockerfile", r"uv==[\d.]+", "uv==0.14.0"),
    ),
    Edit(
        "add dependencies",
        after("pyproject.toml", '"hydra-core>=', '    "joblib>=1.5,<2",'),
        before("pyproject.toml", "^    # Your own:", '    "rich>=15,<16",'),
        after("pyproject.toml", '"pytest>=', '    "pytest-timeout>=2.4",'),
    ),
    Edit(
        "the code as a newer formatter writes it, and stricter rules",
        replace("pyproject.toml", '"SIM", "UP"', '"SIM", "TRY", "UP"'),
        reformat(TRAINER, line_length=120),
        reformat(FIT, line_length=120),
        reformat(CLASSIFICATION, line_length=120),
        reformat(SERVER, line_length=120),
    ),
    Edit(
        "look for known vulnerabilities",
        replace("Makefile", "^(.PHONY: .*lint format test)", r"\1 audit"),
        after("Makefile", "^\tpytest$", "\naudit:  ## Look for vulnerabilities\n\tuv audit"),
        replace("Makefile", "^check: lint test", "check: lint test audit"),
        replace("README.md", "`make check` does both", "`make check` does both and audits"),
    ),
    Edit(
        "check and renew the lock file",
        before("Makefile", "^clean:", "lock:  ## Take the newest versions\n\tuv lock --upgrade\n"),
        after(CI, "UV_LOCKED: ", "      - name: Check the lock\n        run: uv lock --check"),
        append(
            ".pre-commit-config.yaml",
            "      - id: lock\n        name: uv.lock fits pyproject.toml\n"
            "        entry: uv lock --check\n        language: system",
        ),
        append("README.md", "\n## Upgrades\n\n`make lock` takes the newest versions."),
    ),
    Edit(
        "ignore and clean more",
        before(".gitignore", "^.pytest_cache/", ".hypothesis/"),
        after(".gitignore", "^.ruff_cache/", ".ty_cache/\n/site/"),
        replace("Makefile", r"\.ruff_cache$", ".ruff_cache .ty_cache"),
    ),
    Edit(
        "reword the README",
        replace("README.md", "and compares it\nwith baselines", "beside baselines of scikit-learn"),
        replace(
            "README.md", r"You need Python ([\d.]+), git and make\.", r"You need Python \1 and uv."
        ),
        replace("README.md", "^make setup .*$", "make setup       # install the dependencies"),
    ),
    Edit(
        "better defaults, explained",
        replace(DEFAULT, r"^epochs: \d+", "epochs: 6"),
        replace(DEFAULT, r"^ema_decay: [\d.]+", "ema_decay: 0.999"),
        comment(DEFAULT, "^batch_size: ", "rows of all workers together"),
        comment(DEFAULT, "^precision: ", "or float32, bfloat16"),
        replace("configs/optimizer/sgd.yaml", "momentum: 0.9", "momentum: 0.95"),
    ),
    Edit(
        "add settings of training",
        after(DEFAULT, "^max_grad_norm: ", "grad_noise: 0.0"),
        append(DEFAULT, "profile_memory: false"),
        before(CONFIG, "^    ema_decay: ", "    grad_noise: NonNegativeFloat = 0.0"),
        before(CONFIG, "^    profile_steps: ", "    profile_memory: bool = False"),
    ),
    Edit(
        "fix the loop",
        before(TRAINER, r"^ +loss.backward\(\)", "            loss = self.checked(loss)"),
        after(TRAINER, r"^        self.optimizer.zero_grad", "        self.num_rows += len(batch)"),
        after(TRAINER, '"learning_rate": rate', '            "gpu_memory": self.gpu_memory(),'),
    ),
    Edit(
        "add a callback",
        after(FIT, "^    EarlyStopping,", "    Health,"),
        before(FIT, "^    return .*on_every_rank", "    watching.append(Health(config.training))"),
        before(
            CALLBACKS,
            "^def chosen_callbacks",
            "class Health(Callback):\n"
            '    """Logs what is wrong with the machine."""\n\n'
            "    def on_fit_start(self, trainer: Trainer) -> None:\n"
            '        log.info("%d threads", threading.active_count())\n\n',
        ),
        after(CALLBACKS, "^import sys", "import threading"),
    ),
    Edit(
        "rename a module",
        move(SCHEDULES, f"{PACKAGE}/training/rates.py"),
        replace(TRAINER, "^from .schedules import", "from .rates import"),
        replace(FIT, "^from .schedules import", "from .rates import"),
    ),
    Edit(
        "add a model, and improve one",
        write("configs/model/gru.yaml", "name: gru\nhidden_size: 64\n"),
        write(f"{PACKAGE}/models/gru.py", '"""A GRU."""\n\nfrom .base import Model\n'),
        replace(MLP, r"nn.Dropout\(config.dropout\)", "nn.Dropout(config.dropout, inplace=True)"),
        replace(MLP, "A hidden layer between", "One hidden layer between"),
    ),
    Edit(
        "add a metric",
        after(CLASSIFICATION, r'^        "auroc": ', '        "mcc": Metric(mcc),'),
        before(
            CLASSIFICATION,
            "^def average_precision",
            "def mcc(targets: np.ndarray, scores: np.ndarray) -> float:\n"
            '    """Return the correlation of Matthews."""\n'
            "    return correlation(targets, scores.argmax(axis=-1))\n\n",
        ),
    ),
    Edit(
        "add a schedule",
        before(
            SCHEDULES,
            "^SCHEDULES",
            "def step(done: float, config: ScheduleConfig) -> float:\n"
            '    """Fall to a tenth at half the way."""\n    return 1.0 if done < 0.5 else 0.1\n\n',
        ),
        replace(SCHEDULES, r"\(constant, cosine, linear", "(constant, cosine, linear, step"),
    ),
    Edit(
        "report the health of the server better, in a smaller image",
        replace(SERVER, r"return Health\(model_loaded=True\)", "return engine.health()"),
        before(
            SERVER,
            r'^    @router.get\("/metrics"',
            '    @router.get("/version")\n    async def version() -> str:\n'
            '        """Return the version of the server."""\n        return engine.version\n',
        ),
        replace("Dockerfile", "PYTHONUNBUFFERED=1", "PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1"),
        append(
            "tests/test_serving.py",
            "\n\ndef test_the_version_is_told(client):\n"
            '    assert client.get("/version").status_code == 200',
        ),
    ),
    Edit(
        "stages depend on more",
        after("dvc.yaml", rf"^      - {PACKAGE}/models$", f"      - {PACKAGE}/lookup.py"),
        after("dvc.yaml", "^      - reports/figures$", "      - reports/history.json"),
    ),
    Edit(
        "drop what nobody uses",
        remove("configs/experiment/fast_mlp.yaml"),
        remove("configs/optimizer/muon.yaml"),
    ),
)
