"""Transfers, matrix and vector commands, order; expected by lists, fractions and by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate, pairwise

from tests.conformance import exact
from tests.conformance.building import (
    SIZES,
    Tensor,
    Vector,
    assembled,
    header,
    kernel,
    loaded,
    moved,
)
from tests.conformance.conversions import from_half_bits
from tests.conformance.exact import INF, NAN, SIGN, bits_of, wrap
from tests.conformance.micro_ops import in_order

OUT_AT = 0x8000


def stored(outputs: dict[str, Tensor], first_map: int, wait: str) -> tuple[list[str], list[str]]:
    """Maps and stores of one output that lies at OUT_AT."""
    ((_, tensor),) = outputs.items()
    return (
        [f".map m{first_map} = {moved('output', tensor, 0)}"],
        [f"st m{first_map}, spm={OUT_AT} wait {wait}"],
    )


def command(
    name: str,
    inputs: dict[str, Tensor],
    output: Tensor,
    program: tuple[list[str], list[str]],
    extensions: str = "",
) -> Vector:
    """Load all inputs, run the code of (directives, code), store OUT_AT after vpu[0] >= 1."""
    directives, code = program
    outputs = {"y": output}
    maps, loads, _ = loaded(inputs)
    out_maps, stores = stored(outputs, len(maps), "vpu[0] >= 1")
    lines = [*header(inputs, outputs, extensions), *maps, *out_maps, *directives]
    return Vector(name, assembled(lines, [*loads, *code, *stores]), inputs, outputs)


# -- transfers -------------------------------------------------------------------------------------


def transfer_cases() -> Iterator[Vector]:
    x = Tensor("i16", [10 * r + c for r in range(4) for c in range(6)])
    inputs = {"x": x}

    def box(row: int, col: int) -> list[int]:
        return [
            10 * r + c if 0 <= r < 4 and 0 <= c < 6 else 0x7777
            for r in range(row, row + 3)
            for c in range(col, col + 4)
        ]

    maps = [
        ".map m0 = input i16 0 [4:12, 6:2] box [3:8, 4:2] fill 0x7777",
        ".map m1 = output i16 0 [12:2] box [12:2]",
    ]
    for row, col in ((1, 2), (-1, -2), (2, 4), (0, 5), (7, 0), (-3, -4)):
        outputs = {"y": Tensor("i16", box(row, col))}
        code = [f"ld m0, spm=6, i0={row}, i1={col}, ld1 inc 2", "st m1, spm=6 wait ld1[2] >= 1"]
        text = assembled([*header(inputs, outputs), *maps], code)
        yield Vector(f"ld at {row}, {col}", text, inputs, outputs)
    maps = [
        ".map m0 = input i16 0 [24:2] box [24:2]",
        ".map m1 = output i16 2 [2:8, 3:2] box [3:8, 4:2]",
    ]
    kept = [0] * 8
    for r in range(3):
        for c in range(4):
            if 0 <= r - 1 < 2 and 0 <= c + 1 < 3:
                kept[1 + 4 * (r - 1) + c + 1] = x.elements[4 * r + c]
    outputs = {"y": Tensor("i16", kept)}
    code = ["ld m0, ld0 inc 0", "st m1, i0=-1, i1=1 wait ld0[0] >= 1"]
    yield Vector(
        "st drops what lies outside",
        assembled([*header(inputs, outputs), *maps], code),
        inputs,
        outputs,
    )


def indexed_cases() -> Iterator[Vector]:
    table = [100 * r + c for r in range(5) for c in range(3)]
    index = [4, 0, -1, 2, 5, 2]
    inputs = {"x": Tensor("i32", table), "i": Tensor("i32", index)}
    views = [".view v0 = i32 spm 512 [6:4]"]
    maps = [
        ".map m0 = input i32 0 [5:12, 3:4] box [1:12, 3:4] fill 0xffffffff",
        ".map m1 = input i32 64 [6:4] box [6:4]",
        ".map m2 = output i32 0 [18:4] box [18:4]",
        ".map m3 = output i32 0 [5:12, 3:4] box [1:12, 2:4]",
    ]
    rows = [table[3 * i : 3 * i + 3] if 0 <= i < 5 else [-1] * 3 for i in index]
    outputs = {"y": Tensor("i32", [e for row in rows for e in row])}
    code = [
        "ld m1, spm=512, ld0 inc 0",
        "gather m0, v0, spm=1024, step=12, ld1 wait ld0[0] >= 1 inc 0",
        "st m2, spm=1024 wait ld1[0] >= 1",
    ]
    yield Vector(
        "gather", assembled([*header(inputs, outputs), *views, *maps], code), inputs, outputs
    )
    left = [0] * 18
    for position, i in enumerate(index):  # boxes of 2 from rows of 3, one column further
        for c in range(2):
            if 0 <= i < 5 and c + 1 < 3:
                left[3 * i + c + 1] = rows[position][c]
    outputs = {"y": Tensor("i32", left)}
    code = [*code[:2], "scatter m3, v0, spm=1024, step=12, rc1=r1 wait ld1[0] >= 1"]
    code = ["add r1, r0, 1", *code]
    yield Vector(
        "scatter", assembled([*header(inputs, outputs), *views, *maps], code), inputs, outputs
    )


def move_cases() -> Iterator[Vector]:
    x = list(range(1, 13))
    inputs = {"x": Tensor("i16", x)}
    directives = [
        ".view v0 = i16 spm 0 [4:2, 3:8]",
        f".view v1 = i16 spm {OUT_AT} [4:6, 3:2]",
        f".view v2 = i16 spm {OUT_AT} [12:2] window -1 < 10 (1) fill 0x9",
        ".view v3 = i16 spm 0 [12:2] window -1 < 10 (1) fill 0x9",
        f".view v4 = i16 spm {OUT_AT + 2} [5:4]",
    ]
    turned = [x[c + 4 * r] for c in range(4) for r in range(3)]
    at_end = "nop vpu wait ld0[1] >= {} inc 0"
    yield command(
        "copy",
        inputs,
        Tensor("i16", turned),
        (directives, ["copy v1, v0, ld0 inc 1", at_end.format(1)]),
    )
    outside = [9, *x[1:11], 9]
    yield command(
        "copy from a window",
        inputs,
        Tensor("i16", outside),
        (
            [*directives, f".view v5 = i16 spm {OUT_AT} [12:2]"],
            ["copy v5, v3, ld0 inc 1", at_end.format(1)],
        ),
    )
    filled = [0] * 12
    for i in range(5):
        filled[1 + 2 * i] = -2
    yield command(
        "fill",
        inputs,
        Tensor("i16", filled),
        (directives, ["add r1, r0, 65530", "fill v4, r1 + 4, ld0 inc 1", at_end.format(1)]),
    )
    dropped = [0, *[7] * 10, 0]
    yield command(
        "fill drops what a window shuts out",
        inputs,
        Tensor("i16", dropped),
        (directives, ["fill v2, 7, ld0 inc 1", at_end.format(1)]),
    )


# -- matrix ----------------------------------------------------------------------------------------

M, K, N = 3, 37, 5
PADDING = "window -1 < 5 (0, 2, 0, 1, 0, 0) window -1 < 5 (0, 0, 2, 0, 1, 0)"
TWO_OUTPUTS = ("%0 = mulf in0, p0", "%1 = sumf %0", "%2 = rmaxf in0", "epilogue:",
               "%3 = addf %1, p1", "store epilogue %3", "store epilogue %2")  # fmt: skip


def _elements(rng: random.Random, dtype: str, count: int) -> list[int]:
    if dtype == "i8":
        return [rng.choice((-128, 127, rng.randrange(-128, 128))) for _ in range(count)]
    numbers = [bits_of(rng.randrange(-512, 512) / 2 ** rng.randrange(8)) for _ in range(count)]
    if dtype == "f32":
        return [b ^ rng.randrange(4096) for b in numbers]
    if dtype == "bf16":
        return [b >> 16 for b in numbers]
    return [rng.randrange(0x3000, 0x4C00) | rng.choice((0, 0x8000)) for _ in range(count)]


def _wide(raw: int, dtype: str) -> int:
    return raw if dtype in ("f32", "i8") else from_half_bits(raw, dtype)


def _product(a: list[int], w: list[int], dtype: str, start: list[int]) -> list[int]:
    found = []
    for m in range(M):
        for n in range(N):
            total = start[m * N + n]
            for k in range(K):
                x, y = a[m * K + k], w[k * N + n]
                if dtype == "i8":
                    total = wrap(total + x * y)
                else:
                    product = exact.mul(_wide(x, dtype), _wide(y, dtype))
                    total = exact.add(total, product)
            found.append(total)
    return found


def mma_cases() -> Iterator[Vector]:
    for number, dtype in enumerate(("i8", "f32", "bf16", "f16")):
        rng, size = random.Random(number), SIZES[dtype]
        a, w = _elements(rng, dtype, M * K), _elements(rng, dtype, K * N)
        inputs = {"a": Tensor(dtype, a), "w": Tensor(dtype, w)}
        at = -(-M * K * size // 8) * 8
        word = "i32" if dtype == "i8" else "f32"
        directives = [
            f".view v0 = {dtype} spm 0 [1:0, 1:0, {M}:{K * size}, 1:0, 1:0, {K}:{size}]",
            f".view v1 = {dtype} spm {at} [1:0, 1:0, {K}:{N * size}, {N}:{size}]",
            f".view v2 = {word} acc 64 [1:0, 1:0, {M}:{4 * N}, {N}:4]",
            f".view v3 = {word} acc 64 [1:0, 1:0, 1:0, {M * N}:4, 1:0, 1:0, 1:0]",
            f".view v4 = {word} spm {OUT_AT} [1:0, 1:0, 1:0, {M * N}:4, 1:0, 1:0, 1:0]",
            f".kernel k0 ({word[0]}) {{\n  store body in0\n}}",
        ]
        show = "vexec k0, in0=v3, out0=v4 wait mxu[0] >= {} inc 0"
        once = _product(a, w, dtype, [0] * (M * N))
        letters = "" if dtype == "i8" else "F"
        yield command(
            f"mma {dtype}",
            inputs,
            Tensor(word, once),
            (directives, ["mma v2, v0, v1 wait ld0[0] >= 2 inc 0", show.format(1)]),
            letters,
        )
        twice = _product(a, w, dtype, once)
        code = [
            "add r1, r0, 1",
            "mma v2, v0, v1, rk=r0 wait ld0[0] >= 2 inc 0",
            "mma v2, v0, v1, rk=r1 inc 0",
            show.format(2),
        ]
        yield command(
            f"mma {dtype}, accumulating by a register",
            inputs,
            Tensor(word, twice),
            (directives, code),
            letters,
        )


def convolution_cases() -> Iterator[Vector]:
    """A 3x3 convolution, stride 2, padding 1 with fill -3, of 5x5x2 to 3x3x2, as one mma."""
    rng = random.Random(9)
    x, w = _elements(rng, "i8", 50), _elements(rng, "i8", 36)
    found = []
    for y0 in range(3):
        for x0 in range(3):
            for n in range(2):
                total = 0
                for ky in range(3):
                    for kx in range(3):
                        for c in range(2):
                            y, z = 2 * y0 + ky - 1, 2 * x0 + kx - 1
                            inside = 0 <= y < 5 and 0 <= z < 5
                            pixel = x[10 * y + 2 * z + c] if inside else -3
                            total += pixel * w[12 * ky + 4 * kx + 2 * c + n]
                found.append(wrap(total))
    directives = [
        f".view v0 = i8 spm r1 [1:0, 3:20, 3:4, 3:10, 3:2, 2:1] {PADDING} fill 0xfd",
        ".view v1 = i8 spm 56 [3:12, 3:4, 2:2, 2:1]",
        ".view v2 = i32 acc 0 [1:0, 3:24, 3:8, 2:4]",
        ".view v3 = i32 acc 0 [1:0, 1:0, 1:0, 18:4, 1:0, 1:0, 1:0]",
        f".view v4 = i32 spm {OUT_AT} [1:0, 1:0, 1:0, 18:4, 1:0, 1:0, 1:0]",
        ".kernel k0 (i) {\n  store body in0\n}",
    ]
    code = [
        "mma v2, v0, v1 wait ld0[0] >= 2 inc 0",
        "vexec k0, in0=v3, out0=v4 wait mxu[0] >= 1 inc 0",
    ]

    yield command(
        "mma as a convolution",
        {"x": Tensor("i8", x), "w": Tensor("i8", w)},
        Tensor("i32", found),
        (directives, ["add r1, r0, -12", *code]),
    )


# -- vector ----------------------------------------------------------------------------------------


def vector_cases() -> Iterator[Vector]:
    x = [bits_of(i / 8) for i in range(-10, 20)]
    inputs = {"x": Tensor("f32", x)}
    directives = [
        ".view v0 = f32 spm 0 [1:0, 1:0, r5<=3:40, 1:0, 1:0, 1:0, 10:4]",
        f".view v1 = f32 spm {OUT_AT} [1:0, 1:0, r5<=3:12, 1:0, 1:0, 1:0, 1:0]",
        f".view v2 = f32 spm {OUT_AT + 4} [1:0, 1:0, r5<=3:12, 1:0, 1:0, 1:0, 1:0]",
        f".kernel k0 {kernel('f', TWO_OUTPUTS)}",
        ".params p0 = 0x3f000000, 0 r6",
    ]
    expected = [0] * 9
    for row in range(2):
        part = x[10 * row : 10 * row + 10]
        total = in_order(exact.add)([exact.mul(e, bits_of(0.5)) for e in part])
        expected[3 * row] = exact.add(total, bits_of(-1.0))
        expected[3 * row + 1] = max(part, key=exact.key)
    code = [
        "add r5, r0, 2",
        f"add r6, r0, {0xABCD << 32 | bits_of(-1.0)}",
        "vexec k0, params=p0, in0=v0, out0=v1, out1=v2 wait ld0[0] >= 1 inc 0",
    ]
    yield command(
        "vexec, two outputs, extents and a parameter from registers",
        inputs,
        Tensor("f32", expected),
        (directives, code),
    )


def part_cases() -> Iterator[Vector]:
    rng = random.Random(77)
    length, cuts = 70, (0, 7, 7, 40, 70)
    x = [bits_of(rng.randrange(-9999, 9999) / 1024) for _ in range(2 * length)]
    for name, step in (("sumf", exact.add), ("prodf", exact.mul)):
        lines = f".kernel k0 (f) {{\n  %0 = {name} in0\n  epilogue:\n  store epilogue %0\n}}"
        directives = [
            lines,
            f".view v0 = f32 spm {OUT_AT} [1:0, 1:0, 1:0, 2:4, 1:0, 1:0, 1:0]",
            ".view v1 = i32 spm 4096 [1:0, 1:0, 1:0, 2:64, 1:0, 16:4]",
        ]
        code = []
        for i, (start, stop) in enumerate(pairwise(cuts)):
            size = stop - start
            directives.append(
                f".view v{i + 2} = f32 spm {4 * start} "
                f"[1:0, 1:0, 1:0, 2:{4 * length}, 1:0, 1:0, {size}:4]"
            )
            done = " inc 0" if stop == length else ""
            code.append(
                f"vpart k0, in0=v{i + 2}, out0=v0, state=v1, start={start}, "
                f"total={length} wait ld0[0] >= 1{done}"
            )
        whole = in_order(step)
        found = [whole(x[:length]), whole(x[length:])]
        yield command(
            f"vpart, {name}", {"x": Tensor("f32", x)}, Tensor("f32", found), (directives, code)
        )
        partial = [list(accumulate(x[lane:40:16], step))[-1] for lane in range(16)]
        view = f".view v9 = f32 spm {OUT_AT} [1:0, 1:0, 1:0, 1:64, 1:0, 16:4]"
        only = [
            *directives,
            view,
            f".view v10 = f32 spm 0 [1:0, 1:0, 1:0, 1:{4 * length}, 1:0, 1:0, 40:4]",
            ".view v11 = f32 spm 8192 [1:0, 1:0, 1:0, 1:4, 1:0, 1:0, 1:0]",
        ]
        code = [f"vpart k0, in0=v10, out0=v11, state=v9, total={length} wait ld0[0] >= 1 inc 0"]
        yield command(
            f"the state of vpart, {name}",
            {"x": Tensor("f32", x)},
            Tensor("f32", partial),
            (only, code),
        )


# -- scan, top k, sort -----------------------------------------------------------------------------

SCANS = {
    "sumf": (exact.add, 0),
    "prodf": (exact.mul, bits_of(1.0)),
    "minf": (exact.smaller, INF),
    "maxf": (exact.larger, SIGN | INF),
    "sumi": (lambda a, b: wrap(a + b), 0),
    "prodi": (lambda a, b: wrap(a * b), 1),
    "mini": (min, 2**31 - 1),
    "maxi": (max, -(2**31)),
}
FLOATS = [bits_of(x) for x in (0.1, -2.5, 3.0, 0.1, 7.25, -0.0, 0.0, 1e8, 0.3, 3.0)]


def _row_views(dtype: str, length: int, first: bool) -> list[str]:
    rows = f".view v0 = {dtype} spm 0 [1:0, 1:0, 1:0, 1:0, {length}:4]"
    out = f".view v1 = {dtype} spm {OUT_AT} [1:0, 1:0, 1:0, 1:0, {length}:4]"
    start = f".view v2 = {dtype} spm {4 * length} [1:0, 1:0, 1:0, 1:0, 1:4]"
    return [rows, out, *([start] if first else [])]


def scan_cases() -> Iterator[Vector]:
    integers = [3, -7, 2**31 - 1, 2, 2, -(2**31), 0, 5]
    for name, (step, neutral) in SCANS.items():
        dtype = "f32" if name.endswith("f") else "i32"
        x = [*FLOATS, SIGN | INF] if dtype == "f32" else integers
        length = len(x) - 1  # the last element is what the scan starts with
        for first in (False, True):
            for exclusive in (False, True):
                held = [x[-1]] if first else []
                found = list(accumulate([*held, *x[:length]], step))[len(held) :]
                if exclusive:
                    found = [x[-1] if first else neutral, *found[:-1]]
                words = [
                    "scan v0, v1",
                    *(["first=v2"] if first else []),
                    name,
                    *(["exclusive"] if exclusive else []),
                ]
                title = " ".join(
                    w for w in (f"scan {name}", "first" * first, "exclusive" * exclusive) if w
                )
                yield command(
                    title,
                    {"x": Tensor(dtype, x)},
                    Tensor(dtype, found),
                    (
                        _row_views(dtype, length, first),
                        [", ".join(words) + " wait ld0[0] >= 1 inc 0"],
                    ),
                )


def _order(x: list[int], dtype: str, descending: bool) -> list[int]:
    def number(i: int) -> tuple[int, object]:
        if dtype == "i32":
            return 0, x[i]
        return (1, 0) if exact.is_nan(x[i]) else (0, exact.value(x[i]))

    indices = sorted(range(len(x)), key=number)
    if not descending:
        return indices
    found: list[int] = []  # equals stay in ascending order of index
    for i in reversed(indices):
        place = len(found)
        while place and number(found[place - 1]) == number(i):
            place -= 1
        found.insert(place, i)
    return found


def sort_cases() -> Iterator[Vector]:
    floats = [*FLOATS, 0xFFC00001, INF, SIGN | INF, NAN]
    integers = [3, -7, 3, 2**31 - 1, -(2**31), 0, 3, -7]
    for dtype, x in (("f32", floats), ("i32", integers)):
        domain = "float" if dtype == "f32" else "int"
        for mnemonic, flag, k in (
            ("sort", "", len(x)),
            ("sort", "descending", len(x)),
            ("topk", "", 4),
            ("topk", "smallest", 4),
        ):
            descending = flag == ("descending" if mnemonic == "sort" else "")
            order = _order(x, dtype, descending)[:k]
            values = [exact.quiet(x[i]) if dtype == "f32" else x[i] for i in order]
            views = [
                f".view v0 = {dtype} spm 0 [1:0, 1:0, 1:0, 1:0, {len(x)}:4]",
                f".view v1 = {dtype} spm {OUT_AT} [1:0, 1:0, 1:0, 1:0, {k}:4]",
                f".view v2 = i32 spm {OUT_AT} [1:0, 1:0, 1:0, 1:0, {k}:4]",
            ]
            for what, view, out in (
                ("values", 1, Tensor(dtype, values)),
                ("indices", 2, Tensor("i32", order)),
            ):
                words = [f"{mnemonic} v0, {what}=v{view}", domain, *([flag] if flag else [])]
                yield command(
                    f"{mnemonic} {dtype} {flag} {what}",
                    {"x": Tensor(dtype, x)},
                    out,
                    (views, [", ".join(words) + " wait ld0[0] >= 1 inc 0"]),
                )


# -- order -----------------------------------------------------------------------------------------


def order_cases() -> Iterator[Vector]:
    inputs = {"x": Tensor("i32", [1, 2, 3, 4])}
    outputs = {"y": Tensor("i32", [1, 2, 3, 4])}
    maps = [".map m0 = input i32 0 [4:4] box [4:4]", ".map m1 = output i32 0 [4:4] box [4:4]"]
    code = ["ld m0, ld0", "fence", "st m1"]
    yield Vector("fence", assembled([*header(inputs, outputs), *maps], code), inputs, outputs)
    code = [
        "ld m0, ld0 inc 7",
        "nop mxu wait ld0[7] >= 1 inc 3",
        "nop ctl wait mxu[3] >= 1",
        "st m1 wait mxu[3] >= -5",
    ]
    yield Vector(
        "nop on an engine and on ctl",
        assembled([*header(inputs, outputs), *maps], code),
        inputs,
        outputs,
    )
    lines = [line.replace("tiny", "server") for line in header(inputs, outputs)]
    text = "\n".join(
        [
            *lines,
            *maps,
            ".core 0 {",
            "  ld m0, spm=64, ld0, cores=3 inc 0",
            "  halt",
            "}",
            ".core 1 {",
            "  st m1, spm=64 wait core0.ld0[0] >= 1",
            "  halt",
            "}",
            "",
        ]
    )
    yield Vector("a load that two cores receive", text, inputs, outputs)


def cases() -> list[Vector]:
    """All cases of the file."""
    return [
        *transfer_cases(),
        *indexed_cases(),
        *move_cases(),
        *mma_cases(),
        *convolution_cases(),
        *vector_cases(),
        *part_cases(),
        *scan_cases(),
        *sort_cases(),
        *order_cases(),
    ]
