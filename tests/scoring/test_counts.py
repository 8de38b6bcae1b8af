"""Scores: seqeval's to the last bit, additive, stored and read again; intervals and paired tests that keep their word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as seqeval_default
from seqeval.metrics.v1 import precision_recall_fscore_support as seqeval_strict
from seqeval.scheme import IOB2

from dinku.data.conll import read
from dinku.data.corpus import Corpus, Sentence
from dinku.errors import DinkuError
from dinku.scoring.counts import Counts, align, count, document, without_absent, worst
from dinku.scoring.significance import Average, f1_kept, holm, interval, non_inferior, paired, rank_correlation

LABELS = ("DATE", "LOC", "ORG", "PER")
TAGS = np.array(["O", *(f"{prefix}-{label}" for label in LABELS for prefix in "BI")], dtype=object)
Tagged = list[list[str]]


def generated(seed: int, sentences: int, longest: int = 8, outside: float = 0.4) -> Tagged:
    """Sentences of 0 to ``longest`` words, each tag drawn by itself: most ``I-`` are orphans or switch type."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, longest + 1, sentences)
    chance = [outside] + [(1 - outside) / 8] * 8
    flat = TAGS[random.choice(9, lengths.sum(), p=chance)]
    return [part.tolist() for part in np.split(flat, np.cumsum(lengths)[:-1])]


def corrupted(gold: Tagged, seed: int, share: float = 0.2) -> Tagged:
    """The same with that share of tags drawn anew."""
    random = np.random.default_rng(seed)
    return [[str(random.choice(TAGS)) if random.random() < share else tag for tag in tags] for tags in gold]


def by_hand(tags: list[str], strict: bool) -> set[tuple[int, int, str]]:
    """The second oracle: a span at a time, a word at a time."""
    spans, at = set(), 0
    while at < len(tags):
        prefix, _, label = tags[at].partition("-")
        start, at = at, at + 1
        if prefix == "O" or (strict and prefix == "I"):
            continue
        while at < len(tags) and tags[at] == f"I-{label}":
            at += 1
        spans.add((start, at, label))
    return spans


def assert_same(a: Counts, b: Counts) -> None:
    assert (a.labels, a.languages) == (b.labels, b.languages)
    for name in ("words", "default", "strict"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def assert_seqeval(gold: Tagged, predicted: Tagged) -> None:
    """Micro and by type, both readings, floats equal to the last bit."""
    counts = count(gold, predicted)
    for strict in (False, True):

        def seqeval(average: str | None, strict: bool = strict) -> tuple:  # type: ignore[type-arg]
            if strict:
                return seqeval_strict(gold, predicted, average=average, zero_division=0, scheme=IOB2)
            return seqeval_default(gold, predicted, average=average, zero_division=0)

        assert tuple(counts.scores(strict=strict)) == seqeval("micro")
        table = counts.table(strict=strict).sum(0)
        # seqeval names the types that have a span on either side; ours also those of orphans alone
        met = [label for label, row in zip(counts.labels, table, strict=True) if row[:2].any()]
        by_type = counts.by_type(strict=strict)
        assert [tuple(by_type[label]) for label in met] == list(zip(*seqeval(None), strict=True))
        assert all(tuple(s) == (0, 0, 0, 0) for label, s in by_type.items() if label not in met)


@pytest.mark.slow
@pytest.mark.parametrize("outside", [0.1, 0.4, 0.8])
def test_seqeval_over_large_corpora(outside: float) -> None:
    gold = generated(1, 20_000, 6, outside)
    random = np.random.default_rng(2)
    flat = np.array([tag for tags in gold for tag in tags], dtype=object)
    drawn = random.random(len(flat)) < 0.2
    flat[drawn] = random.choice(TAGS, drawn.sum())
    ends = np.cumsum([len(tags) for tags in gold])
    assert_seqeval(gold, [part.tolist() for part in np.split(flat, ends[:-1])])


@pytest.mark.slow
def test_seqeval_over_thousands_of_tiny_corpora() -> None:
    random = np.random.default_rng(3)
    gold = generated(4, 8_000, 7)
    predicted = corrupted(gold, 5, 0.3)
    start = 0
    while start < len(gold):
        stop = start + int(random.integers(1, 8))
        assert_seqeval(gold[start:stop], predicted[start:stop])
        start = stop


@pytest.mark.shared
def test_seqeval_on_real_tags(shared: Path) -> None:
    files = sorted((shared / "data" / "masakhane-ner" / "data").glob("*/test.txt"))
    assert len(files) >= 10
    for seed, file in enumerate(files):
        gold = [list(s.tags or ()) for s in read(file)]
        assert_seqeval(gold, corrupted(gold, seed, 0.1))
        assert count(gold, gold).scores(strict=True).recall == 1.0 or not any("B-" in t for s in gold for t in s)


def test_each_sentence_by_hand() -> None:
    gold = generated(6, 20_000)
    predicted = corrupted(gold, 7, 0.3)
    counts = count(gold, predicted)
    for strict in (False, True):
        table = np.zeros((len(gold), len(LABELS), 3), np.int64)
        for row, pair in zip(table, zip(gold, predicted, strict=True), strict=True):
            one, other = (by_hand(tags, strict) for tags in pair)
            for column, spans in enumerate((one, other, one & other)):
                for label, times in Counter(label for _, _, label in spans).items():
                    row[LABELS.index(label), column] = times
        np.testing.assert_array_equal(counts.table(strict=strict), table)
    assert counts.words.tolist() == [len(tags) for tags in gold]


def test_counts_add_up() -> None:
    for seed in range(200):
        a, b = generated(seed, 5), [[tag for tag in tags if "DATE" not in tag] for tags in generated(seed + 1000, 7)]
        found_a, found_b = corrupted(a, seed), [["O"] * len(tags) for tags in b]
        parts = count(a, found_a, ["hau"] * 5) + count(b, found_b, ["yor"] * 7)
        assert_same(parts, count(a + b, found_a + found_b, ["hau"] * 5 + ["yor"] * 7))


def test_parts() -> None:
    gold = generated(8, 300)
    languages = [("hau", "yor", "zho")[i % 3] for i in range(300)]
    counts = count(gold, corrupted(gold, 9), languages)
    assert list(counts.by_language()) == ["hau", "yor", "zho"]
    for strict in (False, True):
        for language, scores in counts.by_language(strict=strict).items():
            assert counts.only(language).scores(strict=strict) == scores
        for label, scores in counts.by_type(strict=strict).items():
            assert counts.only_labels([label]).scores(strict=strict) == scores
    assert len(counts.only("hau")) == 100
    assert counts.only_labels(("PER", "LOC")).labels == ("LOC", "PER")


def test_nothing_is_zero() -> None:
    for counts in (count([], []), count([[]], [[]]), count([["O"]], [["O"]])):
        assert tuple(counts.scores()) == tuple(counts.scores(strict=True)) == (0.0, 0.0, 0.0, 0)
        assert counts.by_type() == {}


def test_labels_that_the_corpus_lacks() -> None:
    counts = count([["B-PER", "O", "O"]], [["B-PER", "B-DATE", "B-DATE"]])
    fewer, dropped = without_absent(counts)
    assert (counts.scores().precision, fewer.scores().precision, dropped) == (1 / 3, 1.0, 2)
    assert fewer.labels == ("PER",)
    assert_same(without_absent(fewer)[0], fewer)


def test_document() -> None:
    one = document(count([["B-PER", "I-PER", "O"]], [["I-PER", "I-PER", "O"]]))
    assert one == {
        "default": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1},
        "strict": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        "by_type": {"PER": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}},
        "words": 3,
        "sentences": 1,
    }
    two = document(count([["B-PER"], ["O"]], [["B-PER"], ["O"]], ["hau", "yor"]))
    assert two["by_language"]["hau"]["strict"]["f1"] == 1.0
    assert two["by_language"]["yor"]["default"]["support"] == 0


@pytest.mark.parametrize("sentences", [0, 1, 400])
def test_stored_and_read_again(tmp_path: Path, sentences: int) -> None:
    gold = generated(10, sentences) if sentences else []
    counts = count(gold, corrupted(gold, 11), ["yor"] * sentences)
    file = tmp_path / "counts.npz"
    counts.save(file)
    counts.save(file)
    assert [f.name for f in tmp_path.iterdir()] == ["counts.npz"]
    assert_same(Counts.load(file), counts)
    with np.load(file) as stored:
        assert stored["default"].dtype == np.uint8


def test_a_damaged_file_is_an_error_or_unharmed(tmp_path: Path) -> None:
    gold = generated(12, 40)
    counts = count(gold, corrupted(gold, 13), ["hau", "yor"] * 20)
    file = tmp_path / "counts.npz"
    counts.save(file)
    whole = file.read_bytes()
    random = np.random.default_rng(14)
    damaged = [whole[:n] for n in range(0, len(whole), 97)]
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << int(random.integers(8))
        damaged.append(bytes(flipped))
    refused, messages = 0, set()
    for data in damaged:
        file.write_bytes(data)
        try:
            assert_same(Counts.load(file), counts)
        except DinkuError as error:
            refused += 1
            messages.add(str(error))
    assert all(str(file) in message for message in messages)
    assert refused > len(damaged) / 2  # the rest hit dates and the like in the archive's directory


def test_files_that_hold_no_counts(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    with pytest.raises(DinkuError, match="isn't there"):
        Counts.load(file)
    np.savez(file, labels=np.array(["PER"], dtype=object))
    with pytest.raises(DinkuError, match="holds no counts"):
        Counts.load(file)
    good = count([["B-PER"]], [["B-PER"]])
    np.savez(file, labels=["PER", "LOC"], languages=[""], words=good.words, default=good.default, strict=good.strict)
    with pytest.raises(DinkuError, match="don't fit together"):
        Counts.load(file)
    with pytest.raises(DinkuError, match="can't be written") as failed:
        good.save(tmp_path / "missing" / "x.npz")
    assert failed.value.status == 1


@pytest.mark.parametrize(
    ("gold", "predicted", "languages", "message"),
    [
        ([["O"]], [], None, "1 gold sentence, 0 predicted"),
        ([["O"], ["O"]], [["O"], ["O", "O"]], None, "sentence 2: 1 gold tag, 2 predicted"),
        ([["O"], ["B-PER"]], [["O"], ["E-PER"]], None, "sentence 2: 'E-PER' isn't an IOB2 tag"),
        ([["PER"]], [["O"]], None, "sentence 1: 'PER' isn't an IOB2 tag"),
        ([["B-"]], [["O"]], None, "sentence 1: 'B-' isn't an IOB2 tag"),
        ([["O"]], [["O"]], ["hau", "yor"], "1 sentence, 2 languages"),
    ],
)
def test_what_count_refuses(gold: Tagged, predicted: Tagged, languages: list[str] | None, message: str) -> None:
    with pytest.raises(DinkuError, match=message):
        count(gold, predicted, languages)


def corpus(name: str, *sentences: str) -> Corpus:
    return Corpus(name, "test", tuple(Sentence(tuple(s.split())) for s in sentences))


def test_align() -> None:
    gold = corpus("gold", "a b", "c d e")
    align(gold, corpus("pred", "a b", "c d e"))
    for predicted, message in (
        (corpus("pred", "a b", "c x e"), "pred: sentence 2, word 2: has 'x' where gold has 'd'"),
        (corpus("pred", "a b", "c d"), "pred: sentence 2, word 3: has the sentence's end where gold has 'e'"),
        (corpus("pred", "a b", "c d e f"), "pred: sentence 2, word 4: has 'f' where gold has the sentence's end"),
        (corpus("pred", "a b"), "pred: has 1 sentence where gold has 2"),
    ):
        with pytest.raises(DinkuError) as refused:
            align(gold, predicted)
        assert str(refused.value).startswith(message)


# ---- intervals and paired tests, on simulated counts whose truth is known ----


def simulated(
    random: np.random.Generator, gold: NDArray[np.int64], skill: NDArray[np.float64] | float, languages: int = 1
) -> Counts:
    """Counts of one label: gold spans are found with probability ``skill``; spurious ones come 0.3 a sentence."""
    correct = random.binomial(gold, np.broadcast_to(skill, gold.shape))
    predicted = correct + random.poisson(0.3, gold.shape)
    table = np.stack([gold, predicted, correct], -1)[:, None, :].astype(np.int64)
    names = tuple(f"l{i * languages // len(gold)}" for i in range(len(gold)))
    return Counts(("PER",), names, np.full(len(gold), 20), table, table)


@pytest.mark.slow
@pytest.mark.parametrize("average", ["micro", "languages"])
def test_the_interval_covers_the_truth_as_often_as_it_says(average: Average) -> None:
    random = np.random.default_rng(15)
    # Language 0 is easy and language 1 hard; F1 = 2 · correct ÷ (gold + predicted), by expectations.
    skill = np.repeat([0.9, 0.6], 150)
    easy, hard = (2 * 1.2 * s / (1.2 + 1.2 * s + 0.3) for s in (0.9, 0.6))
    truth = {"micro": 2 * 1.2 * 1.5 / (2 * 1.2 + 1.2 * 1.5 + 0.6), "languages": (easy + hard) / 2}[average]
    covered = 0
    for seed in range(400):
        drawn = interval([simulated(random, random.poisson(1.2, 300), skill, 2)], draws=300, seed=seed, average=average)
        assert drawn.low <= drawn.value <= drawn.high
        covered += drawn.low <= truth <= drawn.high
    assert 0.91 <= covered / 400 <= 0.985


def test_an_interval_is_reproducible_and_its_value_is_the_score() -> None:
    gold = generated(16, 500)
    counts = count(gold, corrupted(gold, 17), ["hau"] * 200 + ["yor"] * 300)
    assert interval([counts], seed=1) == interval([counts], seed=1) != interval([counts], seed=2)
    for strict in (False, True):
        assert interval([counts], strict=strict).value == counts.scores(strict=strict).f1
        mean = np.mean([s.f1 for s in counts.by_language(strict=strict).values()])
        assert interval([counts], strict=strict, average="languages").value == mean
    wide, narrow = interval([counts], level=0.99), interval([counts], level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.0), (3, 0.03)])
def test_systems_of_equal_skill_are_not_told_apart(seeds: int, spread: float) -> None:
    random = np.random.default_rng(18)
    p_values = []
    for seed in range(250):
        gold = random.poisson(1.2, 240)
        runs = [[simulated(random, gold, 0.7 + random.normal(0, spread), 2) for _ in range(seeds)] for _ in "ab"]
        p_values.append(paired(*runs, draws=300, seed=seed).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.08
    assert 0.3 <= np.mean(np.array(p_values) < 0.5) <= 0.6


def test_a_known_difference_is_found() -> None:
    random = np.random.default_rng(19)
    gold = random.poisson(1.2, 600)
    a, b = ([simulated(random, gold, skill, 2) for _ in range(3)] for skill in (0.6, 0.75))
    for average in ("micro", "languages"):
        forth, back = paired(a, b, average=average), paired(b, a, average=average)
        assert forth.low > 0.03
        assert forth.p_value == 2 / 1001
        assert forth.difference == -back.difference
        assert forth.low <= forth.difference <= forth.high
    assert paired(a, b[:2]).p_value < 0.01
    expected = np.mean([c.scores().f1 for c in b]) - np.mean([c.scores().f1 for c in a])
    assert paired(a, b).difference == expected


def test_a_run_against_itself() -> None:
    gold = generated(20, 200)
    counts = [count(gold, corrupted(gold, seed)) for seed in range(3)]
    assert paired(counts, counts) == (0.0, 0.0, 0.0, 1.0)


def test_runs_over_other_sentences_are_refused() -> None:
    gold = generated(21, 50)
    counts = count(gold, corrupted(gold, 22))
    moved = np.roll(counts.default, 1, axis=0)
    others = (
        count(gold[:-1], gold[:-1]),
        replace(counts, languages=("yor",) * 50),
        replace(counts, words=counts.words + 1),
        replace(counts, default=moved),
        replace(counts, strict=np.roll(counts.strict, 1, axis=0)),
    )
    for other in others:
        with pytest.raises(DinkuError, match="aren't over the same sentences"):
            paired([counts], [other])
    with pytest.raises(DinkuError, match="without seeds"):
        paired([counts], [])


def test_a_label_that_only_one_run_predicts_does_not_part_the_runs() -> None:
    gold = [["B-PER", "O"], ["O", "O"]]
    a, b = count(gold, gold), count(gold, [["B-PER", "O"], ["O", "B-DATE"]])
    assert paired([a], [b]).difference < 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: interval([c], draws=0), "can't draw 0 times"),
        (lambda c: interval([c], level=95), "level 95"),
        (lambda c: interval([c], average="macro"), "no average 'macro'"),  # type: ignore[arg-type]
        (lambda c: interval([c.only("none")]), "no sentence"),
        (lambda c: paired([c], [c], draws=0), "can't draw 0 times"),
        (lambda c: paired([c], [c], level=0.0), "level 0.0"),
        (lambda c: paired([c], [c], average="macro"), "no average 'macro'"),  # type: ignore[arg-type]
    ],
)
def test_what_a_bootstrap_refuses(call: Callable[[Counts], object], message: str) -> None:
    with pytest.raises(DinkuError, match=message):
        call(count([["B-PER"]], [["B-PER"]], ["hau"]))


# ---- non-inferiority, corrections, correlations, the worst of several runs ----


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "least", "most"), [(0.05, 0.0, 0.09), (0.0, 0.9, 1.0), (0.1, 0.0, 0.01)])
def test_non_inferiority_holds_as_often_as_it_should(lost: float, least: float, most: float) -> None:
    """At a loss of just the margin it may be claimed once in twenty; without a loss it is nearly always."""
    random = np.random.default_rng(30)
    skill = 0.7
    correct, spurious = 1.2 * skill, 0.3
    f1 = 2 * correct / (1.2 + correct + spurious)
    less = (
        (f1 - lost) * (1.2 + spurious) / (1.2 * (2 - (f1 - lost)))
    )  # the skill whose expected F1 is lower by ``lost``
    held = []
    for seed in range(200):
        gold = random.poisson(1.2, 800)
        a, b = ([simulated(random, gold, s, 2)] for s in (skill, less))
        found = non_inferior(a, b, 0.05, draws=200, seed=seed)
        assert found.holds == (found.low > -0.05)
        held.append(found.holds)
    assert least <= np.mean(held) <= most


def test_non_inferior_beside_paired() -> None:
    gold = generated(31, 300)
    a, b = [count(gold, corrupted(gold, 32))], [count(gold, corrupted(gold, 33))]
    found = non_inferior(a, b, 0.02)
    assert found.difference == paired(a, b).difference
    assert found.low == pytest.approx(paired(a, b, level=0.9).low)
    assert non_inferior(a, a, 0.01) == (0.0, 0.0, 0.01, True, 1 / 1001)
    with pytest.raises(DinkuError, match=r"the margin is 0\.0"):
        non_inferior(a, b, 0.0)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    # Twenty systems equal to one another: some p-value is below 0.05 more often than not, an adjusted one 1 time in 20.
    random = np.random.default_rng(34)
    found = [holm(list(random.random(20))) for _ in range(2000)]
    assert 0.03 < np.mean([min(p) < 0.05 for p in found]) < 0.07


def test_rank_correlation() -> None:
    random = np.random.default_rng(35)
    for _ in range(20):
        x, y = random.integers(0, 6, 10), random.normal(size=10)
        found = rank_correlation(list(x), list(y), draws=2000)
        rho, p_value = spearmanr(x, y)
        assert found.rho == pytest.approx(rho)
        assert found.p_value == pytest.approx(p_value, abs=0.05)
        assert found.low <= found.rho <= found.high
    assert rank_correlation([1, 2, 3, 4, 5, 6], [1, 8, 27, 64, 125, 216]).rho == pytest.approx(1)
    for few, others in (([1, 2, 3], [1, 2, 3]), ([1, 2, 3, 4], [1, 2, 3]), ([1, 1, 1, 1], [1, 2, 3, 4])):
        with pytest.raises(DinkuError, match="rank_correlation"):
            rank_correlation(few, others)


def test_the_worst_of_several_runs() -> None:
    gold = [["B-PER", "O"], ["B-PER", "I-PER"], ["O", "O"]]
    right, half = count(gold, gold), count(gold, [["O", "O"], ["B-PER", "I-PER"], ["O", "B-LOC"]])
    found = worst([right, half])
    assert found.default.sum(1).tolist() == [[1, 0, 0], [1, 1, 1], [0, 1, 0]]
    assert worst([right]).scores() == right.scores()
    runs = [count(gold, g) for g in (gold, [["O", "O"], ["O", "O"], ["O", "O"]])]
    assert worst([*runs, half]).scores().f1 <= min(c.scores().f1 for c in (*runs, half))
    with pytest.raises(DinkuError, match="same sentences"):
        worst([right, count(gold[:2], gold[:2])])


def test_the_document_says_what_labels_that_gold_lacks_cost() -> None:
    gold, found = [("B-PER", "O", "O")], [("B-PER", "O", "B-DATE")]
    out = document(count(gold, found))
    assert out["default"]["precision"] == 0.5
    assert out["without_absent"]["default"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    assert out["without_absent"]["dropped"] == 1
    assert "without_absent" not in document(count(gold, gold))


def skilled(random: np.random.Generator, gold: NDArray[np.int64], f1: float) -> Counts:
    """A run over two languages whose expected F1 is ``f1``."""
    return simulated(random, gold, f1 * (1.2 + 0.3) / (1.2 * (2 - f1)), 2)


@pytest.mark.slow
def test_what_is_kept_is_told_apart_where_it_differs_and_seldom_where_it_does_not() -> None:
    """A tagger that loses a fifth of its F1, and on other text a fifth, too, or two fifths."""
    random = np.random.default_rng(36)
    alike, worse, covered = [], [], []
    for seed in range(150):
        gold = random.poisson(1.2, 500)
        other = random.poisson(1.2, 400) if seed % 2 else gold  # another text, or the same perturbed
        clean = [skilled(random, gold, 0.8)], [skilled(random, gold, 0.64)]
        alike.append(
            f1_kept(clean, ([skilled(random, other, 0.6)], [skilled(random, other, 0.48)]), draws=200, seed=seed)
        )
        worse.append(
            f1_kept(clean, ([skilled(random, other, 0.6)], [skilled(random, other, 0.36)]), draws=200, seed=seed)
        )
        covered.append(worse[-1].low < -0.2 < worse[-1].high)
    assert np.mean([found.p_value < 0.05 for found in alike]) <= 0.1
    assert np.mean([found.low > 0 or found.high < 0 for found in alike]) <= 0.1
    assert np.mean([found.high < 0 for found in worse]) > 0.9
    assert 0.88 <= np.mean(covered) <= 1.0


def test_kept_of_runs_with_seeds() -> None:
    random = np.random.default_rng(37)
    gold = random.poisson(1.2, 300)
    clean, noisy = ([skilled(random, gold, f1) for _ in range(3)] for f1 in (0.8, 0.6))
    assert f1_kept((clean, noisy), (clean, noisy)) == (0.0, 0.0, 0.0, 1.0)
    found = f1_kept((clean, clean), (clean, noisy), average="languages")
    by = [[np.mean([s.f1 for s in c.by_language().values()]) for c in runs] for runs in (clean, noisy)]
    assert found.difference == pytest.approx(np.mean(by[1]) / np.mean(by[0]) - 1)
    assert found.high < 0
    dead = [replace(c, default=c.default * np.array([1, 0, 0])) for c in clean]
    assert f1_kept((clean, clean), (dead, dead)).difference == 0  # nothing to lose
    for wrong, said in (
        ((clean, noisy[:2]), "there are 3, 3, 3, 2 seeds"),
        ((clean, [*noisy[:2], skilled(random, gold[::-1], 0.5)]), "same sentences"),
    ):
        with pytest.raises(DinkuError, match=said):
            f1_kept((clean, noisy), wrong)
