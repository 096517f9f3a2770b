"""The shipped arrays: what they hold, and that a damaged file is refused with a reason."""

import numpy as np
import pytest

from cnnlab.data import DIGITS_8X8, checked, digits_8x8
from cnnlab.places import data_file

SHAPE = (1797, 8, 8)


def test_the_digits_are_split_scaled_and_read_only():
    digits = digits_8x8()
    assert [part.shape for part in digits] == [(1437, 1, 8, 8), (1437,), (360, 1, 8, 8), (360,)]
    assert digits.train_images.min() == 0 and digits.train_images.max() == 1
    assert set(digits.test_labels) == set(range(10))
    with pytest.raises(ValueError, match="read-only"):
        digits.train_images[0, 0, 0, 0] = 1


def spoiled(tmp_path, **changed):
    """The file with some of its arrays changed."""
    with np.load(data_file("digits_8x8.npz")) as stored:
        arrays = {name: stored[name].copy() for name in stored}
    for name, change in changed.items():
        arrays[name] = change(arrays[name])
    np.savez(tmp_path / "spoiled.npz", **arrays)
    return tmp_path / "spoiled.npz"


def one_pixel(images):
    images[5, 0, 0] ^= 1
    return images


@pytest.mark.parametrize("changed, reason", [
    ({"images": lambda images: images[:-1]}, r"holds images \(1796, 8, 8\)"),
    ({"images": lambda images: images * 2}, "at most 16 and 9 are right"),
    ({"labels": lambda labels: labels + 1}, "a label of 10"),
    ({"images": one_pixel}, "its checksum differs"),
])
def test_a_changed_file_is_refused(tmp_path, changed, reason):
    with pytest.raises(ValueError, match=reason):
        checked(spoiled(tmp_path, **changed), SHAPE, 16, DIGITS_8X8)


def test_a_cut_or_foreign_file_is_refused(tmp_path):
    whole = data_file("digits_8x8.npz").read_bytes()
    for name, content in {"cut.npz": whole[:2000], "text.npz": b"no archive", "empty.npz": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            checked(tmp_path / name, SHAPE, 16, DIGITS_8X8)


def test_a_pickle_is_not_opened(tmp_path):
    np.savez(tmp_path / "pickled.npz", images=np.array([{}], object), labels=np.zeros(1))
    with pytest.raises(ValueError, match="damaged.*pickle"):
        checked(tmp_path / "pickled.npz", SHAPE, 16, DIGITS_8X8)
