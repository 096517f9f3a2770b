"""The arrays in data/, checked before anybody trains on them; sources and licences in data/README.md."""

import hashlib
from functools import cache
from io import BytesIO
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np

from .places import data_file


class Shipped(NamedTuple):
    """What a file must hold to be the one that was shipped, and how many of its pictures train."""

    title: str
    file: str
    shape: tuple[int, int, int]  # of its images
    brightest: int  # the highest value that a pixel can have
    train: int  # the first so many train, the rest tests
    checksum: str  # SHA-256 of the pixels, then the labels


DIGITS_8X8 = Shipped("UCI digits, 8×8", "digits_8x8.npz", (1797, 8, 8), 16, 1437,
                     "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826")
MNIST_5K = Shipped("MNIST, 28×28", "mnist_5k.npz", (5000, 28, 28), 255, 4000,
                   "909f44b10aa890920c5cb0cfa436b3dfe5a8081f5f9b76f923f5c9a464e36648")


class Digits(NamedTuple):
    """Pictures (N, 1, rows, columns) with cells from 0 to 1, and whole labels (N,) from 0 to 9, split for good."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    title: str = "Digits"


def digits_8x8(dtype=np.float64) -> Digits:
    """The UCI digits, 1,437 to train on and 360 to test on, read-only. Raises ValueError for a damaged file."""
    return split(DIGITS_8X8, floating(dtype))


def mnist(dtype=np.float32) -> Digits:
    """5,000 digits of MNIST, 4,000 to train on and 1,000 to test on, read-only. Raises ValueError for a damaged file.

    All are from MNIST's training set, so a score on these 1,000 is not one on MNIST's own test set.
    """
    return split(MNIST_5K, floating(dtype))


def floating(dtype) -> np.dtype:
    """The dtype that is meant. Raises ValueError where cells from 0 to 1 would lose all that lies between."""
    dtype = np.dtype(dtype)
    if not np.issubdtype(dtype, np.floating):
        raise ValueError(f"pictures have cells from 0 to 1: {dtype} cannot hold them, float32 and float64 can")
    return dtype


@cache
def split(shipped, dtype) -> Digits:
    """The digits of a shipped file as one read-only set a dtype, however often they are asked for."""
    images, labels = checked(data_file(shipped.file), shipped)
    pictures = images[:, None].astype(dtype) / dtype.type(shipped.brightest)
    labels = labels.astype(int)  # an 8-bit label would wrap around in a learner's arithmetic
    for array in (pictures, labels):
        array.setflags(write=False)  # before it is cut: a part of an array that can be written could be unlocked
    train, test = slice(shipped.train), slice(shipped.train, None)
    return Digits(pictures[train], labels[train], pictures[test], labels[test], shipped.title)


# ---- is it the file that was shipped? ------------------------------------------------------


def checked(path, shipped) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a file, never unpickled. Raises ValueError with one sentence on what is wrong with it."""
    content = path.read_bytes()  # not tried below: a file that cannot be opened is not a damaged one
    try:
        arrays = unpacked(content)
    except Exception as problem:  # one flipped bit can raise nearly any: zlib.error, NotImplementedError, RuntimeError, ...
        raise ValueError(f"{path.name} is damaged: {unreadable(content, problem)}") from problem
    if wrong := difference(arrays, shipped):
        raise ValueError(f"{path.name} is damaged: {wrong}")
    return arrays["images.npy"], arrays["labels.npy"]


def unpacked(content) -> dict[str, np.ndarray]:
    """Every array in the bytes of an .npz file, by its name there. Raises whatever reading them raises."""
    with ZipFile(BytesIO(content)) as archive:  # each is read as a whole: zipfile compares the CRC only at the end
        members = {name: archive.read(name) for name in archive.namelist()}
    return {name: np.lib.format.read_array(BytesIO(member), allow_pickle=False) for name, member in members.items()}


def unreadable(content, problem) -> str:
    """Why no arrays can be read from these bytes, on one short line."""
    if not content:
        return "it is empty"
    if not content.startswith(b"PK"):
        return "it is no zip archive"
    if b"PK\5\6" not in content[:-18]:  # a zip archive ends with a record that starts so, of 22 bytes or more
        return "its end is missing"
    reason = " ".join(f"{type(problem).__name__} {problem}".split())
    return f"it cannot be read ({reason[:150]})"  # zipfile may quote thousands of damaged bytes


def difference(arrays, shipped) -> str:
    """In what the arrays of a file differ from the shipped ones; an empty text if in nothing."""
    if set(arrays) != {"images.npy", "labels.npy"}:
        return f"it holds {', '.join(sorted(map(repr, arrays))) or 'nothing'}, not 'images.npy' and 'labels.npy'"
    images, labels = arrays["images.npy"], arrays["labels.npy"]
    expected = ("images", images, shipped.shape, shipped.brightest), ("labels", labels, shipped.shape[:1], 9)
    for name, array, shape, highest in expected:
        if array.dtype != np.uint8:
            return f"its {name} are {array.dtype}, not uint8"
        if array.shape != shape:
            return f"its {name} have the shape {array.shape}, not {shape}"
        if array.max() > highest:
            return f"its {name} go up to {array.max()}, and {highest} is the highest that is right"
    same = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() == shipped.checksum
    return "" if same else "its pixels or labels are not those that were shipped: the SHA-256 differs"
