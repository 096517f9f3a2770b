"""What may import what, and what the core may load: the layout that the design promises."""

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import cnnlab
from cnnlab.examples import example_1, example_2, twin
from cnnlab.ops import Name, Operation

PACKAGE = Path(cnnlab.__file__).parent
# Each may import those before it. Modules of one row do not know each other.
ORDER = [{"machine", "places", "ops"}, {"arithmetic", "data", "stacks"}, {"explanation"}, {"ledger"}, {"gradients"},
         {"counting", "examples", "mistakes", "networks", "optimizers", "quiz"}, {"diagnosis", "documents", "show"},
         {"training"}, {"inspection"}, {"panel"}, {"lessons"},
         {"__init__"}, {"cli", "fastsocket"}, {"__main__"}]
FROM_PANEL_ON = set().union(*ORDER[ORDER.index({"panel"}):]) - {"__init__"}  # may load Jupyter; the rest only NumPy
WHEN_CALLED = {"machine": {"threadpoolctl"}, "training": {"tqdm"}}  # imported inside a function, not with the module
RANK = {name: rank for rank, row in enumerate(ORDER) for name in row}
FILES = sorted(PACKAGE.rglob("*.py"))


def unit(path) -> str:
    """The module or package directly inside cnnlab that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    """(module path with dots, names taken from it) for every import of a file, relative ones made absolute."""
    here = ["cnnlab", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            start = here[:-node.level] if node.level else []
            yield ".".join([*start, *filter(None, [node.module])]), [alias.name for alias in node.names]


def read_by(path) -> set[str]:
    """The units of cnnlab that a file imports."""
    found = set()
    for module, names in imported(path):
        if module == "cnnlab":
            found |= {name if name in RANK else "__init__" for name in names} or {"__init__"}
        elif module.startswith("cnnlab."):
            found.add(module.split(".")[1])
    return found - {unit(path)}


def test_every_module_has_its_place():
    assert {unit(path) for path in FILES} - set(RANK) == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    wrong = {other for other in read_by(path) if RANK[other] >= RANK[unit(path)]}
    assert wrong == set(), f"{path.name} imports {wrong}, which stand beside or above {unit(path)}"


@pytest.mark.parametrize("package", sorted({path.parent for path in FILES} - {PACKAGE}), ids=lambda path: path.name)
def test_inside_a_package_imports_go_one_way_too(package):
    waiting = {path.stem: siblings(path) for path in package.glob("*.py") if path.stem != "__init__"}
    while ready := [name for name, others in waiting.items() if not others & set(waiting)]:
        waiting = {name: others for name, others in waiting.items() if name not in ready}
    assert waiting == {}, "these import each other in a circle"


def siblings(path) -> set[str]:
    """The modules of its own package that a file imports."""
    package = f"cnnlab.{path.parent.name}"
    whole = {module.removeprefix(f"{package}.") for module, _ in imported(path) if module.startswith(f"{package}.")}
    return whole | {name for module, names in imported(path) if module == package for name in names}


@pytest.mark.parametrize("path", [path for path in FILES if unit(path) not in FROM_PANEL_ON],
                         ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_names_no_other_library(path):
    roots = {module.split(".")[0] for module, _ in imported(path)}
    assert roots - set(sys.stdlib_module_names) <= {"numpy", "cnnlab"} | WHEN_CALLED.get(unit(path), set())


def loaded_by(imports) -> set[str]:
    """The top-level modules that a fresh Python holds after some imports."""
    code = f"import sys, {imports}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                              cwd=PACKAGE.parent).stdout.split())


def test_importing_the_core_loads_numpy_alone():
    core = sorted({unit(path) for path in FILES} - FROM_PANEL_ON - {"__init__"})
    loaded = loaded_by(", ".join(["cnnlab", *(f"cnnlab.{name}" for name in core)]))
    assert loaded - loaded_by("numpy") - set(sys.stdlib_module_names) == {"cnnlab"}
    assert not loaded & {"matplotlib", "ipywidgets", "anywidget", "IPython", "traitlets", "torch"}


EVERY = [getattr(cnnlab, name) for name in cnnlab.ops.__all__]
OPERATIONS = [each for each in EVERY if isinstance(each, type) and each is not Operation]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__)
def test_every_operation_says_its_formula_and_its_shapes(operation):
    formula, _, rest = operation.__doc__.partition("\n")
    assert " = " in formula and operation.formula() == formula
    words = ("->", "shape", "number", "Any", "passes through")
    assert any(word in rest for word in words), f"{operation.__name__} says nothing of shapes"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__)
def test_an_operation_is_names_and_settings(operation):
    assert dataclasses.is_dataclass(operation) and operation.__dataclass_params__.frozen
    settings = {field.name for field in dataclasses.fields(operation) if field.type is not Name}
    assert settings <= {"size", "stride", "padding", "table"}
    assert "compute" in vars(operation) and "expand" in vars(operation)


@pytest.mark.parametrize("example", [example_1, example_2, twin], ids=lambda each: each.title)
def test_a_recipe_is_plain_data(example):
    for name, operation in example.recipe:
        made_of = [getattr(operation, field.name) for field in dataclasses.fields(operation)]
        assert type(name) is str and all(isinstance(part, (str, int, tuple, type(None))) for part in made_of), \
            f"{name} = {operation}"
        assert operation == type(operation)(*made_of)
