"""The letters that a program needs."""

from dataclasses import replace

from npuc.isa.descriptors import Space, View
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.extensions import needed_extensions
from npuc.isa.instructions.flow import Halt
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.scalar import Add
from tests.isa.sample import sample_program

ROW = (1, 1, 1, 1, 1, 1)


def a_view(dtype: DType) -> View:
    return View(dtype, Space.spm, 0, ROW, (0,) * 6)


def test_integer_products_need_nothing() -> None:
    assert needed_extensions(sample_program()) == {}


def test_each_float_type_of_a_product_needs_f_at_its_first_use() -> None:
    for dtype in (DType.f32, DType.bf16, DType.f16):
        first = encode([Add(), Mma(0, 0, 0), Halt()])
        second = encode([Mma(0, 0, 0), Add(), Add(), Mma(0, 1, 1), Mma(0, 1, 1)])
        made = replace(
            sample_program(), code=(first, second), views=(a_view(DType.i8), a_view(dtype))
        )
        assert needed_extensions(made) == {"F": (1, 3)}


def test_a_command_without_a_view_needs_nothing() -> None:
    made = replace(sample_program(), code=(encode([Mma(0, 9, 9)]),), views=())
    assert needed_extensions(made) == {}
