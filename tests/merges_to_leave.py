"""Merges that stay conflicts, since no rule is certain."""

from merges_to_settle import (
    ACTION,
    CLASS,
    CODE,
    DEPENDENCIES,
    FIELDS,
    MAKEFILE,
    README,
    TEXT,
    WORKFLOW,
)

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
    "a range that one side has widened at both ends": (
        "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace("2.13,<3", "2.12,<4"),
        DEPENDENCIES.replace("2.13", "2.15"),
    ),
    "a raised upper bound, and a raised lower one above what was allowed": (
        "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace("2.13,<3", "2.13,<4"),
        DEPENDENCIES.replace("2.13,<3", "3.1,<3"),
    ),
    "ranges with a version that is left out": (
        "pyproject.toml", DEPENDENCIES.replace("<3", "!=2.14,<3"),
        DEPENDENCIES.replace("2.13,<3", "2.13,!=2.14,<4"),
        DEPENDENCIES.replace("2.13,<3", "2.15,!=2.14,<3"),
    ),
    "ranges of which one side left out an end": (
        "pyproject.toml", DEPENDENCIES, DEPENDENCIES.replace("2.13,<3", "2.15"),
        DEPENDENCIES.replace("2.13,<3", "2.13,<4"),
    ),
    "one more version in each of two pins": (
        "Dockerfile", "RUN pip install a==1 b==1\n", "RUN pip install a==2 b==1\n",
        "RUN pip install a==1 b==2\n",
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
