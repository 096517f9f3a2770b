"""Where the suite's notebooks and data files are, in a checkout and in an installed wheel.

Standard library only, so that every module may import it.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def notebooks_folder() -> Path:
    """The folder that holds the shipped notebooks."""
    return _folder("notebooks")


def data_folder() -> Path:
    """The folder that holds the shipped data files."""
    return _folder("data")


def notebooks() -> list[Path]:
    """The shipped notebooks, in reading order."""
    return sorted(notebooks_folder().glob("[0-9][0-9]_*.ipynb"))


def data_file(name: str) -> Path:
    """The path of one shipped data file; FileNotFoundError if there is none of that name."""
    path = data_folder() / name
    if not path.is_file():
        raise FileNotFoundError(f"no data file named {name!r} in {data_folder()}")
    return path


def is_checkout() -> bool:
    """Whether the notebooks are those of a checkout, and not of an installed wheel."""
    return notebooks_folder().parent != PACKAGE


def _folder(name: str) -> Path:
    """PACKAGE/_name in a wheel (see force-include in pyproject.toml), else the checkout's name/."""
    packed = PACKAGE / f"_{name}"
    return packed if packed.is_dir() else PACKAGE.parent / name
