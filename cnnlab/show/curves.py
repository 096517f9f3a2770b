"""The course of a run: loss and accuracy against the step, drawn anew while it trains."""

import numpy as np

from ..arithmetic import board, number
from .chart import Axis, Chart, nice_top
from .page import Page, tag

MOST_POINTS = 200  # of a curve; more steps are averaged, so that drawing takes as long on the last step as on the first
TEST, FLOOR = "#b3400a", 0.5  # the test part's colour; where the accuracy's axis starts once all of it lies above


def thinned(values) -> list[tuple[float, float]]:
    """Points (step, mean) of at most MOST_POINTS equal stretches of the values."""
    count = len(values)
    if not count:
        return []
    width = -(-count // MOST_POINTS)
    whole = np.asarray(values[:count // width * width], float).reshape(-1, width).mean(axis=1)
    points = [((at + 0.5) * width, float(mean)) for at, mean in enumerate(whole)]
    rest = values[count // width * width:]
    return points + ([(count - len(rest) / 2, float(np.mean(rest)))] if rest else [])


def loss_chart(training) -> str:
    """The loss of each batch, before its step."""
    losses = training.losses
    finite = [loss for _, loss in thinned(losses) if np.isfinite(loss)]
    chart = Chart(Axis("step", 0, max(training.steps, 1)), Axis("loss of the batch", 0, nice_top(max(finite, default=2.5))))
    points = [(step, loss) for step, loss in thinned(losses) if np.isfinite(loss)]
    drawn = [chart.curve(points, width=2.5)]
    if points:
        drawn.append(chart.here(len(losses), losses[-1] if np.isfinite(losses[-1]) else chart.y.high * 2, board(number(losses[-1], 3))))
    caption = "The loss of every batch before its step" + (f", {-(-len(losses) // MOST_POINTS)} steps averaged to a point" if len(losses) > MOST_POINTS else "")
    return figure(chart.svg(f"Loss against step: {len(losses)} steps", *drawn), f"{caption}.")


def accuracy_chart(training) -> str:
    """The share of right answers: on the batches as they come, and on the test part after every epoch."""
    hits = [(step, 100 * share) for step, share in thinned(training.hits)]
    tests = [((at + 1) * training.steps_in_epoch, 100 * epoch.test_accuracy) for at, epoch in enumerate(training.epochs)]
    lowest = min([share for _, share in [*hits, *tests]], default=0)
    low = 0 if lowest < 100 * FLOOR else 100 * FLOOR
    chart = Chart(Axis("step", 0, max(training.steps, 1)), Axis("right answers, %", low, 100))
    drawn = [chart.curve(hits, width=2.5), chart.curve(tests, width=2.5, color=TEST), chart.dots(tests, color=TEST)]
    if tests:
        drawn.append(chart.here(*tests[-1], f"test {board(number(round(tests[-1][1], 1)))} %"))
    return figure(chart.svg(f"Right answers against step: {len(tests)} epochs", *drawn),
                  "Blue: the batches, as they are trained. Brown dots: the test part, after every epoch; it is only looked at.")


def figure(svg, caption) -> str:
    return tag("figure", svg, tag("figcaption", caption))


def curves(training) -> Page:
    """Both charts of a run."""
    html = tag("div", loss_chart(training), accuracy_chart(training), class_="charts")
    return Page(html, repr(training))
