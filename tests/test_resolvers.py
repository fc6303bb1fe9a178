"""The rules that settle conflicts: when each one is certain, what it writes, and when it is not."""

import ast
import time
import tomllib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_histories import History, faults, history, merged, merged_by_git, parts_by_git

from mlscaffold.updating.resolvers import hunks
from mlscaffold.updating.resolvers.clash import Solution
from mlscaffold.updating.resolvers.hunks import Hunk, lines_of
from mlscaffold.updating.resolvers.settling import settled

DEPENDENCIES = """\
[project]
name = "toy"
dependencies = [
    "numpy>=2,<3",
    "torch>=2.13,<3",
]
"""
MAKEFILE = ".PHONY: test clean\n\ntest:\n\tpytest\n\nclean:\n\trm -rf data models\n"
CODE = """\
def first(x):
    return call(x, 1)


def last():
    return {"a": 1}
"""
IMPORTS = "from package import (\n    alpha,\n    omega,\n)\n\nuse(alpha, omega)\n"
STAGES = """\
stages:
  fetch:
    cmd: python fetch.py
    deps:
      - data
      - fetch.py
    outs:
      - raw
"""
CLASS = "class Config:\n    width: int = 1\n"
README = "# Toy\n\nA first line\nand a second one.\n"
WORKFLOW = "jobs:\n  test:\n    steps:\n      - run: make lint\n      - run: make test\n"
FIELDS = "@dataclass\nclass Config:\n    width: int = 1\n"
TEXT = '[tool.tox]\nlegacy_tox_ini = """\n[testenv]\ndeps = a\n"""\n'
ACTION = "steps:\n  - uses: actions/checkout@{} # v{}\n"

# The rules; the file; the versions of the base, of one side and of the other; the merged file.
SETTLED = {
    "settings next to each other": (
        ("touching",), "c.yaml",
        "a: 1\nb: 2\nc: 3\n", "a: 9\nb: 2\nc: 3\n", "a: 1\nb: 8\nc: 3\n", "a: 9\nb: 8\nc: 3\n",
    ),
    "a line added beside a changed one": (
        ("touching",), "c.yaml",
        "a: 1\nb: 2\n", "a: 1\nmine: 0\nb: 2\n", "a: 1\nb: 8\n", "a: 1\nmine: 0\nb: 8\n",
    ),
    "dependencies": (
        ("list",), "pyproject.toml", DEPENDENCIES,
        DEPENDENCIES.replace('",\n]', '",\n    "zarr>=3",\n]'),
        DEPENDENCIES.replace('",\n]', '",\n    "tqdm>=4",\n]'),
        DEPENDENCIES.replace('",\n]', '",\n    "tqdm>=4",\n    "zarr>=3",\n]'),
    ),
    "the same dependency": (
        ("list",), "pyproject.toml", DEPENDENCIES,
        DEPENDENCIES.replace('",\n]', '",\n    "tqdm>=4",\n    "zarr>=3",\n]'),
        DEPENDENCIES.replace('",\n]', '",\n    "tqdm>=4",\n    "uv>=1",\n]'),
        DEPENDENCIES.replace('",\n]', '",\n    "tqdm>=4",\n    "uv>=1",\n    "zarr>=3",\n]'),
    ),
    "a raised pin and an addition": (
        ("list", "pin"), "pyproject.toml", DEPENDENCIES,
        DEPENDENCIES.replace("2.13", "2.14"),
        DEPENDENCIES.replace("2.13", "2.15").replace('",\n]', '",\n    "tqdm>=4",\n]'),
        DEPENDENCIES.replace("2.13", "2.15").replace('",\n]', '",\n    "tqdm>=4",\n]'),
    ),
    "imported names": (
        ("list",), "a.py", IMPORTS,
        IMPORTS.replace("    omega", "    beta,\n    omega", 1),
        IMPORTS.replace("    omega", "    gamma,\n    omega", 1),
        IMPORTS.replace("    omega", "    beta,\n    gamma,\n    omega", 1),
    ),
    "entries of a dict": (
        ("list",), "a.py", 'A = {\n    "a": f(a),\n}\n', 'A = {\n    "a": f(a),\n    "x": 1,\n}\n',
        'A = {\n    "a": f(a),\n    "y": g({}),  # why\n}\n',
        'A = {\n    "a": f(a),\n    "x": 1,\n    "y": g({}),  # why\n}\n',
    ),
    "imported names in one line": (
        ("list",), "a.py",
        "from a import b, z\n", "from a import b, c, z\n", "from a import b, d, z\n",
        "from a import b, c, d, z\n",
    ),
    "a sequence of YAML": (
        ("list",), "dvc.yaml", STAGES,
        STAGES.replace("- fetch.py\n", "- fetch.py\n      - words.txt\n"),
        STAGES.replace("- fetch.py\n", "- fetch.py\n      - lookup.py\n"),
        STAGES.replace("- fetch.py\n", "- fetch.py\n      - lookup.py\n      - words.txt\n"),
    ),
    "a sorted sequence": (
        ("list",), "c.yaml", "own:\n  - a\n  - b\n  - c\n  - z\n",
        "own:\n  - a\n  - b\n  - c\n  - d\n  - z\n",
        "own:\n  - a\n  - b\n  - c\n  - e\n  - z\n",
        "own:\n  - a\n  - b\n  - c\n  - d\n  - e\n  - z\n",
    ),
    "phony targets": (
        ("list",), "Makefile", MAKEFILE,
        MAKEFILE.replace("test clean", "test docs clean"),
        MAKEFILE.replace("test clean", "test check clean"),
        MAKEFILE.replace("test clean", "test check docs clean"),
    ),
    "rules of linters": (
        ("list",), "ruff.toml",
        'select = ["B", "UP"]\n', 'select = ["B", "T20", "UP"]\n', 'select = ["B", "RET", "UP"]\n',
        'select = ["B", "RET", "T20", "UP"]\n',
    ),
    "patterns and a new section of them": (
        ("blocks",), ".gitignore",
        "# Caches.\n.a/\n", "# Caches.\n.a/\n\n# Mine.\n/out/\n", "# Caches.\n.a/\n.b/\n",
        "# Caches.\n.a/\n.b/\n\n# Mine.\n/out/\n",
    ),
    "targets": (
        ("blocks",), "Makefile", MAKEFILE,
        f"{MAKEFILE}\nmine:\n\techo mine\n", f"{MAKEFILE}\ntheirs:\n\techo theirs\n",
        f"{MAKEFILE}\nmine:\n\techo mine\n\ntheirs:\n\techo theirs\n",
    ),
    "a longer recipe and a target": (
        ("blocks",), "Makefile", MAKEFILE,
        f"{MAKEFILE}\techo zzz\n", f"{MAKEFILE}\ntheirs:\n\techo theirs\n",
        f"{MAKEFILE}\techo zzz\n\ntheirs:\n\techo theirs\n",
    ),
    "sections": (
        ("blocks",), "README.md", README,
        f"{README}\n## Mine\n\nText.\n", f"{README}\n## License\n\nText.\n",
        f"{README}\n## License\n\nText.\n\n## Mine\n\nText.\n",
    ),
    "functions": (
        ("blocks",), "a.py", CODE,
        f"{CODE}\n\ndef mine():\n    return 1\n", f"{CODE}\n\ndef theirs():\n    return 2\n",
        f"{CODE}\n\ndef mine():\n    return 1\n\n\ndef theirs():\n    return 2\n",
    ),
    "the end of a function and a function": (
        ("blocks",), "a.py", CODE,
        f"{CODE}    # The end.\n    done()\n", f"{CODE}\n\ndef theirs():\n    return 2\n",
        f"{CODE}    # The end.\n    done()\n\n\ndef theirs():\n    return 2\n",
    ),
    "fields": (
        ("blocks",), "a.py", CLASS,
        f"{CLASS}    mine: int = 2\n", f'{CLASS}    theirs: float = 0.5\n    """Why."""\n',
        f'{CLASS}    mine: int = 2\n    theirs: float = 0.5\n    """Why."""\n',
    ),
    "keys of YAML": (
        ("blocks",), "c.yaml", "a: 1\n", "a: 1\nmine: 2\n", "a: 1\ntheirs: 3\n",
        "a: 1\nmine: 2\ntheirs: 3\n",
    ),
    "tables of TOML": (
        ("blocks",), "p.toml", "[a]\nx = 1\n",
        "[a]\nx = 1\n\n[tool.mine]\ny = 1\n", "[a]\nx = 1\n\n[tool.theirs]\ny = 1\n",
        "[a]\nx = 1\n\n[tool.mine]\ny = 1\n\n[tool.theirs]\ny = 1\n",
    ),
    "a key of the last table and a new table": (
        ("blocks",), "p.toml", "[a]\nx = 1\n", "[a]\nx = 1\nz = 2\n", "[a]\nx = 1\n\n[b]\ny = 1\n",
        "[a]\nx = 1\nz = 2\n\n[b]\ny = 1\n",
    ),
    "stages of DVC": (
        ("blocks",), "dvc.yaml", STAGES,
        f"{STAGES}  train:\n    cmd: python train.py\n    deps:\n      - raw\n",
        f"{STAGES}  split:\n    cmd: python split.py\n    deps:\n      - raw\n",
        f"{STAGES}  split:\n    cmd: python split.py\n    deps:\n      - raw\n"
        "  train:\n    cmd: python train.py\n    deps:\n      - raw\n",
    ),
    "fields that have names only": (
        ("blocks",), "a.py", FIELDS.replace("class\n", "class(kw_only=True)\n"),
        FIELDS.replace("class\n", "class(kw_only=True)\n") + "    mine: int = 2\n",
        FIELDS.replace("class\n", "class(kw_only=True)\n") + "    theirs: int = 3\n",
        FIELDS.replace("class\n", "class(kw_only=True)\n")
        + "    mine: int = 2\n    theirs: int = 3\n",
    ),
    "methods of a dataclass": (
        ("blocks",), "a.py", FIELDS, f"{FIELDS}\n    def mine(self):\n        return 1\n",
        f"{FIELDS}\n    def theirs(self):\n        return 2\n",
        f"{FIELDS}\n    def mine(self):\n        return 1\n"
        "\n    def theirs(self):\n        return 2\n",
    ),
    "folders whose changes run a job": (
        ("list",), "ci.yml", "on:\n  push:\n    paths:\n      - a\n",
        "on:\n  push:\n    paths:\n      - a\n      - c\n",
        "on:\n  push:\n    paths:\n      - a\n      - b\n",
        "on:\n  push:\n    paths:\n      - a\n      - b\n      - c\n",
    ),
    "a comment about the table below, and a table": (
        ("blocks",), "p.toml", "[a]\nx = 1\n\n[b]\ny = 1\n",
        "[a]\nx = 1\n\n# Tuned.\n[b]\ny = 1\n", "[a]\nx = 1\n\n[c]\nz = 1\n\n[b]\ny = 1\n",
        "[a]\nx = 1\n\n[c]\nz = 1\n\n# Tuned.\n[b]\ny = 1\n",
    ),
    "a target, and one before a comment about the next": (
        ("blocks",), "Makefile", MAKEFILE,
        MAKEFILE.replace("clean:", "apart:\n\tx\n\n# About the next.\nclean:"),
        MAKEFILE.replace("clean:", "docs:\n\ty\n\nclean:"),
        MAKEFILE.replace(
            "\nclean:", "\ndocs:\n\ty\n\napart:\n\tx\n\n# About the next.\nclean:"
        ),
    ),
    "metrics of DVC": (
        ("list",), "dvc.yaml", STAGES.replace("outs", "metrics"),
        STAGES.replace("outs", "metrics") + "      - z.json\n",
        STAGES.replace("outs", "metrics") + "      - s.json\n",
        STAGES.replace("outs", "metrics") + "      - s.json\n      - z.json\n",
    ),
    "a requirement and one without a version": (
        ("list",), "pyproject.toml", DEPENDENCIES,
        DEPENDENCIES.replace('",\n]', '",\n    "zarr",\n]'),
        DEPENDENCIES.replace('",\n]', '",\n    "tqdm>=4",\n]'),
        DEPENDENCIES.replace('",\n]', '",\n    "tqdm>=4",\n    "zarr",\n]'),
    ),
    "a pin in YAML": (
        ("pin",), ".pre-commit-config.yaml", "additional_dependencies:\n  - numpy>=2.0\n",
        "additional_dependencies:\n  - numpy>=2.1\n",
        "additional_dependencies:\n  - numpy>=2.3\n",
        "additional_dependencies:\n  - numpy>=2.3\n",
    ),
    "a comment and a value": (
        ("comment",), "c.yaml", "a: 1\n", "a: 1  # why\n", "a: 2\n", "a: 2  # why\n",
    ),
    "a comment and a text with a #": (
        ("comment",), "a.py",
        "use('#1')\n", "use('#1')  # why\n", "use('#2', \"#\")\n", "use('#2', \"#\")  # why\n",
    ),
    "a comment at a pin": (
        ("comment",), "pyproject.toml", DEPENDENCIES,
        DEPENDENCIES.replace('13,<3",', '13,<3",  # our GPU'), DEPENDENCIES.replace("13", "15"),
        DEPENDENCIES.replace('13,<3",', '15,<3",  # our GPU'),
    ),
    "an action": (
        ("pin",), "ci.yml", ACTION.format("a" * 40, "4.1.0"), ACTION.format("b" * 40, "4.2.0"),
        ACTION.format("c" * 40, "5.0.0"), ACTION.format("c" * 40, "5.0.0"),
    ),
    "a hook": (
        ("pin",), ".pre-commit-config.yaml", "rev: v0.9.0\n", "rev: v0.10.0\n", "rev: v0.9.9\n",
        "rev: v0.10.0\n",
    ),
    "an image": (
        ("pin",), "Dockerfile", "FROM python:3.12-slim\n", "FROM python:3.14-slim\n",
        "FROM python:3.13-slim\n", "FROM python:3.14-slim\n",
    ),
    "a call on several lines and another argument": (
        ("layout",), "a.py", CODE, CODE.replace("x, 1", "\n        x,\n        1,\n    "),
        CODE.replace("x, 1", "x, 2"), CODE.replace("x, 1", "x, 2"),
    ),
    "other quotes, and one statement changed": (
        ("layout",), "a.py", "a('x')\nb('y')\n", 'a("x")\nb("y")\n', "a('x')\nb('z')\n",
        "a(\"x\")\nb('z')\n",
    ),
}  # fmt: skip

# What must stay a conflict: the file, and the versions of the base, of one side and of the other.
LEFT = {
    "two values": ("c.yaml", "a: 1\n", "a: 2\n", "a: 3\n"),
    "two statements at one place": (
        "a.py", "x = f()\n", "x = f()\nx = g(x)\n", "x = f()\nx = h(x)\n",
    ),
    "a function that one side removed and the other extended": (
        "a.py", CODE, CODE.partition("\n\n\n")[0] + "\n", f"{CODE}    done()\n",
    ),
    "two functions of one name": (
        "a.py", CODE, f"{CODE}\n\ndef new():\n    return 1\n",
        f"{CODE}\n\ndef new():\n    return 2\n",
    ),
    "members of an enumeration that are equal": (
        "a.py", "class A(Enum):\n    X = 1\n", "class A(Enum):\n    X = 1\n    Y = 2\n",
        "class A(Enum):\n    X = 1\n    Z = 2\n",
    ),
    "a field without a default after one with": (
        "a.py", CLASS, f"{CLASS}    mine: int\n", f"{CLASS}    theirs: int = 1\n",
    ),
    "arguments of a call": (
        "a.py", "call(\n    a,\n    b,\n)\n", "call(\n    a,\n    b,\n    c,\n)\n",
        "call(\n    a,\n    b,\n    d,\n)\n",
    ),
    "entries of a dict with one key": (
        "a.py", 'A = {\n    "a": 0,\n}\n', 'A = {\n    "a": 0,\n    "x": 1,\n}\n',
        'A = {\n    "a": 0,\n    "x": 2,\n}\n',
    ),
    "a list in an order of its own": (
        "a.py", "steps = [resize, crop, flip, scale]\n",
        "steps = [resize, crop, flip, scale, mine]\n",
        "steps = [resize, crop, flip, scale, theirs]\n",
    ),
    "commands of a recipe": (
        "Makefile", MAKEFILE, f"{MAKEFILE}\techo mine\n", f"{MAKEFILE}\techo theirs\n",
    ),
    "targets of one name": (
        "Makefile", MAKEFILE, f"{MAKEFILE}\ndocs:\n\tmine\n", f"{MAKEFILE}\ndocs:\n\ttheirs\n",
    ),
    "steps of a job": (
        "ci.yml", WORKFLOW, f"{WORKFLOW}      - run: make mine\n",
        f"{WORKFLOW}      - run: make theirs\n",
    ),
    "lines of a script in YAML": (
        "ci.yml", "run: |\n  one\n", "run: |\n  one\n  two: 2\n", "run: |\n  one\n  three: 3\n",
    ),
    "widths of layers": (
        "c.yaml", "widths: [8, 16]\n", "widths: [8, 16, 32]\n", "widths: [8, 16, 64]\n",
    ),
    "kinds of layers": (
        "c.yaml", "layers:\n  - dense\n", "layers:\n  - dense\n  - norm\n",
        "layers:\n  - dense\n  - relu\n",
    ),
    "patterns of which one takes back": (
        "ci.yml", "on:\n  push:\n    paths:\n      - 'a'\n",
        "on:\n  push:\n    paths:\n      - 'a'\n      - '!a/b'\n",
        "on:\n  push:\n    paths:\n      - 'a'\n      - 'c'\n",
    ),
    "folders to search": (
        "c.yaml", "paths:\n  - a\n", "paths:\n  - a\n  - mine\n", "paths:\n  - a\n  - base\n",
    ),
    "Hydra's defaults": (
        "c.yaml", "defaults:\n  - a\n", "defaults:\n  - a\n  - mine\n",
        "defaults:\n  - a\n  - theirs\n",
    ),
    "patterns with an exception": (
        ".gitignore", "/a/\n", "/a/\n!/a/b\n", "/a/\n/c/\n",
    ),
    "sentences of a paragraph": (
        "README.md", README, f"{README}Mine.\n", f"{README}Theirs.\n",
    ),
    "a pin that one side has lowered": (
        "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace("2.13", "2.12"),
        DEPENDENCIES.replace("2.13", "2.15"),
    ),
    "a pin that one side has capped": (
        "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace('2.13,<3', "2.13,<2.14"),
        DEPENDENCIES.replace("2.13,<3", "2.15,<3"),
    ),
    "pins of which each has a higher bound": (
        "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace("2.13", "2.15"),
        DEPENDENCIES.replace("2.13,<3", "2.13,<4"),
    ),
    "a number that is no pin": ("c.yaml", "size: 1.0\n", "size: 2.0\n", "size: 3.0\n"),
    "two comments": ("c.yaml", "a: 1\n", "a: 1  # mine\n", "a: 2  # theirs\n"),
    "both in another layout": (
        "a.py", "f(1)\n", "f(\n    1,\n)\n", "f(\n    1\n)\n",
    ),
    "a layout that means something": (
        "a.py", "if a:\n    b()\n    c()\n", "if a:\n    b()\nc()\n", "if a:\n    b()\n    c(1)\n",
    ),
    "files that are not valid before": (
        "a.py", "(\na = 1\nb = 2\n", "(\na = 3\nb = 2\n", "(\na = 1\nb = 4\n",
    ),
    "commands of an image": (
        "Dockerfile", "RUN a\n", "RUN a\nRUN b\n", "RUN a\nRUN c\n",
    ),
    "two imports of one name": (
        "a.py", "import os\n", "import os\nfrom mine import helper\n",
        "import os\nfrom theirs import helper\n",
    ),
    "two imports by one name": (
        "a.py", "import os\n", "import os\nimport jax.numpy as np\n",
        "import os\nimport numpy as np\n",
    ),
    "two imported names with one alias": (
        "a.py", "from a import b, z\n", "from a import b, c as x, z\n",
        "from a import b, d as x, z\n",
    ),
    "an imported name and an alias": (
        "a.py", "from a import b\n", "from a import b, f\n", "from a import b, e as f\n",
    ),
    "a variable that one side renamed and the other uses": (
        "a.py", "def f():\n    x = load()\n", "def f():\n    data = load()\n",
        "def f():\n    x = load()\n    print(x)\n",
    ),
    "a variable of make that one side renamed and the other uses": (
        "Makefile", "OUT = a\n\nclean:\n\trm -rf $(OUT)\n",
        "DIR = a\n\nclean:\n\trm -rf $(DIR)\n",
        "OUT = a\nLOG = $(OUT)/log\n\nclean:\n\trm -rf $(OUT)\n",
    ),
    "a variable of a script that one side renamed and the other uses": (
        "a.sh", "OUT=a\nrm -rf b\n", "DIR=a\nrm -rf b\n", "OUT=a\nrm -rf $OUT b\n",
    ),
    "an import that one side removed and the other uses": (
        "a.py", "import os\nmain()\n", "main()\n", "import os\nmain(os.path)\n",
    ),
    "a statement after a new return": (
        "a.py", "def f():\n    load()\n", "def f():\n    return load()\n",
        "def f():\n    load()\n    log()\n",
    ),
    "lines of a prompt": (
        "a.py", 'PROMPT = """\n# Task\n"""\n', 'PROMPT = """\n# Task\nscore = 1\n"""\n',
        'PROMPT = """\n# Task\nlabel = 0\n"""\n',
    ),
    "imports in a text": (
        "a.py", 'CODE = """\nimport os\n"""\n', 'CODE = """\nimport os\nimport zlib\n"""\n',
        'CODE = """\nimport os\nimport ast\n"""\n',
    ),
    "lines of a script in a list": (
        "x.yml", "script:\n  - |\n    set -e\n",
        'script:\n  - |\n    set -e\n    echo "status: prepare"\n',
        'script:\n  - |\n    set -e\n    curl -H "Token: b" finish\n',
    ),
    "lines of a script with a comment": (
        "x.yml", "run: |  # bash\n  set -e\n", "run: |  # bash\n  set -e\n  echo: a\n",
        "run: |  # bash\n  set -e\n  curl: b\n",
    ),
    "items of a text": (
        "x.yml", "outs: &x !!str |2-\n  - a\n", "outs: &x !!str |2-\n  - a\n  - b\n",
        "outs: &x !!str |2-\n  - a\n  - c\n",
    ),
    "settings in a text": (
        "pyproject.toml", TEXT, TEXT.replace("= a\n", "= a\nskip_install = true\n"),
        TEXT.replace("= a\n", '= a\n\n[flake8]\nignore = "E501"\n'),
    ),
    "fields of a named tuple": (
        "a.py", CLASS.replace("Config", "Config(NamedTuple)"),
        CLASS.replace("Config", "Config(NamedTuple)") + "    mine: int = 2\n",
        CLASS.replace("Config", "Config(NamedTuple)") + "    theirs: int = 3\n",
    ),
    "fields of a dataclass": (
        "a.py", FIELDS, f"{FIELDS}    mine: int = 2\n", f"{FIELDS}    theirs: int = 3\n",
    ),
    "fields of two names": (
        "a.py", "A = 0\n", "A = 0\nB = shared = 1\n", "A = 0\nC = shared = 2\n",
    ),
    "two functions, each with a comment about the next": (
        "a.py", "A = 0\n\nB = 1\n", "A = 0\n\nC = 2\n# Mine.\nB = 1\n",
        "A = 0\n\nD = 3\n# Theirs.\nB = 1\n",
    ),
    "transforms by name": (
        "c.yaml", "transforms:\n  resize: {}\n", "transforms:\n  resize: {}\n  flip: {}\n",
        "transforms:\n  resize: {}\n  normalize: {}\n",
    ),
    "stages that are not of DVC": (
        "c.yaml", "stages:\n  a: {}\n", "stages:\n  a: {}\n  mine: {}\n",
        "stages:\n  a: {}\n  theirs: {}\n",
    ),
    "paragraphs in a block of code": (
        "README.md", "```bash\nmake a\n```\n", "```bash\nmake a\n\nmake deploy\n```\n",
        "```bash\nmake a\n\nmake build\n```\n",
    ),
    "numbered steps": (
        "README.md", "1. a\n\n2. b\n", "1. a\n\n2. b\n\n3. deploy\n",
        "1. a\n\n2. b\n\n3. build\n",
    ),
    "two first targets": (
        "Makefile", MAKEFILE.partition("\n\n")[2],
        "mine:\n\techo\n\n" + MAKEFILE.partition("\n\n")[2],
        "all:\n\techo\n\n" + MAKEFILE.partition("\n\n")[2],
    ),
    "numbers in a sequence": (
        "c.yaml", "w:\n  - 100\n  - 200\n  - 300\n  - 400\n",
        "w:\n  - 100\n  - 200\n  - 300\n  - 400\n  - 500\n",
        "w:\n  - 100\n  - 200\n  - 300\n  - 400\n  - 600\n",
    ),
    "commands in alphabetical order": (
        "c.yaml", "run:\n  - make a\n  - make b\n  - make c\n  - make d\n",
        "run:\n  - make a\n  - make b\n  - make c\n  - make d\n  - make z\n",
        "run:\n  - make a\n  - make b\n  - make c\n  - make d\n  - make x\n",
    ),
    "stages in alphabetical order": (
        "c.yaml", "stages:\n  - a\n  - b\n  - c\n  - d\n",
        "stages:\n  - a\n  - b\n  - c\n  - d\n  - z\n",
        "stages:\n  - a\n  - b\n  - c\n  - d\n  - x\n",
    ),
    "steps in alphabetical order": (
        "a.py", "steps = [crop, flip, resize, scale]\n",
        "steps = [crop, flip, noise, resize, scale]\n",
        "steps = [blur, crop, flip, resize, scale]\n",
    ),
    "files that are read in order": (
        "c.yaml", "include:\n  - a\n", "include:\n  - a\n  - z\n", "include:\n  - a\n  - b\n",
    ),
    "labels of classes": (
        "c.yaml", "labels: [cat, dog]\n", "labels: [cat, dog, fox]\n", "labels: [cat, dog, ant]\n",
    ),
    "metrics of which the first may decide": (
        "c.yaml", "metrics:\n  - loss\n", "metrics:\n  - loss\n  - recall\n",
        "metrics:\n  - loss\n  - accuracy\n",
    ),
    "names that are assigned to": (
        "a.py", "[a, b, c, d] = f()\n", "[a, b, c, d, e] = f()\n", "[a, b, c, d, g] = f()\n",
    ),
    "layers by name": (
        "a.py",
        'm = Sequential(\n    OrderedDict(\n        {\n            "a": A(),\n        }))\n',
        'm = Sequential(\n    OrderedDict(\n        {\n            "a": A(),\n'
        '            "b": B(),\n        }))\n',
        'm = Sequential(\n    OrderedDict(\n        {\n            "a": A(),\n'
        '            "c": C(),\n        }))\n',
    ),
    "items in a block of code": (
        "README.md", "```yaml\n- a\n```\n", "```yaml\n- a\n- deploy\n```\n",
        "```yaml\n- a\n- build\n```\n",
    ),
    "two tables": (
        "README.md", "# A\n\n", "# A\n\n| A | B |\n|---|---|\n| 1 | 2 |\n",
        "# A\n\n| C | D |\n|---|---|\n| 3 | 4 |\n",
    ),
    "a requirement with a version and without": (
        "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace('",\n]', '",\n    "zarr",\n]'),
        DEPENDENCIES.replace('",\n]', '",\n    "zarr>=3",\n]'),
    ),
    "a requirement with an address and with a version": (
        "pyproject.toml", DEPENDENCIES,
        DEPENDENCIES.replace('",\n]', '",\n    "zarr @ git+https://a/b",\n]'),
        DEPENDENCIES.replace('",\n]', '",\n    "Zarr[x]>=3",\n]'),
    ),
    "one requirement twice in a line": (
        "pyproject.toml", 'requires = ["a"]\n', 'requires = ["a", "zarr"]\n',
        'requires = ["a", "zarr>=3"]\n',
    ),
    "filters of warnings": (
        "p.toml", 'f = [\n    "once::A",\n]\n', 'f = [\n    "once::A",\n    "error::B",\n]\n',
        'f = [\n    "once::A",\n    "ignore::C",\n]\n',
    ),
    "filters of warnings in alphabetical order": (
        "p.toml", 'filterwarnings = [\n    "a",\n    "b",\n    "c",\n    "d",\n]\n',
        'filterwarnings = [\n    "a",\n    "b",\n    "c",\n    "d",\n    "x",\n]\n',
        'filterwarnings = [\n    "a",\n    "b",\n    "c",\n    "d",\n    "z",\n]\n',
    ),
    "a pin of more numbers": (
        "pyproject.toml", DEPENDENCIES.replace(">=2.13", "~=2.1"),
        DEPENDENCIES.replace(">=2.13", "~=2.1.2"), DEPENDENCIES.replace(">=2.13", "~=2.3"),
    ),
    "an image of more numbers": (
        "Dockerfile", "FROM python:3\n", "FROM python:3.11\n", "FROM python:3.13\n",
    ),
    "a threshold": (
        "c.yaml", "checks:\n  - loss<0.5\n", "checks:\n  - loss<0.6\n", "checks:\n  - loss<0.9\n",
    ),
    "a commit, and another name of the old one": (
        "ci.yml", ACTION.format("a" * 40, "4"), ACTION.format("b" * 40, "4"),
        ACTION.format("a" * 40, "4.0.0"),
    ),
    "a line of a text that looks like a comment": (
        "a.py", "t = '''\na\n'''\n", "t = '''\na #1\n'''\n", "t = '''\nb\n'''\n",
    ),
}  # fmt: skip


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
