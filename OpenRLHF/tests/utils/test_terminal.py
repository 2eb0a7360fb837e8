"""Text for a terminal."""

import io

import pytest

from openrlhf.utils.terminal import has_colours, plain


def test_control_and_direction_characters_are_written_out_and_letters_are_not() -> None:
    assert plain("a\x1b[2Jb\r\n\tc") == "a\\u001b[2Jb\\u000d\n\tc"
    assert plain("\u202eabc\u2066 \ufeff") == "\\u202eabc\\u2066 \\ufeff"
    kept = "é 数学 שלום 👩\u200d👧"
    assert plain(kept) == kept


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_whose_user_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert has_colours(Terminal())
    assert not has_colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours(Terminal())
