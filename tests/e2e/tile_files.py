"""Hand-written tile programs: from text to a program, and the NumPy convolution they compute."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from npuc.compiler.backend.emit import emit_program
from npuc.compiler.backend.lower_tiles import LowerTiles
from npuc.compiler.backend.place_memory import PlaceMemory
from npuc.compiler.context import NpuContext
from npuc.compiler.dialects.npu import Npu
from npuc.compiler.dialects.tile import Tile
from npuc.compiler.xdsl_api import Builtin, ModuleOp, Parser
from npuc.isa.program import Program
from npuc.isa.target import parse_target, target_text

Int8s = npt.NDArray[np.int8]
FOLDER = Path(__file__).parent / "walls"


def make_context(cores: int = 1, target: str = "edge") -> NpuContext:
    """A context for a target with that many cores and the dialects of tile programs."""
    text = target_text(target).replace("cores = 1", f"cores = {cores}")
    ctx = NpuContext(target=parse_target(text, target), target_toml=text)
    for dialect in (Builtin, Tile, Npu):
        ctx.load_dialect(dialect)
    return ctx


def parse(ctx: NpuContext, text: str) -> ModuleOp:
    """Parse and verify."""
    module = Parser(ctx, text).parse_module()
    module.verify()
    return module


def compile_tile(ctx: NpuContext, text: str) -> Program:
    """Lower, place and emit, verifying after each stage."""
    module = parse(ctx, text)
    for stage in (LowerTiles(), PlaceMemory()):
        stage.apply(ctx, module)
        module.verify()
    return emit_program(module, ctx, "by hand")


def compile_wall(name: str, weights: dict[str, Int8s]) -> Program:
    """The program of one file of ``walls/`` with these weights."""
    ctx = make_context(2 if name == "two_cores" else 1)
    ctx.consts.add_named(weights)
    return compile_tile(ctx, (FOLDER / f"{name}.mlir").read_text())


SHAPES = {
    "stripe": ((12, 12, 4), (3, 3, 4, 8), (3, 3, 8, 8)),
    "prefetch": ((8, 8, 8), (3, 3, 8, 8), (3, 3, 8, 16)),
    "two_cores": ((8, 8, 8), (3, 3, 8, 8), (3, 3, 8, 16)),
}
SCALES = {
    "stripe": (1 / 64, 1 / 128),
    "prefetch": (1 / 128, 1 / 128),
    "two_cores": (1 / 128, 1 / 128),
}


def random_case(name: str, seed: int = 0) -> tuple[Int8s, dict[str, Int8s]]:
    """A seeded input and weights of the right shapes."""
    rng = np.random.default_rng(seed)
    x, w1, w2 = (rng.integers(-64, 64, shape).astype(np.int8) for shape in SHAPES[name])
    return x, {"w1": w1, "w2": w2}


def expected(name: str, x_HWC: Int8s, weights: dict[str, Int8s]) -> Int8s:
    """Both convolutions by the definition, in NumPy."""
    first, second = SCALES[name]
    mid = np.maximum(convolve(x_HWC, weights["w1"]) * np.float32(first), 0)
    return saturate(convolve(saturate(mid), weights["w2"]) * np.float32(second))


def convolve(x_HWC: Int8s, w_HWIO: Int8s) -> npt.NDArray[np.float32]:
    """3x3, stride 1, zero padding 1; exact sums of products as float32."""
    height, width, _ = x_HWC.shape
    padded = np.pad(x_HWC.astype(np.int64), ((1, 1), (1, 1), (0, 0)))
    total = np.zeros((height, width, w_HWIO.shape[3]), np.int64)
    for ky in range(3):
        for kx in range(3):
            total += padded[ky : ky + height, kx : kx + width] @ w_HWIO[ky, kx].astype(np.int64)
    return total.astype(np.float32)


def saturate(values: npt.NDArray[np.float32]) -> Int8s:
    """Round half to even and clip to int8."""
    return np.clip(np.rint(values), -128, 127).astype(np.int8)
