"""The first cell of a notebook: whatever Python it meets, resnet_lib is there afterwards, or one line says why not.

It leaves the environment's torch alone, installs what is missing and nothing else, then resnet_lib without its
dependencies: from the release of the repository where there is one, else from a wheel beside the notebook.
"""

import ast
import sys

# module -> what pip calls it. torchvision belongs to one torch, so only chapters that import it ask for it.
LIBRARY = {"torch": "torch>=2.7", "numpy": "numpy", "matplotlib": "matplotlib", "sklearn": "scikit-learn",
           "ipywidgets": "ipywidgets", "tqdm": "tqdm", "filelock": "filelock", "fastjsonschema": "fastjsonschema"}
NAMES = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
# d2l brings a whole Jupyter with it, and the chapters that can use it or onnxruntime work without
GIVEN = {"IPython", "resnet_lib", "d2l", "onnxruntime"} | set(sys.stdlib_module_names)

RECORDED = ("data/runs", "data/bench", "data/weights", "data/lesions", "data/accounts")  # what comes with the library

CELL = '''# @title Run this first: it adds what is missing here, and keeps the torch that there is.
import importlib.util
import subprocess
import sys
from pathlib import Path

NEEDED = {needed}
{origin}
if sys.version_info < (3, 11):
    raise SystemExit(f"resnet_lib needs Python 3.11 or newer, and this is {{sys.version.split()[0]}}: choose another "
                     "kernel, or make an environment with a newer Python and start Jupyter in it")


def missing(module):
    return importlib.util.find_spec(module) is None


torch = "2.7" if missing("torch") else importlib.metadata.version("torch")
if tuple(int(part) for part in torch.split(".")[:2]) < (2, 7):
    raise SystemExit(f"resnet_lib needs PyTorch 2.7 or newer, and here is {{torch}}: choose another kernel, or make an "
                     "environment with a newer one (Macs with Intel processors have none)")


def pip(*words):
    if missing("pip"):  # as in environments that uv makes
        subprocess.run([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"pip could not install {{' '.join(words)}}: {{reason(done.stdout)}}")


def reason(said):
    if "externally-managed-environment" in said:
        return ("this Python belongs to the system (PEP 668). Make an environment, python3 -m venv env, then "
                "env/bin/pip install jupyterlab, and open the notebook with env/bin/jupyter lab")
    if any(word in said for word in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ProxyError",
                                     "Network is unreachable", "failure in name resolution")):
        return "there is no network; with one, run this cell again"
    lines = said.strip().splitlines() or ["pip said nothing"]
    return next((line for line in lines if line.lower().startswith("error") and "Ignored the following" not in line),
                lines[-1])


wanted = []
if missing("resnet_lib"):
    clone = next((p for p in (Path().resolve(), *Path().resolve().parents)
                  if (p / "resnet_lib" / "__init__.py").is_file()), None)
    if clone:  # a copy of the repository
        sys.path.insert(0, str(clone))
    else:
{find}
        wanted = ["--no-deps", origin]
absent = [name for module, name in NEEDED.items() if missing(module)]  # another chapter may have needed less
if "torchvision" in absent and "torch" not in absent:  # the one that belongs to this torch
    absent.append("torch==" + torch.partition("+")[0])
for words in filter(None, (absent, wanted)):
    pip(*words)
importlib.invalidate_caches()
'''
SWITCH = '''
TIER = "quick"  # "short": where there is a GPU, the full-size runs are trained here too, in minutes
os.environ["RESNET_LIB_TIER"] = TIER
'''
WHEEL = '''        wheels = sorted(Path().glob("resnet_lib-*.whl"))
        if not wheels:
            raise SystemExit("resnet_lib is not here: put resnet_lib-{version}-py3-none-any.whl, which comes with "
                             "the notebooks, beside this notebook, and run this cell again")
        origin = str(wheels[-1])'''
RELEASE = '''        wheels = sorted(Path().glob("resnet_lib-*.whl"))
        origin = str(wheels[-1]) if wheels else "release.zip"
        if not wheels:
            try:
                urllib.request.urlretrieve(RELEASE, origin)
            except OSError as problem:
                raise SystemExit(f"resnet_lib cannot be fetched from {{RELEASE}}: {{problem}}") from None
            with zipfile.ZipFile(origin) as files:  # recorded runs, which figures show
                for name in files.namelist():
                    inside = name.partition("/")[2]
                    if inside.startswith(RECORDED) and not name.endswith("/"):
                        Path(inside).parent.mkdir(parents=True, exist_ok=True)
                        Path(inside).write_bytes(files.read(name))'''


def first_cell(codes: list[str], version: str, repository: str) -> str:
    """The source of the cell for a chapter with these cells of code."""
    needed = LIBRARY | {m: NAMES.get(m, m) for m in sorted(modules(codes)) if m not in GIVEN}
    listed = ",\n          ".join(", ".join(f'"{m}": "{p}"' for m, p in row) for row in _rows(list(needed.items()), 4))
    origin, find = "", WHEEL.format(version=version)
    if repository:
        origin = f'RELEASE = "{repository}/archive/refs/tags/v{version}.zip"\n'
        origin += "RECORDED = " + repr(tuple(f"{folder}/" for folder in RECORDED)) + "\n"
        find = RELEASE.format()
    cell = CELL.format(needed="{" + listed + "}", origin=origin, find=find)
    more = "import importlib.metadata\nimport importlib.util\n"
    if any("widgets.live import beside" in code for code in codes):
        cell += SWITCH
        more += "import os\n"
    cell = cell.replace("import importlib.util\n", more, 1)
    if repository:
        cell = cell.replace("import sys\n", "import sys\nimport urllib.request\nimport zipfile\n", 1)
    return cell


def _rows(items: list, width: int) -> list:
    return [items[i:i + width] for i in range(0, len(items), width)]


def modules(codes: list[str]) -> set[str]:
    """The top-level modules that pieces of Python import; pieces that do not parse are passed over."""
    found = set()
    for code in codes:
        try:
            tree = ast.parse(code)
        except SyntaxError:  # a cell with %magic, or a starter that is broken on purpose
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    return found
