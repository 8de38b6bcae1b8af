"""What other people's texts may do to a terminal: nothing."""

from __future__ import annotations

import io
import json
import sys

import pytest

from dinku.cli.terminal import print as print_shown
from dinku.cli.terminal import print_data, print_json, table, watching
from dinku.errors import DinkuError, shown

HOSTILE = "a\x1b]0;title\x07b\x9b31mc\u202ed\u2066e\x7ff\rg\ud800"
ESCAPED = r"a\x1b]0;title\x07b\x9b31mc\u202ed\u2066e\x7ff\rg\ud800"
KEPT = "ẹ̀kọ́ ሰላም می\u200cخواهم\t中文 🙂 \\x1b"  # with a zero-width non-joiner, which Persian is written with


def test_controls_are_escaped_and_writing_is_kept() -> None:
    assert (shown(HOSTILE), shown(KEPT), shown("a\nb")) == (ESCAPED, KEPT, "a\nb")
    assert ESCAPED.replace(r"\r", " ") in str(DinkuError("is odd", where=HOSTILE.replace("\r", " ")))


def test_whatever_is_printed_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_shown(HOSTILE)
    print_shown(HOSTILE, file=sys.stderr)
    table([HOSTILE, "n"], [[HOSTILE, "1"]], title=HOSTILE)
    with watching() as report:
        report(HOSTILE, 1, 2)
    out, err = capsys.readouterr()
    assert out.count(ESCAPED) == 4
    assert err == f"{ESCAPED}\n{ESCAPED}\n"
    assert not {*out, *err} & {*"\x1b\x07\x9b\u202e\u2066\x7f\r"}


def test_json_stays_the_same_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": HOSTILE, "kept": KEPT})
    out = capsys.readouterr().out
    assert json.loads(out) == {"text": HOSTILE, "kept": KEPT}
    assert "ሰላም" in out
    assert not {*out} & {*"\x1b\x07\x9b\u202e\u2066\x7f\r"}


def test_data_is_escaped_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, expected in ((True, r"a\x9bb"), (False, "a\x9bb")):
        out = io.StringIO()
        monkeypatch.setattr(out, "isatty", lambda terminal=terminal: terminal)
        monkeypatch.setattr(sys, "stdout", out)
        print_data("a\x9bb")
        assert out.getvalue() == f"{expected}\n"
