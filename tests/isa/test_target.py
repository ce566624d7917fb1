"""Targets: the published numbers, and one clear message for every way to break a file."""

from dataclasses import replace
from pathlib import Path

import pytest

from npuc.isa.errors import TargetError
from npuc.isa.target import (
    DATAFLOWS,
    EXTENSIONS,
    builtin_target_names,
    load_target,
    parse_target,
    target_text,
)  # fmt: skip

# Rows of the table of the machine description: path of the field, then one value per machine.
MACHINES = ("tiny", "edge", "ref-512", "ref-2048", "server")
PUBLISHED = [
    ("cores", 1, 1, 1, 1, 4), ("clock_mhz", 1000, 1000, 1000, 1000, 1000),
    ("mxu.rows", 8, 32, 16, 32, 128), ("mxu.cols", 8, 32, 32, 64, 128),
    ("mxu.macs_per_cycle", 64, 1024, 512, 2048, 16384),
    ("mxu.mac_rate_bf16", 1 / 2, 1 / 2, 1 / 2, 1 / 2, 1),
    ("mxu.mac_rate_fp32", 1 / 8, 1 / 8, 1 / 8, 1 / 8, 1 / 4),
    ("mxu.weight_rows_per_cycle", 1, 1, 1, 2, 4),
    ("mxu.transposed_rows_per_cycle", 1 / 4, 1 / 4, 1 / 4, 1 / 2, 1),
    ("mxu.weight_double_buffer", True, True, True, True, True),
    ("mxu.fold_overlap", True, True, True, True, True),
    ("spm.capacity_bytes", 64 << 10, 512 << 10, 384 << 10, 384 << 10, 32 << 20),
    ("spm.banks", 4, 8, 8, 8, 32), ("spm.bank_width_bytes", 16, 64, 32, 64, 128),
    ("acc.capacity_bytes", 8 << 10, 128 << 10, 64 << 10, 128 << 10, 4 << 20),
    ("acc.banks", 2, 4, 4, 4, 8),
    ("vpu.lanes", 8, 32, 32, 64, 256), ("vpu.chain_depth", 4, 8, 8, 8, 8),
    ("vpu.startup_cycles", 8, 12, 12, 12, 16), ("vpu.mac8_lane_factor", 4, 4, 4, 4, 4),
    ("dram.bytes_per_cycle", 4, 16, 12, 12, 1200), ("dram.latency_cycles", 80, 120, 500, 500, 300),
    ("dram.burst_bytes", 64, 128, 128, 128, 64),
    ("dram.efficiency", 0.955, 0.955, 0.955, 0.955, 0.955),
    ("dma.channels", 2, 2, 2, 2, 8), ("dma.setup_cycles", 16, 24, 24, 24, 32),
    ("dma.outstanding_bursts", 8, 24, 64, 64, 256),
    ("ctl.queue_depth", 4, 8, 8, 8, 16), ("ctl.dispatch_cycles", 1, 1, 1, 1, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [(name, row[0], row[1 + i]) for row in PUBLISHED for i, name in enumerate(MACHINES)],
)
def test_numbers_are_those_of_the_machine_description(
    name: str, path: str, expected: object
) -> None:
    value: object = load_target(name)
    for part in path.split("."):
        value = getattr(value, part)
    assert value == expected


def test_the_published_machines_are_all_there() -> None:
    assert builtin_target_names() == tuple(sorted(MACHINES))


@pytest.mark.parametrize("name", builtin_target_names())
def test_each_target_is_complete_and_hashable(name: str) -> None:
    target = load_target(name)
    assert target.name == name and target == load_target(name)
    assert hash(target) == hash(load_target(name))
    assert target.mxu.dataflow in DATAFLOWS and set(target.extensions) <= set(EXTENSIONS)
    for event in ("mac_i8", "spm_byte", "acc_byte", "dram_byte", "vpu_lane_op", "leakage_cycle"):
        assert (target.energy_fj(event) or 0) > 0
    assert target.energy_fj("nothing") is None
    assert all(row.source and row.node and row.confidence for row in target.energy)
    assert target.vpu.cost_of("addf") == 1 and target.vpu.cost_of("exp2") > 1


BROKEN = [
    ("cores = 1", "cores = 1\nwheels = 4", "unknown key", "key wheels", "clock_mhz"),
    ("rows = 8", "rows = 8\nrows_per_wheel = 1", "unknown key", "key mxu.rows_per_wheel", "rows"),
    ("rows = 8", "", "missing key", "key mxu.rows", "int"),
    ("[dma]\nchannels", "[dmb]\nchannels", "unknown key", "key dmb", "dma"),
    ('name = "tiny"', "", "missing key", "key name", "str"),
    ("rows = 8", 'rows = "8"', "wrong type", "key mxu.rows", "int"),
    ("rows = 8", "rows = 8.0", "wrong type", "key mxu.rows", "int"),
    ("rows = 8", "rows = true", "wrong type", "key mxu.rows", "int"),
    ("fold_overlap = true", "fold_overlap = 1", "wrong type", "key mxu.fold_overlap", "bool"),
    ("latency_cycles = 80", "latency_cycles = [80]", "wrong type",
     "key dram.latency_cycles", "int"),
    ("rows = 8", "rows = 0", "out of range", "key mxu.rows", "1 to 1024"),
    ("rows = 8", "rows = 1025", "out of range", "key mxu.rows", "1 to 1024"),
    ("efficiency = 0.955", "efficiency = 1.1", "out of range", "key dram.efficiency", "0.01 to 1"),
    ("efficiency = 0.955", "efficiency = nan", "out of range", "key dram.efficiency", "0.01 to 1"),
    ("cores = 1", "cores = 17", "out of range", "key cores", "1 to 16"),
    ("exp2 = 4", "exp3 = 4", "unknown micro-op", "key vpu.op_cost", "exp2"),
    ("exp2 = 4", "exp2 = 0", "out of range", "key vpu.op_cost.exp2", "1 to 1000"),
    ("exp2 = 4", "exp2 = 4.5", "wrong type", "key vpu.op_cost.exp2", "int"),
    ("femtojoules = 84.0", "femtojoules = -1.0", "out of range",
     "key energy[0].femtojoules", "0 to"),
    ('event = "mac_i8"', 'event = "mac_i9"', "unknown energy event",
     "key energy[0].event", "mac_i8, mac_bf16"),
    ('event = "mac_bf16"', 'event = "mac_i8"', "priced twice", "key energy[1].event", "one row"),
    ("banks = 4", "banks = 3", "not a power of two", "key spm.banks", "powers of two"),
    ("burst_bytes = 64", "burst_bytes = 65", "not a power of two",
     "key dram.burst_bytes", "powers"),
    ('dataflow = "ws"', 'dataflow = "xs"', "value not allowed", "key mxu.dataflow", "ws"),
    ('extensions = ["F"]', 'extensions = ["F", "X"]', "unknown extension",
     "key extensions", "F, E"),
    ('extensions = ["F"]', "extensions = [1]", "wrong type", "key extensions", "str"),
    ('extensions = ["F"]', 'extensions = "F"', "expected a list", "key extensions", ""),
    ("[vpu.op_cost]\nexp2", "op_cost = 3\n[vpu.other]\nexp2", "unknown key",
     "key vpu.other", "lanes"),
    ("capacity_bytes = 8192", "capacity_bytes = 256\n#", "", "", ""),
    ("capacity_bytes = 65536", "capacity_bytes = 65537", "whole number of bank rows",
     "key spm.capacity_bytes", "a multiple of 64"),
    ("cores = 1", "cores = ", "not TOML", "broken.toml", ""),
    ("cores = 1", "cores = " + "[" * 5000, "not TOML", "broken.toml", ""),
    ("cores = 1", "cores = " + "9" * 5000, "not TOML", "broken.toml", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "broken", "what", "where", "allowed"), BROKEN)
def test_a_broken_target_names_its_mistake(
    old: str, broken: str, what: str, where: str, allowed: str
) -> None:
    text = target_text("tiny")
    assert old in text
    changed = text.replace(old, broken, 1)
    if not what:
        assert parse_target(changed, "broken.toml").acc.capacity_bytes == 256
        return
    with pytest.raises(TargetError) as caught:
        parse_target(changed, "broken.toml")
    error = caught.value
    assert what in error.what and where in error.where and allowed in error.allowed
    assert error.where.startswith("broken.toml") and error.next_step


def test_tables_where_values_belong_and_the_reverse() -> None:
    text = target_text("tiny")
    for old, broken in (("[vpu.op_cost]", "op_cost = 3\n[vpu.rest]"), ("[mxu]", "[[mxu]]")):
        with pytest.raises(TargetError):
            parse_target(text.replace(old, broken, 1), "broken.toml")
    with pytest.raises(TargetError, match="expected a table of integers") as caught:
        parse_target(without_costs(text, "op_cost = 3"), "broken.toml")
    assert caught.value.where == "broken.toml, key vpu.op_cost"
    start, end = text.index("[mxu]"), text.index("[spm]")
    with pytest.raises(TargetError, match="expected a table") as caught:
        parse_target(text[:start] + "mxu = 3\n" + text[end:], "broken.toml")
    assert caught.value.where == "broken.toml, key mxu"


def without_costs(text: str, instead: str) -> str:
    """``text`` with its table of micro-op costs replaced by one line of [vpu]."""
    start, end = text.index("[vpu.op_cost]"), text.index("[dram]")
    return text[:start] + instead + "\n\n" + text[end:]


def test_an_accumulator_smaller_than_one_row_is_refused() -> None:
    text = target_text("tiny").replace("cols = 8", "cols = 1024")
    text = text.replace("capacity_bytes = 8192", "capacity_bytes = 4095")
    with pytest.raises(TargetError, match="cannot hold one output row") as caught:
        parse_target(text, "broken.toml")
    assert "4096 bytes" in caught.value.allowed


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="unknown target") as unknown:
        load_target("moon")
    assert "edge, " in unknown.value.allowed and unknown.value.next_step
    with pytest.raises(TargetError, match="cannot read the target file"):
        load_target(str(tmp_path / "missing.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(TargetError, match="cannot read the target file"):
        load_target(str(tmp_path / "folder.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(TargetError, match="cannot read the target file"):
        load_target(str(tmp_path / "bytes.toml"))
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(TargetError, match="missing key"):
        load_target(str(tmp_path / "empty.toml"))
    (tmp_path / "mine.toml").write_text(target_text("edge").replace('"edge"', '"mine"'))
    assert load_target(str(tmp_path / "mine.toml")).name == "mine"


def test_a_file_with_the_name_of_another_machine_is_shown_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "wider.toml"
    path.write_text(target_text("edge").replace("lanes = 32", "lanes = 64"))
    target = load_target(str(path))
    assert (target.name, target.vpu.lanes) == ("wider.toml", 64)
    assert parse_target(target_text(str(path)), "again") == target
    path.write_text(target_text("edge"))  # a copy is that machine
    assert load_target(str(path)) == load_target("edge")
    path.write_text(target_text("edge").replace('name = "edge"', "name = 'mine'"))
    assert load_target(str(path)).name == "mine"


def test_a_target_needs_no_energy_table() -> None:
    text = target_text("tiny")
    bare = parse_target(text[: text.index("[[energy]]")], "bare")
    assert bare.energy == () and bare.energy_fj("mac_i8") is None
    assert replace(load_target("tiny"), energy=()) == bare
