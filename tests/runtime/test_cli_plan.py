"""``npuc plan``: the file it writes, the exit codes, and what it says of bad files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from npuc import api
from npuc.compiler.planning.csv_files import parse_buffers
from tests.command_line import npuc
from tests.compiler.planning.checking import faults

SMALL = "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n"
RICH = """id,lower,upper,size,alignment,gaps,offset,hint
a,0,9,10,4,2-4,,8
b,2,4,6,1,,2,
c,0,9,3,1,,,
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "buffers.csv"
    path.write_text(text)
    return path


def test_the_plan_is_written_beside_the_columns(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = npuc("plan", written(tmp_path, SMALL), "--capacity", 12, "-o", out)
    assert done.code == 0 and "no plan is lower" in done.out
    lines = out.read_text().splitlines()
    assert lines[0] == "id,lower,upper,size,offset"
    offsets = {line.split(",")[0]: int(line.split(",")[-1]) for line in lines[1:]}
    assert faults(parse_buffers(SMALL, "small"), offsets, 12) == []


def test_optional_columns_are_kept_and_obeyed(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert npuc("plan", written(tmp_path, RICH), "-o", out).code == 0
    buffers = parse_buffers(RICH, "rich")
    again = parse_buffers(out.read_text(), "out")
    assert out.read_text().splitlines()[0] == "id,lower,upper,size,alignment,gaps,hint,offset"
    offsets = {b.id: b.fixed_offset or 0 for b in again}
    assert faults(buffers, offsets) == [] and offsets["b"] == 2


SHARED = """id,lower,upper,size,group,group_offset,in_place_of,banks,uses,spill_cycles
x,0,4,64,,,,,0 3,100
v,0,6,32,g,0,,,,
w,0,6,32,g,32,,,,
y,4,9,48,,,x,,,
z,2,9,64,,,,1,,
"""


def test_groups_and_in_place_share_bytes(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = npuc("plan", written(tmp_path, SHARED), "--capacity", 192, "-o", out)
    assert done.code == 0
    buffers = {b.id: b for b in parse_buffers(out.read_text(), "out")}
    offsets = {name: b.fixed_offset or 0 for name, b in buffers.items()}
    assert offsets["w"] == offsets["v"] + 32
    assert offsets["y"] == offsets["x"]
    given = parse_buffers(SHARED, "shared")
    assert [replace(b, fixed_offset=None) for b in buffers.values()] == list(given)


def test_banks_keep_apart_what_conflicts(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.csv", tmp_path / "out.csv"
    pairs.write_text("a,b,cycles\nv,z,10\nz,w,3\nx,v,2\n")
    command = "plan", written(tmp_path, SHARED), "--banks", 2, "--conflicts", pairs
    done = npuc(*command, "--capacity", 256, "-o", out)
    assert done.code == 0 and "bank 1: " in done.out
    with out.open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert {name: row["bank"] for name, row in rows.items()}["z"] == "1"
    assert rows["v"]["bank"] == rows["w"]["bank"] == "0", "a group is in one bank, apart from z"
    assert "2 cycles are lost" in done.out or rows["x"]["bank"] == "1"
    told = json.loads(npuc(*command, "--capacity", 256, "--json").out)
    assert told["fits"] and told["bank"]["z"] == 1
    again = npuc("plan", out, "--banks", 2, "--capacity", 256, "-o", tmp_path / "again.csv")
    assert again.code == 0
    with (tmp_path / "again.csv").open() as file:
        replanned = {row["id"]: (row["bank"], row["offset"]) for row in csv.DictReader(file)}
    assert replanned == {name: (row["bank"], row["offset"]) for name, row in rows.items()}
    crowded = npuc(*command, "--capacity", 80)
    assert (
        crowded.code == 1 and "no room was found in a bank that may hold them for: v" in crowded.out
    )


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ("z,0,4,64,1,,\na,3,8,64,1,,z\n", ("--banks", 1, "--capacity", 64)),
        ("a,0,4,40,64,,\nb,0,4,40,64,,\nc,0,4,41,1,,\n", ("--banks", 2, "--capacity", 200)),
        ("v,0,4,64,1,g,\nw,0,4,64,1,g,\n", ("--banks", 2, "--capacity", 128)),
    ],
    ids=["in place", "aligned", "group"],
)
def test_banks_hold_what_fits(tmp_path: Path, rows: str, options: tuple[object, ...]) -> None:
    text = f"id,lower,upper,size,alignment,group,in_place_of\n{rows}"
    done = npuc("plan", written(tmp_path, text), *options)
    assert done.code == 0, done.out


def test_fixed_buffers_in_the_same_bytes_are_refused(tmp_path: Path) -> None:
    text = "id,lower,upper,size,offset\na,0,9,64,0\nb,5,7,64,32\n"
    done = npuc("plan", written(tmp_path, text))
    assert done.code == 2 and "buffers a and b" in done.err and "0 and 32" in done.err
    apart = text.replace("b,5,7", "b,9,12")
    assert npuc("plan", written(tmp_path, apart)).code == 0


@pytest.mark.parametrize(
    ("size", "says"),
    [("9" * 5000, "line 2, column size: '999"), ("x" * 200_000, "the file is no CSV")],
    ids=["digits", "cell"],
)
def test_cells_without_end_are_refused(tmp_path: Path, size: str, says: str) -> None:
    done = npuc("plan", written(tmp_path, f"id,lower,upper,size\na,0,1,{size}\n"))
    assert done.code == 2 and says in done.err and len(done.err) < 1000


def test_what_may_be_stored_and_loaded_again_is_told(tmp_path: Path) -> None:
    text = "id,lower,upper,size,uses\na,0,9,64,0 8\nb,2,7,64,\n"
    done = npuc("plan", written(tmp_path, text), "--capacity", 64)
    assert done.code == 1
    assert "stored while idle: a (64) from 1 to 8" in done.out
    assert "lowers the bound to 64 bytes" in done.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--banks", 2), ["not a number of equal banks", "no --capacity"]),
        (("--banks", 2, "--capacity", 25), ["--banks 2 and 25", "multiple of 2"]),
        (("--conflicts", "c.csv"), ["--conflicts is for banks", "add --banks N"]),
        (("--banks", 1, "--capacity", 256), ["buffer z", "banks below 1"]),
    ],
)
def test_banks_that_cannot_be(tmp_path: Path, options: tuple[object, ...], says: list[str]) -> None:
    done = npuc("plan", written(tmp_path, SHARED), *options)
    assert done.code == 2
    assert all(words in done.err for words in says), done.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n", "lacks columns: cycles"),
        ("a,b,cycles\nx,y\n", "line 2, column all: '2 cells'"),
        ("a,b,cycles\nx,y,-1\n", "line 2, column cycles: '-1'"),
        ("a,b,cycles\nx,q,1\n", "buffer x, q"),
    ],
)
def test_conflicts_with_mistakes(tmp_path: Path, text: str, says: str) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(text)
    buffers = written(tmp_path, SHARED)
    done = npuc("plan", buffers, "--banks", 2, "--capacity", 256, "--conflicts", pairs)
    assert done.code == 2 and says in done.err


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("x,0,4,8,,4,,,,", "column group_offset: '4'; allowed: an offset where"),
        ("x,0,4,8,g,-4,,,,", "column group_offset: '-4'"),
        ("x,0,4,8,,,,1 b,,", "column banks: '1 b'; allowed: whole numbers from 0"),
        ("x,0,4,8,,,,,4,", "column uses: '4'; allowed: whole numbers from 0 to 3"),
        ("x,0,4,8,,,,,,0", "column spill_cycles: '0'"),
        ("x,0,4,8,,,q,,,", "its in-place partner is unknown"),
    ],
)
def test_each_bad_cell_of_sharing_is_named(tmp_path: Path, row: str, says: str) -> None:
    done = npuc("plan", written(tmp_path, f"{SHARED.splitlines()[0]}\n{row}\n"))
    assert done.code == 2 and says in done.err


def test_a_capacity_below_the_bound_names_what_makes_it(tmp_path: Path) -> None:
    done = npuc("plan", written(tmp_path, SMALL), "--capacity", 11)
    assert done.code == 1
    assert "no plan can fit into 11 bytes" in done.out
    assert "12 bytes: b1 (4), b3 (4), b5 (4)" in done.out


def test_json_tells_the_same(tmp_path: Path) -> None:
    done = npuc("plan", written(tmp_path, SMALL), "--capacity", 11, "--json")
    told = json.loads(done.out)
    assert done.code == 1 and told["impossible"] and told["lower_bound_bytes"] == 12
    assert told["fullest"] == ["b1", "b3", "b5"] and set(told["offsets"]) >= {"b4"}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("x,1,1,4,1,,,", "line 2, column upper: '1'; allowed: a time above lower, which is 1"),
        ("x,-1,2,4,1,,,", "line 2, column lower: '-1'"),
        ("x,1,2,0,1,,,", "line 2, column size: '0'; allowed: a whole number from 1"),
        ("x,1,2,9e9,1,,,", "line 2, column size: '9e9'"),
        ("x,1,2,4,0,,,", "line 2, column alignment: '0'"),
        ("x,1,2,4,4,,6,", "line 2, column offset: '6'; allowed: a multiple of the alignment 4"),
        ("x,1,9,4,1,1-9,,", "line 2, column gaps: '1-9'; allowed: gaps that leave some"),
        ("x,1,9,4,1,5-3,,", "line 2, column gaps: '5-3'; allowed: BEGIN-END ascending"),
        ("x,1,9,4,1,3-5@0:2,,", "line 2, column gaps"),
        (",1,2,4,1,,,", "line 2, column id: ''; allowed: a name"),
        ("x,1,2", "line 2, column all: '3 cells'; allowed: 8 cells"),
        ("x,1,2,4,1,,,b", "line 2, column hint: 'b'"),
    ],
)
def test_each_bad_cell_is_named(tmp_path: Path, row: str, says: str) -> None:
    header = RICH.splitlines()[0]
    done = npuc("plan", written(tmp_path, f"{header}\n{row}\ny,1,0,1,1,,,\n"))
    assert done.code == 2 and says in done.err
    assert "line 3, column upper: '0'" in done.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks columns: id, lower, upper, size"),
        ("id,lower,end,size\n", "lacks columns: upper"),
        ("id,lower,upper,size,colour\n", "unknown columns: colour"),
        ("id,lower,upper,size,size\n", "repeats columns: size"),
        (
            "id,lower,upper,size\na,0,1,2\na,0,1,2\n",
            "line 3, column id: 'a'; allowed: each id once",
        ),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    done = npuc("plan", written(tmp_path, text))
    assert done.code == 2 and says in done.err


def test_long_lists_of_faults_are_cut(tmp_path: Path) -> None:
    rows = "".join(f"b{i},1,1,1\n" for i in range(30))
    done = npuc("plan", written(tmp_path, "id,lower,upper,size\n" + rows))
    assert done.code == 2 and "and 10 more" in done.err


def test_from_python() -> None:
    found = api.plan([api.Buffer("a", 0, 2, 8), api.Buffer("b", 1, 3, 8)], 16)
    assert found.fits and set(found.offsets.values()) == {0, 8}
