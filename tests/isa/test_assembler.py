"""Assembly text: the round trip of any program, hand-written forms, and the place of each error."""

import textwrap

import pytest
from hypothesis import given

from npuc.isa import container
from npuc.isa.assembler import assemble
from npuc.isa.descriptors import Kernel, Op, Output, Stream, Window
from npuc.isa.disassembler import disassemble, instruction_text, listing
from npuc.isa.encoding import decode
from npuc.isa.errors import AssemblyError, UsageError
from npuc.isa.instructions import NO_INDEX, Counter, Engine, Instruction, Wait
from npuc.isa.instructions.dma import Load
from npuc.isa.instructions.flow import Branch, Halt, Jump, Loop, Trap
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.instructions.scalar import Add, Sub
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Program
from npuc.isa.target import target_text
from tests.isa.sample import sample_program
from tests.isa.strategies import INSTRUCTION, programs

HEAD = '.target "tiny"\n'
VIEWS = "".join(f".view v{i} = i8 spm 0 []\n" for i in range(3))


@given(programs())
def test_text_of_any_program_gives_the_same_file(program: Program) -> None:
    text = disassemble(program)
    assert container.to_bytes(assemble(text, "test")) == container.to_bytes(program)
    assert disassemble(assemble(text, "test")) == text


def test_text_of_the_sample_program() -> None:
    program = sample_program()
    text = disassemble(program)
    assert container.to_bytes(assemble(text, "test")) == container.to_bytes(program)
    assert "  loop 8 {\n    ld m0, spm=-16, i0=r4 - 1, ld0 inc 0\n" in text
    assert "    mma v2, v0, v1 wait ld0[0] >= r3 - 2 inc 0\n" in text
    assert '  ; "conv1": "/conv1/Conv", "/relu/Relu"\n' in text


def test_a_target_of_ones_own_is_embedded() -> None:
    toml = target_text("tiny").replace('name = "tiny"', 'name = "mine"\n# a remark ; "quoted"')
    program = assemble(_toml(toml) + ".core 0 {\n halt\n}\n", "test")
    assert program.target.name == "mine" and program.target_toml == toml
    again = assemble(disassemble(program), "test")
    assert container.to_bytes(again) == container.to_bytes(program)


def _toml(toml: str) -> str:
    quoted = toml.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'.toml "{quoted}"\n'


@given(INSTRUCTION)
def test_one_instruction_stands_alone(instruction: Instruction) -> None:
    text = instruction_text(instruction)
    assert text.startswith(instruction.mnemonic) and "\n" not in text


LINES = [
    ("add r3, r4, r5 - 7", Add(3, 4, 5, -7)),
    ("add r3, r0, -9223372036854775808", Add(3, 0, 0, -(1 << 63))),
    ("sub r3, r4, 0x10 ; comment", Sub(3, 4, 0, 16)),
    ("trap 4294967295", Trap(4294967295)),
    ("halt", Halt()),
    ("fence", Fence()),
    ("nop vpu wait core3.mxu[31] >= r1 - 16384 inc 31",
     Nop(5, waits=(Wait(Counter(3, Engine.mxu, 31), 1, -16384),), increment=31)),
    ("nop st wait st[1] >= -1 wait ld1[0] >= 2",
     Nop(3, waits=(Wait(Counter(0, Engine.st, 1), 0, -1), Wait(Counter(0, Engine.ld1), 0, 2)))),
    ("ld 7, ld1, i4=r2 + 3, spm=5", Load(7, 0, 5, rc4=2, i4=3, queue=1)),
    ("mma v2, v0, v1, accumulate, rk=r9", Mma(2, 0, 1, 1, 9)),
    ("mma none, 77, v1", Mma(NO_INDEX, 77, 1)),
    ("vexec 3, params=none, in5=v1, out0=v2", Vexec(3, in5=1, out0=2)),
    ("loop r4 - 2, body=9", Loop(4, -2, 9)),
    ("jump -5", Jump(-5)),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_one_line(line: str, expected: Instruction) -> None:
    program = assemble(f"{HEAD}{VIEWS}.core 0 {{\n  {line}\n}}\n", "test")
    assert decode(program.code[0]) == [expected]


def test_loops_and_labels() -> None:
    source = """
        .target "tiny"
        .core 0 {
        start: add r1, r0, 5
          loop r1 {
            loop 3 {
            }
          again:
            bnz r1, end
            jump again
          end:
          }
          bnz r1, start
        last:
        }
        .core 1 {
          loop 1 {
            nop ld0 wait core0.ld0[0] >= 1
          }
          jump last
        last:
        }
    """
    program = assemble(textwrap.dedent(source), "test")
    assert decode(program.code[0]) == [
        Add(1, 0, 0, 5), Loop(1, 0, 3), Loop(0, 3, 0), Branch(1, 2), Jump(-1), Branch(1, -5),
    ]  # fmt: skip
    wait = Wait(Counter(0, Engine.ld0), 0, 1)
    assert decode(program.code[1]) == [Loop(0, 1, 1), Nop(1, waits=(wait,)), Jump(1)]


def test_descriptors_by_hand() -> None:
    source = """
        .target "tiny"
        .scratch 64
        .view acc = f32 acc r7 + 8 [r5<=4:-8, 8:1] window r3 - 1 < 4 (1, -2) fill 0xff
        .kernel soft (f, i) {
          %wide = i2f in1
          %sum = mulf in0, %wide
          %s = sumf %sum
        epilogue:
          %r = recip %s # -3
          store epilogue %r
          store body in0
        }
        .params half = 0.5, 7 r2, 1e-3
        .core 0 {
          vexec soft, params=half, out0=acc
        }
    """
    program = assemble(textwrap.dedent(source), "test")
    (view,), (kernel,), (params,) = program.views, program.kernels, program.params
    assert (view.base, view.base_reg, view.extent_regs) == (8, 7, (5, 0))
    assert view.windows == (Window(-1, 4, (1, -2), 3),) and view.fill == 255
    ops = (Op("i2f", (1,)), Op("mulf", (0, 16)), Op("sumf", (17,)), Op("recip", (18,), -3))
    outputs = (Output(19, True), Output(0))
    assert kernel == Kernel((Stream("f"), Stream("i")), ops, 3, outputs)
    assert params.words == (0x3F000000, 7, 0x3A83126F) and params.registers == (0, 2, 0)
    assert decode(program.code[0]) == [Vexec(0, 0, out0=0)]


CODE_ERRORS = [
    ("frob r1", "unknown instruction", 2, "add, sub"),
    ("add r1, r2", "too few operands for add", 2, "rd, ra, imm"),
    ("add r1, r2, r3, r4", "too many operands for add", 18, "rd, ra, imm"),
    ("add r1, 2, r3", "not a register", 10, "r0 to r31"),
    ("add r1, none, r3", "not a register", 10, "r0 to r31"),
    ("add r1, r2, oops", "not a register and a number", 14, "r4 - 2"),
    ("add r1, r2, 9223372036854775808", "a field is out of range", 2, "9223372036854775807"),
    ("add r32, r2, 1", "a field is out of range", 2, "0 to 31"),
    ("add r1, r2, 1 inc 3", "cannot wait or increment", 16, ""),
    ("add r1, r2, 1 {\n}", "takes no body", 16, ""),
    ("nop vpu inc 32", "a field is out of range", 2, "0 to 31"),
    ("nop vpu inc 1 inc 2", "increments one counter", 16, ""),
    ("nop vpu wait gpu[0] >= 1", "unknown engine", 15, "ctl, ld0"),
    ("nop vpu wait st[0] >= 1 wait st[0] >= 2 wait st[0] >= 3", "too many waits", 2, "at most 2"),
    ("nop vpu wait core16.st[0] >= 1", "a field is out of range", 2, "0 to 15"),
    ("nop vpu wait st[0] > 1", "does not parse", 21, "'>='"),
    ("mma v0, v1, v9", "unknown name among the views", 14, "v0, v1, v2"),
    ("mma v0, v1, v2, rk=3", "not a register", 21, "r0 to r31"),
    ("mma v0, v1, v2, rx=r3", "unknown operand of mma", 18, "rk"),
    ("mma v0, v1, v2, rk=r3, rk=r4", "an operand is given twice", 25, ""),
    ("jump nowhere", "unknown label", 7, "none defined"),
    ("x: halt\nx: halt", "a label is defined twice", 1, ""),
    ("loop 3, body=1 {\n}", "takes no body", 17, ""),
    ("loop 3, body=r1 {\n}", "not a number", 15, ""),
    ("add r1 r2, 3", "does not parse", 9, "','"),
    ("halt halt", "too many operands for halt", 7, "no operands"),
    ("halt inc inc", "does not parse", 11, "a number"),
    ("loop 3 {", "does not parse", 2, "'}'"),
    ("add r1, r2, 123456789012345678901", "does not parse", 34, "the end of the line"),
    ("trap $", "does not parse", 7, "a number"),
    ("loop 1 {\n" * 70 + "}\n" * 70, "bodies nest too deep", 8, "at most 64"),
]


@pytest.mark.parametrize(("line", "what", "column", "allowed"), CODE_ERRORS)
def test_an_error_in_code_has_its_place(line: str, what: str, column: int, allowed: str) -> None:
    text = f"{HEAD}{VIEWS}.core 0 {{\n {line}\n}}\n"
    with pytest.raises(AssemblyError) as caught:
        assemble(text, "x.s")
    error = caught.value
    assert what in error.what
    assert allowed in error.allowed
    assert error.where.startswith("x.s, line ") and error.where.endswith(f", column {column}")
    assert error.next_step


TEXT_ERRORS = [
    ("", "the text needs one target", "x.s"),
    (HEAD, "wrong number of cores", "x.s, section .text"),
    ('.target "tiny"\n.toml "x"\n', "the text needs one target", "x.s"),
    ('.toml "x"\n', "the target file is not TOML", "x.s, the target"),
    ('.target "moon"\n', "unknown target", "x.s, line 1, column 1"),
    (HEAD + HEAD, ".target stands twice", "x.s, line 2, column 1"),
    (HEAD + ".core 1 {\n}\n", "cores are out of order", "x.s, line 2, column 1"),
    (HEAD + '.model "\\x"\n', "a string literal is malformed", "x.s, line 2, column 8"),
    (HEAD + '.model "\\ud800"\n', "a string literal is malformed", "x.s, line 2, column 8"),
    (HEAD + ".view v = i9 spm 0 []\n", "unknown dtype", "x.s, line 2, column 11"),
    (HEAD + ".view v = i8 ram 0 []\n", "unknown space", "x.s, line 2, column 14"),
    (HEAD + ".view v = i8 spm -1 []\n", "does not fit its field", "x.s, line 2, column 1"),
    (HEAD + ".view v = i8 spm 0 [1:1] window 0 < 4 ()\n", "one coefficient per dimension",
     "x.s, line 2, column 1"),
    (HEAD + ".view v = i8 spm 0 []\n" * 2, "a name is defined twice", "x.s, line 3, column 7"),
    (HEAD + ".view v = i8 spm 0 [1]\n", "does not parse", "x.s, line 2, column 22"),
    (HEAD + ".map m = here i8 0 [1:1] box [1:1]\n", "unknown segment", "x.s, line 2, column 10"),
    (HEAD + ".map m = input i8 0 [1:1] box []\n", "differ in length", "x.s, line 2, column 1"),
    (HEAD + ".map m = input i8 0 [r1<=1:1] box [1:1]\n", "takes no extents from registers",
     "x.s, line 2, column 1"),
    (HEAD + ".kernel k () {\n %0 = frob p0\n store body %0\n}\n", "unknown micro-op",
     "x.s, line 2, column 1"),
    (HEAD + ".kernel k () {\n store body %0\n}\n", "unknown value", "x.s, line 3, column 13"),
    (HEAD + ".kernel k () {\n store body p8\n}\n", "unknown value", "x.s, line 3, column 13"),
    (HEAD + ".kernel k () {\n store side p0\n}\n", "unknown section", "x.s, line 3, column 8"),
    (HEAD + ".kernel k () {\n %0 = negf p0\n %0 = negf p0\n}\n", "defined twice",
     "x.s, line 4, column 2"),
    (HEAD + ".kernel k () {\nepilogue:\nepilogue:\nstore body p0\n}\n", "two epilogues",
     "x.s, line 2, column 1"),
    (HEAD + ".kernel k () {\n}\n", "outputs or body count", "x.s, line 2, column 1"),
    (HEAD + ".params p = 1e39\n", "does not fit float32", "x.s, line 2, column 13"),
    (HEAD + ".params p = 0x100000000\n", "does not fit 32 bits", "x.s, line 2, column 1"),
    (HEAD + ".params p = 1 r40\n", "no scalar register", "x.s, line 2, column 1"),
    (HEAD + ".constants {\n abc\n}\n", "does not parse", "x.s, line 3, column 4"),
    (HEAD + '.input "x" i8 [4] at 0 scale 0 zero 0\n.core 0 {\n}\n', "no usable scale",
     "x.s, section .npuc.args"),
    (HEAD + '.source "g" core 0 0 9\n.core 0 {\n}\n', "names no instructions",
     "x.s, section .npuc.debug.sources"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "what", "where"), TEXT_ERRORS)
def test_an_error_around_the_code_has_its_place(text: str, what: str, where: str) -> None:
    with pytest.raises(AssemblyError) as caught:
        assemble(text, "x.s")
    assert what in caught.value.what
    assert caught.value.where == where


def test_listing_of_a_group_names_source_and_descriptors() -> None:
    text = listing(sample_program(), "dense")
    head, first = text.splitlines()[:2]
    assert head == "dense: core 0, instructions 5 to 6, from /fc/Gemm"
    assert first.startswith("     5  vexec k0, params=p0, in0=v3, out0=v4 wait ld0[0] >= r3 - 2 ")
    assert "; k0 (i) {" in text and ";   %1 = mulf %0, p0" in text
    assert "; p0 = 0x3f000000, 0x7 r6 ; 0.5, 7" in text
    assert "halt" not in text
    with pytest.raises(UsageError, match="unknown group") as caught:
        listing(sample_program(), "conv9")
    assert caught.value.allowed == "conv1, dense"
