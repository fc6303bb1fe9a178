"""Merges that the rules settle, and files that these and others begin with."""

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
    "a range of which each side raised one end": (
        ("pin",), "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace("2.13", "2.15"),
        DEPENDENCIES.replace("2.13,<3", "2.13,<4"),
        DEPENDENCIES.replace("2.13,<3", "2.15,<4"),
    ),
    "a range of which both raised one end, and one side the other too": (
        ("pin",), "pyproject.toml", DEPENDENCIES.replace("2.13,<3", "2.13, <3"),
        DEPENDENCIES.replace("2.13,<3", "2.14, <4"), DEPENDENCIES.replace("2.13,<3", "2.15, <3"),
        DEPENDENCIES.replace("2.13,<3", "2.15, <4"),
    ),
    "a range, beside an addition": (
        ("list", "pin"), "pyproject.toml", DEPENDENCIES.replace("2.13,<3", "2.13,<=3.1"),
        DEPENDENCIES.replace("2.13,<3", "2.13,<=3.2").replace('",\n]', '",\n    "zarr>=3",\n]'),
        DEPENDENCIES.replace("2.13,<3", "2.15,<=3.1"),
        DEPENDENCIES.replace("2.13,<3", "2.15,<=3.2").replace('",\n]', '",\n    "zarr>=3",\n]'),
    ),
    "a range with a comment": (
        ("pin",), "pyproject.toml", DEPENDENCIES.replace('13,<3",', '13,<3",  # our GPU'),
        DEPENDENCIES.replace('13,<3",', '15,<3",  # our GPU'),
        DEPENDENCIES.replace('13,<3",', '13,<4",  # our GPU'),
        DEPENDENCIES.replace('13,<3",', '15,<4",  # our GPU'),
    ),
    "a range that one side raised as a whole": (
        ("pin",), "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace("2.13,<3", "2.13,<4"),
        DEPENDENCIES.replace("2.13,<3", "3.1,<4"), DEPENDENCIES.replace("2.13,<3", "3.1,<4"),
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
