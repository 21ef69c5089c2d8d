"""How numbers are written in the report, and where they lie on an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

_NO_BREAK = "\u00a0"


def percent(share: float, digits: int = 1) -> str:
    """0.0623 -> '6.2 %', which no line is broken in."""
    return f"{100 * share:.{digits}f}{_NO_BREAK}%"


def interval(ends: tuple[float, float]) -> str:
    """(0.044, 0.087) -> '4.4 to 8.7 %'."""
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}{_NO_BREAK}%"


def probability(p: float) -> str:
    """0.99972 -> '0.9997'; never rounded to 1."""
    return f"{min(p, 0.9999):.4f}" if p > 0.99 else f"{p:.2f}"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """(1200, 'row') -> '1,200 rows'."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` on pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a number; those outside lie on the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 2)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) between both ends."""
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def plain(value: float) -> str:
    """A number on an axis: '0.25', '3', '1,500'."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 or 10 times a power of ten: the end of an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        f * power for f in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if f * power >= value * (1 - 1e-9)
    )
