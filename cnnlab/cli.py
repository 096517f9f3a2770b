"""The console command `cnnlab`: open, copy, list, audit and check the suite."""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

from cnnlab import __version__, places

LEARNERS_FOLDER = "my-cnnlab"
SHOWN_FAILURE_LINES = 20
WRONG_TAGS = ("failure", "error")
SHOWN_PACKAGES = ("numpy", "matplotlib", "jupyterlab", "ipykernel", "ipywidgets", "anywidget")


class CannotDo(Exception):
    """What was asked for cannot be done; the message is for the person who asked."""


def main(arguments=None) -> int:
    """Run one command; returns 0 if all is well, 1 if it found a problem, 2 if it could not run."""
    ours, for_jupyter = split_at_dashes(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(ours)
    options.for_jupyter = for_jupyter
    sys.stdout.reconfigure(errors="replace")  # a terminal without ✓ shows ? and goes on
    try:
        code = options.command(options)
        sys.stdout.flush()  # here, where a closed pipe is still ours to handle
        return code
    except CannotDo as problem:
        print(f"cnnlab: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `cnnlab list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def split_at_dashes(arguments):
    """The arguments before a lone `--`, and those after it, which are JupyterLab's."""
    if "--" not in arguments:
        return list(arguments), []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


# ---- the options ----------------------------------------------------------------------------


def parser():
    """Every command with its options and an example."""
    top = argparse.ArgumentParser(
        prog="cnnlab",
        description="Live notebooks that show every number inside a convolutional network.",
        epilog="Exit codes: 0 all is well, 1 a problem was found, 2 the command could not run. "
        "Example: cnnlab open",
    )
    top.add_argument("--version", action="version", version=f"cnnlab {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (add_open, add_copy, add_list, add_audit, add_check):
        add(commands)
    return top


def add_command(commands, run, name, promise, example, more=""):
    """One command, whose help begins with its promise and ends with an example."""
    command = commands.add_parser(
        name, help=promise, description=f"{promise}. {more}", epilog=f"Example: {example}"
    )
    command.set_defaults(command=run)
    return command


def add_open(commands):
    command = add_command(
        commands,
        open_suite,
        "open",
        "open the suite in JupyterLab",
        "cnnlab open lesson-1 --notebook 2 -- --ServerApp.open_browser=False",
        "The notebooks are first copied to FOLDER and opened there, so that what a learner "
        "answers and changes stays the learner's own: an update of the suite does not clash "
        "with it, and the originals stay what they were. A file that is there already is never "
        "overwritten. Arguments after -- go to JupyterLab as they are.",
    )
    add_folder(command, nargs="?", default=None)
    command.add_argument("--notebook", metavar="NAME", help="open this one first: name or number")
    command.add_argument("--port", type=port, help="the server's port (default: the first free)")
    command.add_argument("--no-browser", action="store_true", help="only start the server")
    command.add_argument(
        "--in-place",
        action="store_true",
        help="for authors: open a checkout's own notebooks/ and copy nothing",
    )


def add_copy(commands):
    command = add_command(
        commands,
        copy_suite,
        "copy",
        "copy the notebooks to a folder, overwriting nothing",
        "cnnlab copy lesson-1",
        "Says which files were there already, and which of those differ from the suite's.",
    )
    add_folder(command)


def add_list(commands):
    add_command(
        commands, list_suite, "list", "list the notebooks, each with its question", "cnnlab list"
    )


def add_audit(commands):
    command = add_command(
        commands,
        audit_documents,
        "audit",
        "recompute the figures that the documents print",
        "cnnlab audit --document D2 --html audit.html",
        "Exit code 1 only if a verdict is not the expected one; that the documents print wrong "
        "figures is expected.",
    )
    command.add_argument("--html", metavar="FILE", help="also write the table to this HTML file")
    command.add_argument("--document", metavar="ID", help="only this document, such as D2")


def add_check(commands):
    command = add_command(
        commands,
        check_suite,
        "check",
        "run notebooks from top to bottom and compare every output with the stored one",
        f"cnnlab check {LEARNERS_FOLDER}",
        "Each notebook runs in a fresh kernel. Says first what is installed and whether a kernel "
        "starts. Without an argument it checks the suite's own notebooks.",
    )
    command.add_argument("paths", nargs="*", metavar="PATH", help="notebooks, or folders of them")


def add_folder(command, **how):
    """The folder of the learner's own copies."""
    command.add_argument(
        "folder",
        metavar="FOLDER",
        help=f"where the learner's copies are (default: ./{LEARNERS_FOLDER})"
        if how
        else "where the copies go",
        **how,
    )


def port(text):
    """A port number from 1 to 65535."""
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number from 1 to 65535")
    return int(text)


def version(package):
    """The installed version of a package, or 'not installed'."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


# ---- open and copy --------------------------------------------------------------------------


def open_suite(options) -> int:
    """Copy the notebooks if they are to be copied, then start JupyterLab on them."""
    first = chosen_notebook(options.notebook)
    refuse_taken_port(options.port)
    folder = in_place_folder(options) if options.in_place else learners_folder(options)
    start_jupyterlab(lab_arguments(folder, first, options) + options.for_jupyter)
    return 0


def in_place_folder(options):
    """The checkout's own notebooks, for an author."""
    if options.folder:
        raise CannotDo("--in-place opens the checkout's own notebooks; leave FOLDER out")
    if not places.is_checkout():
        raise CannotDo("--in-place needs a checkout; this cnnlab is installed from a wheel")
    return places.notebooks_folder()


def learners_folder(options):
    """The folder of the learner's copies, filled."""
    folder = Path(options.folder or LEARNERS_FOLDER)
    report_copies(folder, copy_notebooks(folder))
    return folder


def copy_suite(options) -> int:
    """Copy the notebooks and say what was copied and what was kept."""
    folder = Path(options.folder)
    report_copies(folder, copy_notebooks(folder))
    return 0


def copy_notebooks(folder):
    """Copy each notebook that is not there yet; returns [(name, what was done)]."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [(source.name, copy_one(source, folder)) for source in suite()]
    except OSError as problem:
        raise CannotDo(f"cannot write to the folder {folder}: {problem.strerror}") from problem


def copy_one(source, folder):
    """Copy one notebook unless a file of its name is there; says which."""
    target = folder / source.name
    try:
        with target.open("xb") as file:  # x: fails, rather than overwrites, if it is there
            file.write(source.read_bytes())
    except FileExistsError:
        return "kept" if same_cells(source, target) else "kept; it differs from the suite's"
    trust(target)
    return "copied"


def same_cells(one, other) -> bool:
    """Whether two notebooks hold the same texts and code, whatever their outputs."""
    return cell_sources(one) == cell_sources(other)


def cell_sources(path):
    """[(cell type, source)] of a notebook, or None if it cannot be read as one."""
    import nbformat

    try:
        cells = nbformat.read(path, as_version=4).cells
        return [(cell.cell_type, cell.source) for cell in cells]
    except Exception:  # whatever is wrong with it: it is not the suite's
        return None


def trust(path):
    """Sign our own copy, so that JupyterLab shows its stored figures before it is run."""
    import nbformat
    from nbformat.sign import NotebookNotary

    with suppress(OSError):  # without a home folder the copy is just not trusted
        NotebookNotary().sign(nbformat.read(path, as_version=4))


def report_copies(folder, copies):
    """Print what was done with each notebook, and how to get a fresh copy of one."""
    width = max(len(name) for name, _ in copies)
    print(f"Notebooks in {folder}:")
    for name, done in copies:
        print(f"  {name:{width}}  {done}")
    if any("differs" in done for _, done in copies):
        print("A file that differs is your work, or comes from another version of the suite.")
        print("To get the suite's own beside it: cnnlab copy ANOTHER-FOLDER")


def chosen_notebook(choice):
    """The name of the notebook with this name or number; the first one if there is no choice."""
    names = [path.name for path in suite()]
    if choice is None:
        return names[0]
    number = f"{int(choice):02d}_" if choice.isdecimal() else None
    found = [name for name in names if fits(name, choice, number)]
    if len(found) != 1:
        raise CannotDo(f"no single notebook is called {choice!r}; there are: {', '.join(names)}")
    return found[0]


def fits(name, choice, number):
    """Whether a file name begins with the number, or is the choice, with or without .ipynb."""
    return name.startswith(number) if number else name in (choice, f"{choice}.ipynb")


def suite():
    """The shipped notebooks; CannotDo if the installation holds none."""
    found = places.notebooks()
    if not found:
        raise CannotDo(f"no notebooks in {places.notebooks_folder()}: reinstall cnnlab")
    return found


def refuse_taken_port(number):
    """CannotDo if another program listens on the port that was asked for."""
    if number is None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name != "nt")
        try:
            probe.bind(("localhost", number))
        except OSError as problem:
            hint = "choose another with --port, or leave --port out"
            raise CannotDo(f"port {number}: {problem.strerror.lower()}; {hint}") from problem


NOTHING_FROM_OUTSIDE = [  # JupyterLab would look for news and for a newer version of itself
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
]


def lab_arguments(folder, first, options):
    """JupyterLab's own arguments for opening one notebook of a folder."""
    return [
        f"--ServerApp.root_dir={folder.resolve()}",
        f"--LabApp.default_url=/lab/tree/{first}",
        "--ServerApp.jpserver_extensions={'cnnlab.fastsocket': True}",
        *NOTHING_FROM_OUTSIDE,
        *(port_arguments(options.port) if options.port else []),
        *(["--no-browser"] if options.no_browser else []),
        *(["--allow-root"] if runs_as_root() else []),
    ]


def port_arguments(number):
    """JupyterLab's own arguments for this port and no other."""
    return [f"--ServerApp.port={number}", "--ServerApp.port_retries=0"]


def runs_as_root() -> bool:
    """Whether this is root, as in a container: JupyterLab then wants to be told."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def start_jupyterlab(arguments):
    """Run JupyterLab in this process until it is shut down."""
    # A kernel of the same name in the home folder must not stand in for this environment's.
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    try:
        from jupyterlab.labapp import LabApp
    except ImportError as problem:
        raise CannotDo(f"JupyterLab does not load ({problem}): reinstall cnnlab") from problem
    LabApp.launch_instance(arguments)


# ---- list and audit -------------------------------------------------------------------------


def list_suite(options) -> int:
    """Print number, title and question of each notebook, a line each."""
    rows = [(path.name[:2], *title_and_question(path)) for path in suite()]
    width = max(len(title) for _, title, _ in rows)
    for number, title, question in rows:
        print(f"{int(number):2d}  {title:{width}}  {question}".rstrip())
    return 0


def title_and_question(path):
    """A notebook's first heading, and the first question in its texts after that."""
    texts = "\n".join(source for kind, source in cell_sources(path) or [] if kind == "markdown")
    heading = re.search(r"^#\s+(.+)$", texts, re.MULTILINE)
    if not heading:
        return path.stem, ""
    question = re.search(r"[^.!?\n]*\w\?", plain(texts[heading.end() :]))
    return plain(heading[1]).strip(), question[0].strip() if question else ""


def plain(text):
    """Markdown without its marks for headings, stress and code."""
    return re.sub(r"^#+\s*|[*`]", "", text, flags=re.MULTILINE)


def audit_documents(options) -> int:
    """Print the audit of the documents' figures; 1 if a verdict is not the expected one."""
    report = audit_of(options.document)
    print(report.text)
    if options.html:
        write_page(Path(options.html), report.html)
    for surprise in report.surprises:
        print(f"not the expected verdict: {surprise}", file=sys.stderr)
    return 1 if report.surprises else 0


def audit_of(document):
    """The audit of one document, or of all of them."""
    from cnnlab import documents

    try:
        return documents.audit(document) if document else documents.audit()
    except (ValueError, LookupError) as problem:
        raise CannotDo(problem.args[0] if problem.args else f"no document {document}") from problem


def write_page(path, html):
    """Write the audit's table as a page of its own; CannotDo if the file cannot be written."""
    head = '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Audit of the documents</title>\n'
    try:
        path.write_text(f"{head}{html}\n</html>\n", encoding="utf-8")
    except OSError as problem:
        raise CannotDo(f"cannot write {path}: {problem.strerror}") from problem


# ---- check ----------------------------------------------------------------------------------


def check_suite(options) -> int:
    """Print what is installed, then run each notebook; 1 if anything does not work."""
    notebooks = notebooks_to_check(options.paths)
    good = check_environment() and all([check_notebook(path) for path in notebooks])
    print("All is well." if good else "A problem was found.")
    return 0 if good else 1


def notebooks_to_check(paths):
    """The notebooks named, and those in the folders named; the suite's own if none is named."""
    if not paths:
        return suite()
    return [notebook for path in paths for notebook in notebooks_at(Path(path))]


def notebooks_at(path):
    """One notebook, or those of a folder in order of name."""
    found = sorted(path.glob("*.ipynb")) if path.is_dir() else [path]
    if not found:
        raise CannotDo(f"no notebooks in {path}")
    if not all(notebook.is_file() and notebook.suffix == ".ipynb" for notebook in found):
        raise CannotDo(f"{path} is neither a notebook nor a folder of notebooks")
    return found


def check_environment() -> bool:
    """Print the versions that matter, and whether a kernel starts and finds this cnnlab."""
    print(f"{'Python':12} {sys.version.split()[0]} ({sys.executable})")
    print(f"{'cnnlab':12} {__version__} ({places.PACKAGE})")
    for package in SHOWN_PACKAGES:
        print(f"{package:12} {version(package)}")
    began = time.perf_counter()
    problem = kernel_problem()
    print(f"{'kernel':12} {problem or f'starts in {time.perf_counter() - began:.1f} s'}")
    return problem is None


def kernel_problem():
    """Why a kernel cannot start or cannot import this cnnlab; None if it can."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    here = str(places.PACKAGE)
    code = f"import os, cnnlab\nassert os.path.samefile(os.path.dirname(cnnlab.__file__), {here!r})"
    notebook = new_notebook(cells=[new_code_cell(code)])
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    try:
        NotebookClient(notebook, kernel_name="python3", timeout=60).execute(stderr=subprocess.DEVNULL)
    except Exception as problem:  # whatever it is, it is the answer to the question
        last_line = (str(problem).strip() or type(problem).__name__).splitlines()[-1]
        return "does not work: " + re.sub(r"\x1b\[\d*m", "", last_line)  # without its colours
    return None


def check_notebook(path) -> bool:
    """Run one notebook under strict nbval, and print its line and what failed in it."""
    if cell_sources(path) is None:
        print(f"{path.name}: FAILED, it cannot be read as a notebook")
        return False
    began = time.perf_counter()
    cells, failures = run_nbval(path)
    verdict = f"{len(failures)} of {cells} cells FAILED" if failures else f"ok, {cells} cells"
    print(f"{path.name}: {verdict}, {time.perf_counter() - began:.1f} s", flush=True)
    for name, message in failures:
        print(f"  {name}")
        print("\n".join(f"    {line}" for line in message.splitlines()[:SHOWN_FAILURE_LINES]))
    return not failures


def run_nbval(path):
    """(how many cells ran, [(cell, what is wrong with it)]) of one notebook in a fresh kernel."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        done = subprocess.run(nbval_command(path, report), capture_output=True, text=True)
        if not report.exists():
            return 1, [("nbval", done.stdout + done.stderr)]
        return read_report(report)


def nbval_command(path, report):
    """pytest with strict nbval on one notebook, whatever pytest's settings around it say."""
    nbval = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"]
    settings = ["-c", os.devnull, f"--rootdir={path.parent}", "-p", "no:cacheprovider", "--color=no"]
    return [sys.executable, "-m", "pytest", *nbval, *settings, f"--junit-xml={report}", str(path)]


def read_report(report):
    """(how many cells ran, [(cell, what is wrong with it)]) from pytest's JUnit file."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = [(case.get("name"), found.text) for case in cases for found in case if found.tag in WRONG_TAGS]
    return len(cases), failures if cases else [("nbval", "no cell ran")]
