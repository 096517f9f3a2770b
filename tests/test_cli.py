"""The console command: what it copies, opens, lists, audits and checks, and how it says no."""

import json
import os
import re
import socket
import subprocess
import sys
from types import SimpleNamespace
from urllib.request import urlopen

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import cnnlab
from cnnlab import cli, places
from tests.browser.lab import Server, free_port, own_home, wait_for

COMMANDS = ["open", "copy", "list", "audit", "check"]
FIRST, SECOND = "01_add_two_numbers.ipynb", "02_add_three_numbers.ipynb"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """No test reads or writes the user's settings or the checkout."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A suite of two notebooks, as in a checkout; returns their folder."""
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "checkout" / "cnnlab")
    folder = tmp_path / "checkout" / "notebooks"
    folder.mkdir(parents=True)
    nbformat.write(notebook("1 + 1", "2"), folder / FIRST)
    nbformat.write(notebook("1 + 1 + 1", "3"), folder / SECOND)
    return folder


@pytest.fixture
def started(monkeypatch):
    """What JupyterLab would be started with, instead of starting it."""
    calls = []
    monkeypatch.setattr(cli, "start_jupyterlab", calls.append)
    return calls


def notebook(source, shown):
    """A heading, a question, and one executed cell."""
    result = new_output("execute_result", {"text/plain": shown}, execution_count=1)
    cell = new_code_cell(source, execution_count=1, outputs=[result])
    text = f"# Add numbers\nYou will add.\n\n## Question\nWhat is **{source}**? Think first."
    return new_notebook(cells=[new_markdown_cell(text), cell])


def edit(path, change):
    """Change a stored notebook in place."""
    stored = nbformat.read(path, as_version=4)
    change(stored)
    nbformat.write(stored, path)


# ---- help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert re.search(rf"Example: cnnlab {command}\b", shown)


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(re.search(rf"^ +{command} ", shown, re.MULTILINE) for command in COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"cnnlab {cnnlab.__version__}\n"


@pytest.mark.parametrize("wrong", [[], ["fly"], ["copy"], ["open", "--port", "0"], ["open", "--port", "x"]])
def test_bad_usage_is_exit_code_2(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(wrong)
    assert ended.value.code == 2
    assert "usage: cnnlab" in capsys.readouterr().err


def refused(arguments, capsys):
    """The one line with which a command says that it cannot do this."""
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("cnnlab: ") and said.count("\n") == 1
    return said


# ---- copy -----------------------------------------------------------------------------------


def test_copy_copies_every_notebook_as_it_is(suite, tmp_path, capsys):
    assert cli.main(["copy", "deep/mine"]) == 0
    for name in (FIRST, SECOND):
        assert (tmp_path / "deep/mine" / name).read_bytes() == (suite / name).read_bytes()
    assert capsys.readouterr().out.count("copied") == 2


def test_copy_never_overwrites_a_learners_work(suite, tmp_path, capsys):
    cli.main(["copy", "mine"])
    changed, broken = tmp_path / "mine" / FIRST, tmp_path / "mine" / SECOND
    edit(changed, lambda stored: stored.cells[1].update(source="2 + 2"))
    broken.write_text("not a notebook")
    before = changed.read_bytes()
    capsys.readouterr()
    assert cli.main(["copy", "mine"]) == 0
    assert changed.read_bytes() == before
    assert broken.read_text() == "not a notebook"
    assert capsys.readouterr().out.count("kept; it differs") == 2


def test_copy_does_not_call_a_rerun_notebook_different(suite, tmp_path, capsys):
    cli.main(["copy", "mine"])
    edit(tmp_path / "mine" / FIRST, lambda stored: stored.cells[1].update(outputs=[], execution_count=7))
    capsys.readouterr()
    cli.main(["copy", "mine"])
    said = capsys.readouterr().out
    assert said.count("kept") == 2 and "differs" not in said


def test_copies_are_trusted_so_that_stored_figures_show(suite, tmp_path):
    cli.main(["copy", "mine"])
    notary = nbformat.sign.NotebookNotary()
    assert notary.check_signature(nbformat.read(tmp_path / "mine" / FIRST, as_version=4))


def test_copies_are_made_where_they_cannot_be_signed(suite, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file" / "below"))
    assert cli.main(["copy", "mine"]) == 0
    assert capsys.readouterr().out.count("copied") == 2 and (tmp_path / "mine" / SECOND).exists()


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_copy_to_where_no_folder_can_be_is_refused_in_one_line(folder, suite, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert f"cannot write to the folder {folder}" in refused(["copy", folder], capsys)


def test_an_installation_without_notebooks_says_so(suite, capsys):
    for path in suite.iterdir():
        path.unlink()
    for command in ("list", "open", "check"):
        assert "no notebooks in" in refused([command], capsys)


# ---- open -----------------------------------------------------------------------------------


def test_open_copies_to_the_learners_folder_and_starts_with_the_first(suite, started, tmp_path):
    assert cli.main(["open"]) == 0
    assert (tmp_path / cli.LEARNERS_FOLDER / SECOND).exists()
    (arguments,) = started
    assert f"--ServerApp.root_dir={tmp_path / cli.LEARNERS_FOLDER}" in arguments
    assert f"--LabApp.default_url=/lab/tree/{FIRST}" in arguments
    assert "--ServerApp.jpserver_extensions={'cnnlab.fastsocket': True}" in arguments
    assert set(cli.NOTHING_FROM_OUTSIDE) <= set(arguments)
    assert "--no-browser" not in arguments and not any("port" in argument for argument in arguments)


@pytest.mark.parametrize("choice", ["2", "02", SECOND, SECOND.removesuffix(".ipynb")])
def test_open_finds_a_notebook_by_number_and_by_name(choice, suite, started):
    cli.main(["open", "--notebook", choice])
    assert f"--LabApp.default_url=/lab/tree/{SECOND}" in started[0]


@pytest.mark.parametrize("choice", ["3", "0", "", "02_add", "../x", "²"])
def test_open_refuses_an_unknown_notebook_and_copies_nothing(choice, suite, started, tmp_path, capsys):
    assert FIRST in refused(["open", "--notebook", choice], capsys)
    assert not started and not (tmp_path / cli.LEARNERS_FOLDER).exists()


def test_open_in_place_copies_nothing(suite, started, tmp_path):
    cli.main(["open", "--in-place"])
    assert f"--ServerApp.root_dir={suite}" in started[0]
    assert not (tmp_path / cli.LEARNERS_FOLDER).exists()


def test_open_in_place_is_refused_with_a_folder_and_in_a_wheel(suite, started, capsys):
    assert "leave FOLDER out" in refused(["open", "mine", "--in-place"], capsys)
    suite.rename(places.PACKAGE.parent / "moved")
    places.PACKAGE.mkdir()
    (places.PACKAGE.parent / "moved").rename(places.PACKAGE / "_notebooks")
    assert "needs a checkout" in refused(["open", "--in-place"], capsys)
    assert not started


def test_open_refuses_a_taken_port(suite, started, capsys):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert f"port {number}" in refused(["open", "--port", str(number)], capsys)
    assert not started


def test_open_hands_over_port_browser_and_the_rest(suite, started):
    number = free_port()
    cli.main(["open", "--port", str(number), "--no-browser", "--", "--debug", "--", "-y"])
    assert {f"--ServerApp.port={number}", "--ServerApp.port_retries=0", "--no-browser"} <= set(started[0])
    assert started[0][-3:] == ["--debug", "--", "-y"]


@pytest.mark.parametrize(("user", "told"), [(0, True), (1000, False)])
def test_open_tells_jupyterlab_of_root_only_if_it_is_root(user, told, suite, started, monkeypatch):
    monkeypatch.setattr(cli.os, "geteuid", lambda: user, raising=False)
    cli.main(["open"])
    assert ("--allow-root" in started[0]) is told


@pytest.mark.server
def test_open_serves_the_real_suite(tmp_path):
    number, home = free_port(), tmp_path / "home"
    rest = ["--", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=secret"]
    command = [sys.executable, "-m", "cnnlab", "open", "mine", "--no-browser", "--port", str(number), *rest]
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, env=own_home(home), stdout=output, stderr=output)
    try:
        wait_for(Server(f"http://127.0.0.1:{number}/", "secret", "lab/tree", tmp_path), process, log)
        first = places.notebooks()[0].name
        page = urlopen(f"http://127.0.0.1:{number}/?token=secret")
        assert page.url.startswith(f"http://127.0.0.1:{number}/lab/tree/{first}")
        answer = urlopen(f"http://127.0.0.1:{number}/api/contents/{first}?token=secret")
        cells = json.load(answer)["content"]["cells"]
        assert all(cell["metadata"]["trusted"] for cell in cells if cell["cell_type"] == "code")
        assert "cnnlab.fastsocket | extension was successfully loaded" in log.read_text()
    finally:
        process.terminate()
        process.wait(20)


# ---- list and audit -------------------------------------------------------------------------


def test_list_prints_number_title_and_question(suite, capsys):
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        " 1  Add numbers  What is 1 + 1?",
        " 2  Add numbers  What is 1 + 1 + 1?",
    ]


def test_list_finds_a_title_and_a_question_in_each_of_our_notebooks(capsys):
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(places.notebooks()) > 0
    assert all(re.fullmatch(r"[ \d]\d  \S.*\S  +\S.*\?", line) for line in lines)


def test_list_into_a_closed_pipe_is_silent():
    command = [sys.executable, "-m", "cnnlab", "list"]
    listing = subprocess.Popen(command, cwd=places.PACKAGE.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    listing.stdout.close()
    assert listing.stderr.read() == b""
    assert listing.wait() == 0


def test_audit_on_a_terminal_without_our_signs_goes_on():
    command = [sys.executable, "-m", "cnnlab", "audit"]
    plain = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=places.PACKAGE.parent, env=plain, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def audited(monkeypatch):
    """Documents whose audit the test decides."""

    def audit(document="all"):
        if document not in ("all", "D2"):
            raise ValueError(f"no document {document}; there are: D2")
        return SimpleNamespace(text=f"audit of {document}", html="<table></table>", wrong=1, surprises=surprises)

    surprises = []
    documents = SimpleNamespace(audit=audit)
    monkeypatch.setitem(sys.modules, "cnnlab.documents", documents)
    monkeypatch.setattr(cnnlab, "documents", documents, raising=False)
    return surprises


def test_audit_prints_and_wrong_printed_figures_are_expected(audited, capsys):
    assert cli.main(["audit"]) == 0
    assert capsys.readouterr().out == "audit of all\n"


def test_audit_of_one_document_as_a_page(audited, tmp_path, capsys):
    assert cli.main(["audit", "--document", "D2", "--html", "audit.html"]) == 0
    assert capsys.readouterr().out == "audit of D2\n"
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "<table></table>" in page


def test_audit_fails_on_a_surprise(audited, capsys):
    audited.append("loss after: holds, expected wrong")
    assert cli.main(["audit"]) == 1
    assert "loss after: holds, expected wrong" in capsys.readouterr().err


def test_audit_refuses_an_unknown_document_and_an_unwritable_page(audited, capsys):
    assert "no document D9; there are: D2" in refused(["audit", "--document", "D9"], capsys)
    assert "cannot write no-folder" in refused(["audit", "--html", "no-folder/audit.html"], capsys)


def test_the_real_audit_has_no_surprise(tmp_path, capsys):
    assert cli.main(["audit", "--html", "audit.html"]) == 0
    assert "0.0987" in capsys.readouterr().out
    assert "0.0987" in (tmp_path / "audit.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", ["D2", "no-such"])
def test_the_real_audit_knows_its_documents(document, capsys):
    assert cli.main(["audit", "--document", document]) == (0 if document == "D2" else 2)
    assert "Traceback" not in capsys.readouterr().err


# ---- check ----------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch):
    """The answer to whether a kernel starts, without starting one."""
    answer = SimpleNamespace(problem=None)
    monkeypatch.setattr(cli, "kernel_problem", lambda: answer.problem)
    return answer


@pytest.mark.server
def test_check_passes_notebooks_that_show_what_is_stored(suite, environment, capsys):
    assert cli.main(["check"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^numpy +\d", said, re.MULTILINE)
    assert re.search(r"^kernel +starts in ", said, re.MULTILINE)
    assert f"{FIRST}: ok, 1 cells" in said and f"{SECOND}: ok, 1 cells" in said


@pytest.mark.server
@pytest.mark.parametrize(("source", "reason"), [("1 + 1 + 1", "Cell outputs differ"), ("1 / 0", "ZeroDivisionError")])
def test_check_names_the_cell_that_differs_or_raises(source, reason, suite, environment, capsys):
    edit(suite / FIRST, lambda stored: stored.cells[1].update(source=source))
    assert cli.main(["check", str(suite / FIRST)]) == 1
    said = capsys.readouterr().out
    assert f"{FIRST}: 1 of 1 cells FAILED" in said and "Cell 0" in said and reason in said


def test_check_fails_without_a_kernel_and_runs_nothing(suite, environment, capsys):
    environment.problem = "does not work: no module named ipykernel"
    assert cli.main(["check"]) == 1
    said = capsys.readouterr().out
    assert "no module named ipykernel" in said and FIRST not in said


def test_check_fails_on_an_unreadable_notebook(environment, tmp_path, capsys):
    (tmp_path / "mine.ipynb").write_text("{}")
    assert cli.main(["check", "mine.ipynb"]) == 1
    assert "mine.ipynb: FAILED, it cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["nowhere", "page.txt", "empty"])
def test_check_refuses_what_holds_no_notebook(path, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.txt").write_text("")
    assert path in refused(["check", path], capsys)


@pytest.mark.server
def test_a_kernel_starts_and_another_cnnlab_is_noticed(tmp_path, monkeypatch):
    assert cli.kernel_problem() is None
    monkeypatch.setattr(places, "PACKAGE", tmp_path)
    assert cli.kernel_problem() == "does not work: AssertionError:"
