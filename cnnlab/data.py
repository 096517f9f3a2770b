"""The arrays in data/, checked before anybody trains on them; sources and licences in data/README.md."""

import hashlib
from functools import cache
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from .places import data_file

DIGITS_8X8 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"  # SHA-256 of the pixels, then the labels
TRAIN = 1437  # of 1,797: the first four fifths train, the rest tests


class Digits(NamedTuple):
    """Pictures (N, 1, 8, 8) with cells from 0 to 1, and labels (N,) from 0 to 9, split for good."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@cache
def digits_8x8() -> Digits:
    """The UCI digits, 1,437 to train on and 360 to test on, read-only. Raises ValueError for a damaged file."""
    images, labels = checked(data_file("digits_8x8.npz"), (1797, 8, 8), 16, DIGITS_8X8)
    pictures = images[:, None] / 16
    parts = pictures[:TRAIN], labels[:TRAIN], pictures[TRAIN:], labels[TRAIN:]
    for part in parts:
        part.setflags(write=False)
    return Digits(*parts)


def checked(path, shape, brightest, checksum) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a file, never unpickled. Raises ValueError that says what is wrong with it."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as problem:
        raise ValueError(f"{path.name} is damaged: {problem!r}") from problem
    if images.shape != shape or labels.shape != shape[:1]:
        raise ValueError(f"{path.name} holds images {images.shape} and labels {labels.shape}, not {shape} and {shape[:1]}")
    if images.max() > brightest or labels.max() > 9:
        raise ValueError(f"{path.name} holds a pixel of {images.max()} or a label of {labels.max()}: at most {brightest} and 9 are right")
    if hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() != checksum:
        raise ValueError(f"{path.name} is not the file that was shipped: its checksum differs")
    return images, labels
