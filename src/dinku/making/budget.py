"""Budget: the limits for a compressed tagger, read from text with units and checked against measured values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from dinku.errors import DinkuError

Written = str | float | None

_UNITS: dict[str, dict[str, float]] = {
    "size": {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30},
    "speed": {"": 1, "/S": 1, "/MIN": 1 / 60},
    "latency": {"": 1, "MS": 1e-3, "S": 1},
    "time": {"": 1, "S": 1, "MIN": 60, "M": 60, "H": 3600},
}
_EXAMPLES = {"size": "12MB", "speed": "500/s", "latency": "5ms", "time": "2h"}


def share(text: str | float, *, where: str) -> float:
    """A part of a whole, from *95%* or 0.95; raises `DinkuError` unless it is above 0 and at most 1.

    >>> share("95%", where="--keep"), share(0.5, where="keep")
    (0.95, 0.5)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", str(text))
    value = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < value <= 1:
        raise DinkuError(f"is {str(text)!r}", where=where, remedy="give a percentage above 0, such as 95%")
    return value


def quantity(text: str | float, kind: str, *, where: str) -> float:
    """A *size* in bytes, a *speed* in sentences a second, a *latency* or a *time* in seconds, from text with a unit or a number.

    >>> quantity("12MB", "size", where=""), quantity("5 ms", "latency", where=""), quantity("2h", "time", where="")
    (12000000.0, 0.005, 7200.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*(\S*)\s*", str(text))
    unit = _UNITS[kind].get(found[2].upper()) if found else None
    if found is None or unit is None or not float(found[1]) > 0:
        raise DinkuError(
            f"is {str(text)!r}", where=where, remedy=f"give a number with its unit, such as {_EXAMPLES[kind]}"
        )
    return float(found[1]) * unit


@dataclass(frozen=True)
class Budget:
    """The limits for a compressed tagger; ``None`` sets no limit.

    ``size`` is the most bytes of its folder on disk (or text: *12MB*). ``keep`` is the least part of the dense tagger's mean F1
    to keep (0.95 or *95%*), and ``keep_worst`` that in the language that keeps least. ``speed`` is the fewest sentences a second
    at its best batch size (*500/s*), and ``latency`` the longest median time of one sentence in seconds (*5ms*), both on this
    machine. Without any limit, it is ``keep=0.95``. Raises `DinkuError` for text that can't be read.

    >>> from dinku import Budget
    >>> Budget(size="12MB", keep=0.95)
    Budget(size at most 12.0 MB, F1 kept at least 95.0 %)
    """

    size: Written = None
    keep: Written = None
    keep_worst: Written = None
    speed: Written = None
    latency: Written = None

    def __post_init__(self) -> None:
        if all(getattr(self, each.name) is None for each in fields(self)):
            object.__setattr__(self, "keep", 0.95)
        for name in ("keep", "keep_worst"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, share(given, where=name))
        for name in ("size", "speed", "latency"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, quantity(given, name, where=name))

    def __repr__(self) -> str:
        return f"Budget({', '.join(limit.summary for limit in self.limits)})"

    @property
    def limits(self) -> list[Limit]:
        """The limits that are set."""
        return [Limit(each.name, given) for each in fields(self) if (given := getattr(self, each.name)) is not None]

    @property
    def bounded(self) -> bool:
        """Whether size or speed is limited: the best F1 within the limits is then wanted, otherwise the smallest that keeps
        enough."""
        return any(limit.name not in ("keep", "keep_worst") for limit in self.limits)

    def misses(self, measured: Mapping[str, float]) -> list[Miss]:
        """The limits that measured facts, given by the names of the fields, don't keep; limits without a fact aren't judged.

        >>> [miss.summary for miss in Budget(size="12MB", keep="95%").misses({"size": 14.04e6, "keep": 0.97})]
        ['size is 14.0 MB, at most 12.0 MB wanted']
        """
        return [
            Miss(limit, measured[limit.name])
            for limit in self.limits
            if limit.name in measured and not limit.met(measured[limit.name])
        ]


_WORDING: dict[str, tuple[str, str, str]] = {
    "size": ("size", "at most", "--max-size"),
    "keep": ("F1 kept", "at least", "--keep"),
    "keep_worst": ("F1 kept in the worst language", "at least", "--keep-worst"),
    "speed": ("speed", "at least", "--min-speed"),
    "latency": ("latency", "at most", "--max-latency"),
}


@dataclass(frozen=True)
class Limit:
    """One limit of a budget: the field's ``name``, and its ``value`` in bytes, a part of 1, sentences a second or seconds."""

    name: str
    value: float

    @property
    def upper(self) -> bool:
        """Whether it is an upper limit."""
        return _WORDING[self.name][1] == "at most"

    def met(self, measured: float) -> bool:
        return measured <= self.value if self.upper else measured >= self.value

    @property
    def summary(self) -> str:
        what, how, _ = _WORDING[self.name]
        return f"{what} {how} {amount(self.name, self.value)}"


@dataclass(frozen=True)
class Miss:
    """A limit that isn't kept, and what was ``measured`` instead."""

    limit: Limit
    measured: float

    @property
    def by(self) -> float:
        """The distance to the limit, relative to it."""
        return abs(self.measured / self.limit.value - 1)

    @property
    def summary(self) -> str:
        what, how, _ = _WORDING[self.limit.name]
        wanted = amount(self.limit.name, self.limit.value)
        return f"{what} is {amount(self.limit.name, self.measured)}, {how} {wanted} wanted"

    @property
    def relaxed(self) -> str:
        """The option with a limit that the measured value keeps, with a little room for differences in the last digits."""
        name, value = self.limit.name, self.measured * (1.005 if self.limit.upper else 0.995)
        option = _WORDING[name][2]
        text = {
            "size": f"{value / 1e6:.2f}MB" if value < 1e7 else f"{value / 1e6:.1f}MB",
            "speed": f"{value:.0f}/s",
            "latency": f"{1000 * value:.2f}ms",
        }.get(name, f"{100 * value:.1f}%")
        return f"{option} {text}"


def amount(name: str, value: float) -> str:
    """A value of the limit with this name, with its unit."""
    if name == "size":
        return f"{value / 1e6:.2f} MB" if value < 1e7 else f"{value / 1e6:.1f} MB"
    if name == "speed":
        return f"{value:,.0f} sentences/s"
    if name == "latency":
        return f"{1000 * value:.2f} ms"
    return f"{100 * value:.1f} %"


def facts(**given: Any) -> dict[str, float]:
    """Measured values by the names of limits, without those that aren't known."""
    return {name: float(value) for name, value in given.items() if value is not None}
