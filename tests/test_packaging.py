"""What a wheel holds, what the pins pin, and that README, CI and pyproject.toml say the same."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from cnnlab import places

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPEN_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -c .constraints.txt -e . && .venv/bin/cnnlab open"


def read(name):
    """The text of one of the project's files."""
    return (ROOT / name).read_text(encoding="utf-8")


# ---- the wheel ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, built now and unpacked; returns its folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (packed,) = folder.glob("*.whl")
    ZipFile(packed).extractall(folder / "unpacked")
    return folder / "unpacked"


def in_wheel(wheel, *command):
    """What a command prints with the wheel's package and no checkout in reach."""
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    return subprocess.check_output([sys.executable, *command], cwd=wheel.parent, env=environment, text=True)


def test_wheel_holds_every_notebook_and_data_file(wheel):
    for ours, packed in ((places.notebooks_folder(), "_notebooks"), (places.data_folder(), "_data")):
        names = {path.name for path in ours.iterdir() if not path.name.startswith(".")}
        assert names and names <= {path.name for path in (wheel / "cnnlab" / packed).iterdir()}


def test_wheel_holds_the_panels_front_end_and_the_licence(wheel):
    panel = wheel / "cnnlab" / "panel"
    assert all((panel / name).stat().st_size for name in ("panel.js", "panel.css"))
    assert "MIT License" in next(wheel.glob("*.dist-info/licenses/LICENSE")).read_text()


def test_wheel_holds_every_file_of_the_package(wheel):
    ours = [path.relative_to(ROOT) for path in places.PACKAGE.rglob("*") if path.is_file()]
    ours = [path for path in ours if "__pycache__" not in path.parts]
    assert ours and [str(path) for path in ours if not (wheel / path).is_file()] == []


def test_wheel_brings_nothing_beside_the_package(wheel):
    beside = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert beside == {"cnnlab"}  # in particular no jupyter_server_config.d: no server extension is switched on


def test_wheel_lists_and_finds_its_own_notebooks_and_data(wheel):
    listed = in_wheel(wheel, "-m", "cnnlab", "list").splitlines()
    assert len(listed) == len(places.notebooks())
    code = "from cnnlab import places; print(places.data_folder(), places.is_checkout())"
    assert in_wheel(wheel, "-c", code).split() == [str(wheel / "cnnlab" / "_data"), "False"]


def test_wheel_has_the_console_command(wheel):
    assert "cnnlab = cnnlab.cli:main" in next(wheel.glob("*.dist-info/entry_points.txt")).read_text()


# ---- places ---------------------------------------------------------------------------------


def test_places_in_a_checkout():
    assert places.notebooks_folder() == ROOT / "notebooks"
    assert places.data_folder() == ROOT / "data"
    assert places.is_checkout()


def test_data_file_names_what_is_missing():
    present = next(path for path in sorted((ROOT / "data").iterdir()) if path.is_file())
    assert places.data_file(present.name) == present
    with pytest.raises(FileNotFoundError, match="no data file named 'no-such.json'"):
        places.data_file("no-such.json")


def test_places_needs_the_standard_library_alone():
    code = "import runpy, sys; runpy.run_path('cnnlab/places.py'); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-I", "-S", "-c", code], cwd=ROOT, text=True).split()
    outside = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert outside <= {"__main__"}


# ---- pins -----------------------------------------------------------------------------------


PIN = re.compile(r"([A-Za-z0-9._-]+)==([\w.]+)(?: *; *python_version *[<>=]+ *['\"][\d.]+['\"])?")


def pins():
    """{package: version} of .constraints.txt; fails on a line that is anything but a plain pin."""
    lines = read(".constraints.txt").splitlines()
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    found = [PIN.fullmatch(line) for line in lines]
    return {canonicalize_name(match[1]): match[2] for match in found}


def needed(requirement, seen):
    """Add to seen what a requirement installs here, itself and all that it needs in turn."""
    name = canonicalize_name(requirement.name)
    if (name, frozenset(requirement.extras)) in seen:
        return seen
    seen.add((name, frozenset(requirement.extras)))
    for line in metadata.requires(name) or ():
        below = Requirement(line)
        if applies(below, requirement.extras):
            needed(below, seen)
    return seen


def applies(requirement, extras):
    """Whether this interpreter needs it, given the extras that were asked for."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def test_pins_are_plain_and_leave_torch_out():
    assert not {"torch", "cnnlab", "pip", "setuptools"} & set(pins())


def test_everything_that_the_tests_install_is_pinned():
    seen = set()
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]:
        needed(Requirement(line), seen)
    assert len(seen) > 50  # the walk went below the first level
    assert sorted({name for name, _ in seen} - set(pins())) == []


def test_pins_are_within_the_bounds_of_the_project():
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]:
        requirement = Requirement(line)
        assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_pins_can_be_installed_on_every_python_that_the_project_names():
    """From its first release on: Debian 12 has 3.11.2, and a pin that asks for 3.11.5 cannot be installed there."""
    first, refused = PROJECT["requires-python"].removeprefix(">=") + ".0", []
    for name in {name for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"] for name, _ in needed(Requirement(line), set())}:
        asks = metadata.metadata(name)["Requires-Python"]
        if metadata.version(name) == pins()[name] and asks and first not in SpecifierSet(asks):
            refused.append(f"{name} {asks}")
    assert refused == []


def test_project_runs_on_python_3_11_and_has_no_upper_bounds():
    assert PROJECT["requires-python"] == ">=3.11"
    assert not [line for line in PROJECT["dependencies"] if "<" in line or "==" in line]


# ---- README and CI --------------------------------------------------------------------------


def test_ci_runs_the_test_command_of_the_readme():
    (command,) = re.findall(r'^test_command="(.+)"$', read(".ci/run"), re.MULTILINE)
    assert command.endswith(".venv/bin/pytest")
    assert command in code_lines(read("README.md"))


def test_readme_has_the_one_command_that_opens_the_suite():
    assert OPEN_COMMAND in code_lines(read("README.md"))


def code_lines(markdown):
    """The lines of the code blocks of a Markdown text."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def test_ci_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("name", ["pyproject.toml", ".constraints.txt", ".ci/run", ".gitignore"])
def test_files_name_no_address_and_no_place_on_one_machine(name):
    assert not re.findall(r"https?://|file:|/work/|/home/|/root/", read(name))


def test_the_learners_folder_is_not_tracked():
    from cnnlab.cli import LEARNERS_FOLDER

    assert f"/{LEARNERS_FOLDER}/" in read(".gitignore").splitlines()
