"""Writes what the documents say of measurements, from the rows: the README's chart and docs/findings.md.

``python scripts/documents.py`` fills the template ``scripts/findings.md.jinja`` and the marked part of README.md with
numbers, and draws docs/sizes.png. Run it after rows have changed; ``tests/test_documents.py`` fails until that is done.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from dinku.claims.compare import contrast, mean_f1, noise, ratio  # noqa: E402
from dinku.claims.measurements import Measurements, Run  # noqa: E402
from dinku.errors import plural  # noqa: E402
from dinku.study.results import Results  # noqa: E402

REPOSITORY = "https://github.com/dinku/dinku"
README = ROOT / "README.md"
FINDINGS = ROOT / "docs" / "findings.md"
CHART = ROOT / "docs" / "sizes.png"
LOG = ROOT / "docs" / "log.md"
TEMPLATE = Path(__file__).with_name("findings.md.jinja")
_STUDIES = ("trimming-cpu", "quantization-cpu", "house-masakhaner", "record-cpu")  # which the chart shows
_BEGIN, _END = "<!-- sizes: python scripts/documents.py writes this -->", "<!-- end of sizes -->"


def signed(value: float, digits: int = 1) -> str:
    """A difference as text, with a minus sign and not a hyphen.

    >>> signed(-4.62), signed(0.04), signed(-0.04)
    ('−4.6', '0.0', '0.0')
    """
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "−") if rounded else f"{0:.{digits}f}"


@dataclass(frozen=True)
class Measured:
    """The runs of one recipe of a study on one corpus: a run a seed."""

    study: str
    runs: tuple[Run, ...]
    times: tuple[float, ...] = ()

    @cached_property
    def mean(self) -> float:
        """Mean F1 over languages and seeds, in points."""
        return fmean(run.mean for run in self.runs)

    @property
    def f1(self) -> str:
        return f"{self.mean:.1f}"

    @property
    def f1_with_interval(self) -> str:
        found = mean_f1(self.runs)
        return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"

    @property
    def seeds(self) -> int:
        return len(self.runs)

    @cached_property
    def languages(self) -> dict[str, float]:
        """F1 in points by language, the mean of seeds."""
        return {la: fmean(run.f1[la] for run in self.runs) for la in self.runs[0].f1}

    def size(self, field: str = "bytes_disk") -> float:
        """Megabytes on disk, or another field of the rows' sizes in millions."""
        return median(getattr(run.rows[0].size, field) for run in self.runs) / 1e6

    @property
    def disk(self) -> str:
        return f"{self.size():.1f} MB"

    @property
    def download(self) -> str:
        return f"{self.size('bytes_download'):.1f} MB"

    @property
    def time(self) -> str:
        """Time over the dense tagger's, the median of rows."""
        return f"{median(self.times):.2f}"

    def minus(self, other: Measured) -> str:
        """The difference from another recipe with its interval, over the seeds that both have."""
        seeds = {run.seed for run in self.runs} & {run.seed for run in other.runs}
        first, second = ([run for run in each.runs if run.seed in seeds] for each in (other, self))
        found = contrast(first, second)
        return f"{signed(found.difference)} [{signed(found.low)}, {signed(found.high)}]"

    def worst_minus(self, other: Measured) -> str:
        """The language that loses most, and how much."""
        lost = {la: f1 - other.languages[la] for la, f1 in self.languages.items()}
        language = min(lost, key=lambda la: (lost[la], la))
        return f"{language} {signed(lost[language])}"

    def kept(self, other: Measured, digits: int = 0) -> str:
        """The part of another's F1 that is kept, in percent."""
        return f"{100 * self.mean / other.mean:.{digits}f} %"

    def least_kept(self, other: Measured) -> str:
        """The language that keeps least of its F1, and how much."""
        kept = {la: f1 / other.languages[la] for la, f1 in self.languages.items()}
        language = min(kept, key=lambda la: (kept[la], la))
        return f"{language} {100 * kept[language]:.1f} %"


@dataclass(frozen=True)
class Rows:
    """The rows of a study, asked by arm, by the values of its grid, and by the corpus that was tagged."""

    study: str
    measurements: Measurements

    def __call__(self, arm: str, on: str = "", language: str = "", **values: Any) -> Measured:
        """The runs of a recipe; ``on`` is needed where a study evaluates on several corpora."""
        rows = [r for r in self.measurements.rows if r.arm == arm and r.values == values and not r.perturbation]
        rows = [r for r in rows if (not on or r.evaluated_on == on) and (not language or r.language == language)]
        quality = self.measurements.of(r for r in rows if r.kind == "quality")
        if len({r.evaluated_on for r in quality.rows}) != 1:
            raise LookupError(f"{self.study}: {arm} {values} on {on!r} isn't one corpus: {len(quality.rows)} rows")
        return Measured(self.study, tuple(quality.runs), tuple(ratio(r) for r in rows if r.latency))

    @property
    def noise(self) -> str:
        """The clock's own noise: the dense tagger's time over its own, in 95 % of rounds."""
        low, high = noise([r for r in self.measurements.rows if r.latency])
        return f"{low:.2f} to {high:.2f}"

    @property
    def cpu(self) -> str:
        ((cpu, _),) = Counter(r.environment.cpu for r in self.measurements.rows).most_common(1)
        return cpu


@cache
def rows(study: str) -> Rows | None:
    """The rows of a study, or ``None`` if it has none yet."""
    folder = ROOT / "results" / study
    return Rows(study, Measurements.current(Results(folder))) if (folder / "rows.jsonl").exists() else None


def logged(beginning: str) -> str:
    """The table of docs/log.md whose first row begins with these words, without the log's indentation.

    Raises `LookupError` unless there is exactly one.
    """
    text = LOG.read_text(encoding="utf-8")
    tables = re.findall(r"(?:^ *\|.*\n)+", text, re.M)
    found = [table for table in tables if beginning in table.splitlines()[0]]
    if len(found) != 1:
        raise LookupError(f"docs/log.md has {len(found)} tables that begin with {beginning!r}")
    return "\n".join(line.strip() for line in found[0].splitlines())


def cited(row: str, column: str) -> str:
    """A number of the log's table of spaCy's CNN."""
    head, _, *lines = (
        [c.strip(" *") for c in line.strip("|").split("|")] for line in logged("spaCy's CNN").splitlines()
    )
    (found,) = (line[head.index(column)] for line in lines if line[0] == row)
    return found


def claims() -> list[tuple[str, str, dict[str, list[str]]]]:
    """Each claim, what it says, and the studies by verdict, as the golden files have them of the committed rows."""
    said: dict[str, str] = {}
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted((ROOT / "tests" / "golden" / "results").glob("*.json")):
        for verdict in json.loads(path.read_text(encoding="utf-8"))["verdicts"]:
            said[verdict["claim"]] = verdict["said"]
            own = found.setdefault(verdict["claim"], {})
            if verdict["verdict"] != "not measured":
                own.setdefault(verdict["verdict"], []).append(path.stem)
    return [(claim, said[claim], found[claim]) for claim in said]


class Point(NamedTuple):
    """A tagger in the chart: megabytes on disk, F1, and the number of trainings behind it; cited ones have no rows."""

    name: str
    family: str
    megabytes: float
    f1: float
    seeds: int
    cited: bool = False


def points() -> list[Point]:
    """The taggers of ten languages that are compared, the largest first."""
    chosen: Sequence[tuple[str, str, str, str, dict[str, Any]]] = (
        ("multilingual-e5-small, fine-tuned", "twelve layers", "trimming-cpu", "whole", {}),
        (
            "vocabulary trimmed",
            "twelve layers",
            "trimming-cpu",
            "trimmed after fine-tuning, by text as well",
            {"size": 34830},
        ),
        ("trimmed, int8", "twelve layers", "quantization-cpu", "static, onnxruntime", {}),
        ("dinku:house, fine-tuned", "four layers", "house-masakhaner", "house", {}),
        ("house, taught", "four layers", "house-masakhaner", "house, distilled with text", {}),
        (
            "house, taught, int8",
            "four layers",
            "house-masakhaner",
            "house, distilled with text, int8",
            {"runtime": "onnxruntime"},
        ),
        ("word network, gold alone", "word network", "record-cpu", "words, gold alone", {}),
        ("word network, taught", "word network", "record-cpu", "words, taught", {}),
        ("word network, taught, int8", "word network", "record-cpu", "words, taught, int8", {}),
    )
    out = []
    for name, family, study, arm, values in chosen:
        if (of := rows(study)) is None:
            continue
        found = of(arm, on="masakhaner:all", **values)
        out.append(Point(name, family, round(found.size(), 1), round(found.mean, 1), found.seeds))
    for name, row in (("spaCy's CNN", "spaCy CNN"), ("spaCy's CNN, taught", "the same, taught")):
        size = float(cited(row, "on disk").removesuffix(" MB"))
        out.append(Point(name, "spaCy", size, float(cited(row, "mean")), 1, cited=True))
    return sorted(out, key=lambda p: (-p.megabytes, -p.f1))


# Where a name stands beside its mark, in points across and up, and which end of it is there. Others stand at the right.
_RIGHT = (10, -4, "left")
_PLACES = {
    "multilingual-e5-small, fine-tuned": (6, -20, "right"),
    "vocabulary trimmed": (0, 10, "center"),
    "trimmed, int8": (0, 10, "center"),
    "house, taught, int8": (0, -19, "center"),
    "word network, taught": (0, 10, "left"),
    "word network, taught, int8": (-8, -19, "left"),
    "spaCy's CNN, taught": (-4, -19, "left"),
}
_STYLES = {
    "twelve layers": ("#0072B2", "o"),
    "four layers": ("#009E73", "s"),
    "word network": ("#D55E00", "D"),
    "spaCy": ("#7a7a7a", "^"),
}


def chart(shown: Sequence[Point]) -> bytes:
    """F1 against megabytes on disk as a PNG, which holds the points it shows as its description."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = {"font.family": "DejaVu Sans", "font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(8.6, 4.3), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.grid(color="#e6e6e6")
        axes.set_axisbelow(True)
        for point in shown:
            colour, mark = _STYLES[point.family]
            axes.plot(point.megabytes, point.f1, mark, color=colour, markersize=9)
            across, up, side = _PLACES.get(point.name, _RIGHT)
            axes.annotate(
                f"{point.name}, {point.megabytes:g} MB",
                (point.megabytes, point.f1),
                textcoords="offset points",
                xytext=(across, up),
                ha=side,
                color=colour,
                fontsize=9.5,
            )
        least = min(point.megabytes for point in shown)
        axes.set_xlim(least / 1.8, 900)
        axes.set_ylim(min(point.f1 for point in shown) - 1.5, max(point.f1 for point in shown) + 1.8)
        ticks = [tick for tick in (2, 5, 10, 20, 50, 100, 200, 500) if tick > least / 1.8]
        axes.set_xticks(ticks, [f"{tick} MB" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("size on disk (logarithmic)")
        axes.set_ylabel("mean test F1, ten languages")
        file = io.BytesIO()
        described = json.dumps([point._asdict() for point in shown], ensure_ascii=True)
        figure.savefig(file, format="png", dpi=160, metadata={"Software": None, "Description": described})
        return file.getvalue()


def charted(png: bytes) -> list[Point]:
    """The points that a chart says it shows."""
    import struct

    at = 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        if kind == b"tEXt" and body.startswith(b"Description\0"):
            return [Point(**point) for point in json.loads(body.partition(b"\0")[2])]
        at += 12 + length
    return []


def caption(shown: Sequence[Point]) -> str:
    """The README's chart with what it shows, in the words that its points give."""
    whole = max(shown, key=lambda p: p.megabytes)
    ours = [p for p in shown if not p.cited]
    small = min(ours, key=lambda p: (p.megabytes, -p.f1))
    cnn = next(p for p in shown if p.name == "spaCy's CNN")
    taught = next(p for p in shown if p.name == "spaCy's CNN, taught")
    times = f"{whole.megabytes / small.megabytes:.0f} times smaller"
    told = (
        f"The whole encoder has {whole.f1} F1 at {whole.megabytes:.0f} MB. The smallest tagger here ({small.name}) has"
    )
    several = [p for p in ours if p.seeds > 1]
    trainings = (
        "One training each"
        if not several
        else f"{several[0].seeds} trainings of each {several[0].family}, one of the others"
    )
    studies = [f"`{s}`" for s in _STUDIES if rows(s)]
    machines = " and ".join(sorted({r.cpu.partition(" (")[0] for s in _STUDIES if (r := rows(s))}))
    image = f"{REPOSITORY.replace('github.com', 'raw.githubusercontent.com')}/main/docs/sizes.png"
    lines = [
        f"![F1 against size on disk of {plural(len(shown), 'tagger')}]({image})",
        "",
        f"*{told}",
        f"{small.f1} at {small.megabytes:g} MB: {times}. Mean span F1 on the test sets of MasakhaNER 1.0 in ten languages.",
        f"{trainings}, on two cores of an {machines}, without a GPU. Rows: {', '.join(studies)}.",
        "What is called taught has learned from unlabelled text, too; the whole encoder from tagged sentences alone.",
        f"spaCy's CNN ({cnn.f1} from tagged sentences, {taught.f1} taught by our twelve layers) is cited from the",
        f"[log]({REPOSITORY}/blob/main/docs/log.md).*",
    ]
    return "\n".join(lines)


def readme(text: str) -> str:
    """The README with its marked part written anew."""
    before, _, rest = text.partition(_BEGIN)
    _, found, after = rest.partition(_END)
    if not found:
        raise LookupError(f"README.md lacks {_BEGIN} and {_END}")
    return f"{before}{_BEGIN}\n{caption(points())}\n{_END}{after}"


def findings() -> str:
    """The page of findings, with its numbers."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(rows=rows, logged=logged, cited=cited, claims=claims(), plural=plural, signed=signed)


def main() -> None:
    """Write them all."""
    FINDINGS.write_text(findings(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
    CHART.write_bytes(chart(points()))


if __name__ == "__main__":
    main()
