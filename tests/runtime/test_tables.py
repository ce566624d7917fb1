"""Tables as text: alignment, totals, no trailing blanks."""

from __future__ import annotations

from npuc.runtime.tables import Table, render


def test_numbers_align_right_and_words_left() -> None:
    table = Table("title", ("name", "count", "share"), [("a", 1, "5.0%"), ("long", 12345, "95.0%")])
    assert render(table) == [
        "title",
        "name   count  share",
        "----  ------  -----",
        "a          1   5.0%",
        "long  12,345  95.0%",
    ]


def test_a_total_is_set_apart() -> None:
    lines = render(Table("", ("layer", "cycles"), [("a", 1), ("b", 2)], ("all", 3)))
    assert lines[-2:] == ["-----  ------", "all         3"]


def test_an_empty_table_is_its_header() -> None:
    assert render(Table("", ("layer", "cycles"), [])) == ["layer  cycles", "-----  ------"]


def test_no_line_ends_in_blanks() -> None:
    table = Table("", ("a", "b"), [("x", "long text"), ("y", "")])
    assert all(line == line.rstrip() for line in render(table))


def test_truth_is_yes_or_no() -> None:
    assert render(Table("", ("ok",), [(True,), (False,)]))[2:] == ["yes", "no"]
