"""Are these the pictures and labels that a network reads, and are they the same as before?"""

from hashlib import sha256

import numpy as np


LARGEST = 10  # a cell further from 0 was not scaled: grays go to 255, the UCI digits to 16; standardized ones to some 4


def faults(names, images, labels, network, classes):
    """What is wrong with the pictures and their labels, in words and under these names; nothing where they are right."""
    if not isinstance(images, np.ndarray) or images.dtype.kind != "f":
        yield f"{names[0]} is {kind(images)}, give an array of float32 or float64, with cells from 0 to 1"
    elif images.shape[1:] != network.picture:
        yield f"{network.title} reads pictures {network.picture}, {names[0]} has the shape {images.shape}"
    elif not np.isfinite(images).all():
        yield f"{names[0]} has cells that are no finite numbers"
    elif np.abs(images).max(initial=0) > LARGEST:
        yield f"{names[0]} goes from {images.min():g} to {images.max():g}: scale it, so that cells go from 0 to 1"
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        yield f"{names[1]} is {kind(labels)}, give an array of whole numbers"
    elif labels.shape != np.shape(images)[:1] or not len(labels):
        yield (f"{names[1]} has the shape {labels.shape} and {names[0]} {np.shape(images)}: give one label a picture, "
               "and one picture at least")
    elif not 0 <= labels.min() <= labels.max() < classes:
        yield f"{names[1]} goes from {labels.min()} to {labels.max()}, the network tells {classes} classes from 0 on"


def kind(thing) -> str:
    return f"an array of {thing.dtype}" if isinstance(thing, np.ndarray) else f"no array but a {type(thing).__name__}"


def fingerprint(digits) -> str:
    """SHA-256 of the pictures as they are trained, and of the labels: a saved run goes on with the same ones only."""
    made = sha256()
    for part in (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels):
        part = np.asarray(part, np.float32 if part.ndim > 1 else np.int64)
        made.update(f"{part.shape}".encode() + part.tobytes())
    return made.hexdigest()
