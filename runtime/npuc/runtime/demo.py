"""``python -m npuc.runtime.demo``: real handwritten digits through every stage, in one minute.

Compiles the int8 digit classifier for ``edge``, lists one layer's instructions, classifies 200
digits on the emulator beside ONNX Runtime, verifies bit for bit, shows where the cycles went.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import onnx

from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import load
from npuc.isa.disassembler import listing
from npuc.isa.errors import NpucError
from npuc.isa.program import Program
from npuc.runtime.building import build, program_of
from npuc.runtime.profiling import engine_rows, layer_rows, profile_program, summary_lines
from npuc.runtime.sample_data import Digits, load_digits, sample_model
from npuc.runtime.tables import Table, render
from npuc.runtime.verification import verify_model
from npuc.runtime.verification.referee import INSTALL_HINT, has_onnx_runtime, judge
from npuc.runtime.verification.report import verdict_lines

TARGET = "edge"
BATCH = 20
LISTED_LINES = 50


def main() -> int:
    """Run the demo; 0 when the emulated NPU gave the right bits."""
    started = time.perf_counter()
    try:
        verified = _show_all()
    except NpucError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{time.perf_counter() - started:.1f} s in all")
    return 0 if verified else 1


def _show_all() -> bool:
    model = sample_model()
    options = CompileOptions(target=TARGET, dims={"batch": BATCH})
    with _step(f"compile {model.name} for {TARGET}, {BATCH} images at a time"):
        program = program_of(build(model, options))
        instructions = sum(len(code) for code in program.code)
        print(f"{instructions:,} instructions, {len(program.constants):,} bytes of constants")
    with _step("the instructions of one layer"):
        _show_listing(program)
    with _step("classify 200 handwritten digits"):
        _classify(program, load_digits())
    with _step("verify: every level of the compilation, the emulator, its plain twin, ONNX"):
        report = verify_model(model, options)
        print("\n".join(verdict_lines(report)))
    with _step("where the cycles go"):
        profile = profile_program(program)
        print("\n".join([*summary_lines(profile), ""]))
        _print_table(layer_rows(profile))
        print()
        _print_table(engine_rows(profile))
    return report.passed


@contextmanager
def _step(what: str) -> Iterator[None]:
    print(f"\n--- {what}", flush=True)
    started = time.perf_counter()
    yield
    print(f"    ({time.perf_counter() - started:.1f} s)", flush=True)


def _print_table(table: Table) -> None:
    print("\n".join(render(table)))


def _show_listing(program: Program) -> None:
    """The last group, the classifier's matrix product, as the machine executes it."""
    group = program.debug.sources[-1].group
    lines = listing(program, group).splitlines()
    print("\n".join(lines[:LISTED_LINES]))
    if len(lines) > LISTED_LINES:
        rest = len(lines) - LISTED_LINES
        print(f"... {rest} more lines: npuc disasm P.npu --group {group}")


def _classify(program: Program, digits: Digits) -> None:
    machine = load(program)
    machine.run({"x": digits.as_input_NCHW()[:BATCH]})  # the first run compiles the kernels
    started = time.perf_counter()
    logits_NC = _in_batches(digits, lambda x: machine.run({"x": x}).outputs["logits"])
    seconds = time.perf_counter() - started
    print(
        f"emulated NPU: {_accuracy(logits_NC, digits)}, {len(logits_NC) / seconds:,.0f} "
        "images per second of emulation"
    )
    if not has_onnx_runtime():
        print(f"ONNX Runtime: not installed; {INSTALL_HINT} shows its accuracy here")
        return
    model = onnx.load(sample_model())
    theirs_NC = judge(model, {"x": digits.as_input_NCHW()}).outputs["logits"]
    identical = float(np.mean(theirs_NC == logits_NC))
    print(f"ONNX Runtime: {_accuracy(theirs_NC, digits)}; {identical:.2%} of all logits identical")


def _in_batches(digits: Digits, infer: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    x_NCHW = digits.as_input_NCHW()
    return np.concatenate([infer(x_NCHW[i : i + BATCH]) for i in range(0, len(x_NCHW), BATCH)])


def _accuracy(logits_NC: np.ndarray, digits: Digits) -> str:
    correct = int((logits_NC.argmax(axis=1) == digits.labels_N).sum())
    return f"{correct} of {len(digits.labels_N)} digits right"


if __name__ == "__main__":
    sys.exit(main())
