"""What is read without a terminal is no wider than a page."""

from __future__ import annotations

import pytest

from dinku.claims.overview import Progress
from dinku.claims.verdict import STATEMENTS, Verdict
from dinku.cli.rows import _print_matrix
from dinku.cli.terminal import PAGE, fits, wrapped


def verdict(claim: str, key: str) -> Verdict:
    keys = frozenset({(key,)})
    return Verdict(claim, "fails", -2.9, None, (), "found", number="-10.9", decides="60 %: -10.9", on="tiny", keys=keys)


@pytest.mark.parametrize("studies", [1, 14])
def test_claims_fit_a_page_however_many_studies(studies: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"a-study-of-a-long-name-{i}" for i in range(studies)]
    by = {claim: [(name, verdict(claim, name)) for name in names] for claim in STATEMENTS}
    _print_matrix(by, {name: Progress(3, 2, ()) for name in names})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= PAGE
    heads = [line for line in lines if line.startswith("┃")]
    assert len(heads) == 2  # a table each, none parted
    assert ("C1" in heads[0]) == (studies > 5)  # then a line a study


def test_a_paragraph_is_broken_and_its_words_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    wrapped(f"C1  {'word ' * 40}{'x' * 20}", indent="    ")
    first, *others = capsys.readouterr().out.splitlines()
    assert len(first) <= PAGE
    assert others
    assert all(line.startswith("    ") for line in others)
    assert fits(["a"], [["b" * 90]])
    assert not fits(["a"], [["b" * 100]])
