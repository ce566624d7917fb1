"""Checks that the commands of ``tile`` share: operand numbers in range, views inside slots."""

from collections.abc import Iterable, Sequence

from npuc.compiler.dialects.tile_attributes import BufferSpec
from npuc.compiler.dialects.tile_text import Place
from npuc.compiler.xdsl_api import VerifyException
from npuc.isa.descriptors import Space, TensorMap, View


def check_numbers(views: Iterable[View], others: Sequence[int], count: int) -> None:
    """Every operand number of ``views`` and ``others`` names one of ``count`` operands."""
    numbers = [r for view in views for r in view.registers] + list(others)
    if numbers and not 0 <= min(numbers) <= max(numbers) <= count:
        raise VerifyException(
            f"operand number {max(numbers)} of a descriptor, but {count} operands"
        )


def check_view(view: View, ring: BufferSpec | None) -> None:
    """The static part of ``view`` lies in a slot of ``ring``.

    Dimensions under a window may point outside where the window masks them, so they are left to
    the checks of the resolved commands.
    """
    if ring is None:
        return
    if view.space is not ring.space:
        raise VerifyException(f"a view of {view.space.name} on a slot in {ring.space.name}")
    if view.windows or view.base_reg or 0 in view.extents:
        return
    spans = [(e - 1) * s for e, s in zip(view.extents, view.strides, strict=True)]
    low = view.base + sum([s for s in spans if s < 0])
    high = view.base + sum([s for s in spans if s > 0]) + view.dtype.bytes
    if low < 0 or high > ring.slot_bytes:
        raise VerifyException(f"a view covers bytes [{low}, {high}) of a slot of {ring.slot_bytes}")


def check_transfer(
    tensor_map: TensorMap, place: Place, count: int, ring: BufferSpec | None
) -> None:
    """Coordinates suit the map's rank and the box lies in a slot of ``ring``."""
    if len(place.coordinates) != len(tensor_map.extents):
        raise VerifyException("a transfer needs one coordinate per dimension of its map")
    numbers = [number for number, _ in (*place.coordinates, place.offset)]
    if any(not 0 <= number <= count for number in numbers):
        raise VerifyException(f"operand number {max(numbers)} of a place, but {count} operands")
    if ring is None or place.offset[0]:
        return
    if ring.space is not Space.spm:
        raise VerifyException("a transfer's slot lies in SPM")
    spans = [(b - 1) * s for b, s in zip(tensor_map.box, tensor_map.spm_strides, strict=True)]
    low = place.offset[1] + sum(s for s in spans if s < 0)
    high = place.offset[1] + sum(s for s in spans if s > 0) + tensor_map.dtype.bytes
    if low < 0 or high > ring.slot_bytes:
        raise VerifyException(f"a box covers bytes [{low}, {high}) of a slot of {ring.slot_bytes}")
