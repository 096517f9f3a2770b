"""A skipped or an expectedly failing test, a skipped module, and a skipped notebook cell are failures."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
PYTEST = [sys.executable, *"-m pytest -p no:cacheprovider -p nbval.plugin --nbval --nbval-current-env".split()]
PASSES = "def test_passes(): pass\n"


def outcome(folder, test, allowed="{}"):
    """What pytest prints last for a file with this test under the suite's own conftest."""
    (folder / "tests").mkdir()
    conftest = CONFTEST.replace("str] = {}", f"str] = {allowed}")
    (folder / "tests" / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "tests" / "test_it.py").write_text(f"import pytest\n{test}", encoding="utf-8")
    where = ["-c", "none.ini", "--rootdir=.", "tests", *folder.glob("*.ipynb")]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    (folder / "none.ini").write_text("[pytest]\n")
    done = subprocess.run([*PYTEST, *where], cwd=folder, env=alone, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_passing_test_passes(tmp_path):
    code, said = outcome(tmp_path, PASSES)
    assert code == 0 and "1 passed" in said


def test_a_skip_in_a_test_fails_with_its_reason(tmp_path):
    tests = [
        "@pytest.mark.skip(reason='reason 1')\ndef test_1(): pass",
        "@pytest.mark.skipif(True, reason='reason 2')\ndef test_2(): pass",
        "def test_3(): pytest.skip('reason 3')",
        "@pytest.fixture\ndef none(): pytest.skip('reason 4')\ndef test_4(none): pass",
        "@pytest.mark.xfail(reason='reason 5')\ndef test_5(): assert False",
        "def test_6(): pytest.xfail('reason 6')",
    ]
    code, said = outcome(tmp_path, "\n".join([PASSES, *tests]))
    assert code == 1
    assert all(f"reason {number}" in said for number in range(1, 7))
    assert "3 failed, 1 passed, 3 errors" in said.splitlines()[-1]  # marks skip before the test itself


def test_a_skipped_module_fails_with_its_reason(tmp_path):
    code, said = outcome(tmp_path, "pytest.importorskip('no_such_module', reason='some reason')")
    assert code != 0
    assert "some reason" in said and "1 error" in said.splitlines()[-1]


def test_a_skipped_notebook_cell_fails(tmp_path):
    cell = new_code_cell("# NBVAL_SKIP\n1 + 1", execution_count=1)
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    code, said = outcome(tmp_path, PASSES)
    assert code != 0 and "1 failed, 1 passed" in said


def test_an_allowed_skip_is_a_skip(tmp_path):
    code, said = outcome(tmp_path, PASSES + "def test_it(): pytest.skip()", "{'test_it.py::test_it': 'why not'}")
    assert code == 0 and "1 passed, 1 skipped" in said
