"""The benchmark of training runs, has a row for every side and refuses one that takes other steps. No times here."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training_speed import (BARE, INSTALL, LAYOUTS, NEEDS, NETWORKS, OURS, PLAIN, SIDES, agreed,
                                  convolution_lines, installed, plan, products)

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_PEERS = ("import runpy, sys; sys.modules['torch'] = sys.modules['jax'] = None; "
                 "sys.argv[1:] = ['--quick']; runpy.run_module('tests.training_speed', run_name='__main__')")


def quick(*command) -> list[str]:
    """The lines that a short run of the benchmark prints, which starts only if all sides agree."""
    return subprocess.check_output([sys.executable, *command], cwd=ROOT, text=True).splitlines()


def rows(lines, name) -> list[str]:
    """What the tables print behind the name of a side."""
    return [line.removeprefix(f"{name} ").strip() for line in lines if line.startswith(f"{name} ")]


def test_every_side_has_a_row():
    lines = quick("-m", "tests.training_speed", "--quick", "--network", "small_cnn")
    for name in SIDES:
        (row,) = rows(lines, name)
        assert (len(row.split()) == 6 and float(row.split()[0]) > 0) if installed(name) else row == INSTALL
    costs = [line for line in lines if line.startswith("recording costs")]
    assert len(costs) == 2 and PLAIN in costs[0] and BARE in costs[1]
    convolutions = [line.split() for line in lines if "forward, kernel gradient" in line]
    assert len(convolutions) == 2 and all(float(ratio) > 0 for row in convolutions for ratio in row[-len(LAYOUTS):])


def test_peers_that_are_missing_are_named_in_every_table():
    lines = quick("-c", WITHOUT_PEERS)
    for name in SIDES:
        found = rows(lines, name)
        assert len(found) == len(NETWORKS) and all((row == INSTALL) == (name in NEEDS) for row in found), name


@pytest.fixture(scope="module", params=NETWORKS)
def numbers(request):
    """A network with four pictures."""
    return plan(NETWORKS[request.param], 4)


def numpy_sides(numbers):
    return {name: build(numbers) for name, build in SIDES.items() if name not in NEEDS}


def test_all_sides_in_numpy_take_the_same_steps(numbers):
    sides = numpy_sides(numbers)
    before = sides[OURS][1]().copy()
    agreed(sides)
    for name, (_, kernel) in sides.items():
        assert kernel().dtype == np.float32
        np.testing.assert_allclose(kernel(), sides[OURS][1](), rtol=1e-4, atol=1e-6, err_msg=name)
    assert np.abs(kernel() - before).max() > 1e-4  # or no step was taken


def test_recording_changes_no_number(numbers):
    sides = numpy_sides(numbers)
    for _ in range(3):
        assert sides[OURS][0]() == sides[PLAIN][0]() == sides[BARE][0]()
    for name in PLAIN, BARE:
        assert np.array_equal(sides[OURS][1](), sides[name][1]())


@pytest.mark.parametrize("loss, kernel", [(1.01, 1), (1, 1.01)])
def test_a_side_that_takes_other_steps_is_refused_by_name(numbers, loss, kernel):
    sides = numpy_sides(numbers)
    step, read = sides[BARE]
    with pytest.raises(SystemExit, match=f"^{BARE} takes other steps than {OURS}: losses"):
        agreed(sides | {BARE: (lambda: loss * step(), lambda: kernel * read())})


def test_products_are_those_that_a_convolution_needs_and_the_first_has_no_gradient_of_its_image(numbers):
    counts = []
    for kernel, positions, count, _ in convolution_lines(numbers):
        counts.append(count)
        outputs, weights = len(numbers.parameters[kernel]), numbers.parameters[kernel][0].size
        sizes = [outputs * positions, outputs * weights, weights * positions]
        for call in products(numbers.parameters[kernel], positions, 4, count).values():
            assert [out.size in (size, 4 * size) for out, size in zip(call(), sizes)] == [True] * count
    assert counts == [2, 3]
