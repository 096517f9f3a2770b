"""Line charts as SVG text: a pure function of the numbers, fast enough for every move of a slider."""

from dataclasses import dataclass
from html import escape
from math import floor, log10

from ..arithmetic import board, number

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 46


@dataclass(frozen=True)
class Axis:
    """What an axis shows, from `low` to `high`."""

    title: str
    low: float
    high: float

    def ticks(self) -> list[float]:
        """About five round numbers on the axis."""
        step = nice_step((self.high - self.low) / 5)
        first = -floor(-self.low / step)
        return [k * step for k in range(first, floor(self.high / step * (1 + 1e-12)) + 1)]


def nice_step(rough: float) -> float:
    """The first of 1, 2, 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** floor(log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def nice_top(value: float) -> float:
    """A round number a little above `value`, so that an axis changes seldom while a slider moves."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(top * power for top in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if top * power >= value)


@dataclass(frozen=True)
class Chart:
    """Curves, marks and thresholds over two axes. `svg` draws them in the order of the calls."""

    x: Axis
    y: Axis

    def at(self, x, y) -> tuple[float, float]:
        """Where a point lies on the picture; a point outside the axes is set on the edge."""
        across = (min(max(x, self.x.low), self.x.high) - self.x.low) / (self.x.high - self.x.low)
        up = (min(max(y, self.y.low), self.y.high) - self.y.low) / (self.y.high - self.y.low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def curve(self, points, dash="", width=3.5, color="#0b57b0") -> str:
        """A line through (x, y) points; it stops at the edge of the chart."""
        shown = " ".join(f"{a:.1f},{b:.1f}" for a, b in (self.at(*point) for point in points))
        return (f'<polyline points="{shown}" fill="none" stroke="{color}" stroke-width="{width}" '
                f'stroke-linejoin="round" stroke-dasharray="{dash}"/>')

    def dots(self, points, radius=4.5, color="#0b57b0") -> str:
        spots = (self.at(*point) for point in points)
        return "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{radius}" fill="{color}"/>' for a, b in spots)

    def threshold(self, x, text, row=0) -> str:
        """A dashed vertical line with its name beside it, `row` lines below the top."""
        a, b = self.at(x, self.y.high)
        side, shift = ("end", -7) if a > WIDTH * 0.6 else ("start", 7)
        return (f'<line x1="{a:.1f}" x2="{a:.1f}" y1="{b:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#b3400a" '
                f'stroke-width="2.5" stroke-dasharray="7 5"/>'
                f'<text x="{a + shift:.1f}" y="{b + 13 + 20 * row:.1f}" text-anchor="{side}" class="halo">{escape(text)}</text>')

    def level(self, y, text) -> str:
        """A dotted horizontal line with its name."""
        a, b = self.at(self.x.low, y)
        return (f'<line x1="{a}" x2="{WIDTH - RIGHT}" y1="{b:.1f}" y2="{b:.1f}" stroke="#5a6270" '
                f'stroke-width="2" stroke-dasharray="2 5"/>'
                f'<text x="{WIDTH - RIGHT}" y="{b - 6:.1f}" text-anchor="end" class="small halo">{escape(text)}</text>')

    def here(self, x, y, text) -> str:
        """The learner's own point: a large ring with its name beside it; an arrow where it lies off the chart."""
        a, b = self.at(x, y)
        off = " ↑" if y > self.y.high else " →" if x > self.x.high else ""
        side, shift = ("end", -15) if a > WIDTH * 0.55 else ("start", 15)
        lift = 18 if b < TOP + 30 else -10
        return (f'<circle cx="{a:.1f}" cy="{b:.1f}" r="9" fill="#ffb000" stroke="#16181d" stroke-width="3"/>'
                f'<text x="{a + shift:.1f}" y="{b + lift:.1f}" text-anchor="{side}" class="strong halo">{escape(text + off)}</text>')

    def frame(self) -> str:
        """Both axes with ticks and titles."""
        (left, bottom), (right, top) = self.at(self.x.low, self.y.low), self.at(self.x.high, self.y.high)
        lines = [f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#16181d" stroke-width="1.5"/>']
        for tick in self.x.ticks():
            a, _ = self.at(tick, self.y.low)
            lines.append(f'<path d="M{a:.1f} {bottom}v5" stroke="#16181d"/><text x="{a:.1f}" y="{bottom + 20}" '
                         f'text-anchor="middle">{board(number(tick, 4))}</text>')
        for tick in self.y.ticks():
            _, b = self.at(self.x.low, tick)
            lines.append(f'<path d="M{left} {b:.1f}h-5" stroke="#16181d"/><text x="{left - 8}" y="{b + 5:.1f}" '
                         f'text-anchor="end">{board(number(tick, 4))}</text>')
        lines.append(f'<text x="{(left + right) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(self.x.title)}</text>')
        lines.append(f'<text x="4" y="{top - 14:.0f}">{escape(self.y.title)}</text>')
        return "".join(lines)

    def svg(self, alternative: str, *drawn: str) -> str:
        """The chart with its text alternative."""
        return (f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alternative)}">'
                f'{self.frame()}{"".join(drawn)}</svg>')
