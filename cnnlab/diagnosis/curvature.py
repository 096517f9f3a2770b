"""How a loss bends: exact products of its Hessian with a direction, from the recorded gradient.

The gradient is worked out at w + i*tiny*direction; its imaginary part over tiny is the Hessian times the
direction. Nothing is subtracted, so it is exact to rounding (Squire & Trapp 1998). On a kink it is the
curvature of the side to which the direction leads.
"""

import numpy as np

from ..gradients import backward, needed
from ..ledger import replay
from .step import dot

TINY = 1e-30


def gradient_lines(forward, parameters, loss="loss"):
    """The lines that make the gradient of each parameter, and no others."""
    return needed(backward(needed(forward, loss), loss, to=parameters), *(f"d_{name}" for name in parameters))


def hessian_times(forward, values, direction, loss="loss") -> dict:
    """H times direction, for directions given as {parameter: array}: how the gradient changes along it.

    `values` are the arrays of a ledger, or any that hold what the recipe is given.
    """
    lines = gradient_lines(forward, tuple(direction), loss)
    return along(lines, {name: np.asarray(values[name]) for name in lines.given}, direction)


def along(lines, values, direction) -> dict:
    """The derivative of every `d_w` in the direction, by a complex step."""
    largest = max(float(np.abs(way).max()) for way in direction.values())
    if not largest:
        return {name: np.zeros(np.shape(values[name])) for name in direction}
    tiny = TINY / largest
    moved = {name: np.asarray(values[name], float) + 1j * tiny * np.asarray(way) for name, way in direction.items()}
    with np.errstate(under="ignore"):
        made = replay(lines, values | moved)
    return {name: np.imag(made[f"d_{name}"]) / tiny for name in direction}


def sharpness(forward, values, parameters, loss="loss", start=None, most=100, accuracy=1e-4) -> tuple[float, dict]:
    """(the largest eigenvalue of the Hessian, its direction), by power iteration.

    A step of gradient descent along that direction pays below the learning rate 2 / sharpness. `start` is a
    direction to begin with, such as the one found a step earlier; without it, or where it is 0, a seeded random one.
    Stops when a round changes the eigenvalue by less than `accuracy`, as a fraction, or after `most` rounds. Where it
    ends below the largest size, on a negative eigenvalue or between two of opposite signs and equal sizes, a second
    search, farthest above minus that size, finds the largest.
    """
    lines = gradient_lines(forward, parameters, loss)
    given = {name: np.asarray(values[name]) for name in lines.given}
    if not start or not any(map(np.any, start.values())):
        start = seeded(given, parameters)
    value, way, size = power(lines, given, start, 0.0, most, accuracy)
    if value < (1 - 1e-3) * size:
        again, other, _ = power(lines, given, seeded(given, parameters), -size, most, accuracy)
        if again > value:  # neither is ever too large, so the larger is the nearer
            value, way = again, other
    return value, way


def seeded(values, parameters) -> dict:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=np.shape(values[name])) for name in parameters}


def power(lines, values, way, shift, most, accuracy) -> tuple[float, dict, float]:
    """(eigenvalue of H farthest from `shift`, its direction, the size of H times it): apply H - shift again and again."""
    found, way = 0.0, unit(way)
    for _ in range(most):
        bent = along(lines, values, way)
        last, found = found, dot(way, bent)
        following = {name: bent[name] - shift * way[name] for name in way}
        if not any(map(np.any, following.values())):
            break
        way = unit(following)
        if abs(found - last) <= accuracy * abs(found):
            break
    return found, way, dot(bent, bent) ** 0.5


def unit(way) -> dict:
    size = dot(way, way) ** 0.5
    return {name: each / size for name, each in way.items()}
