"""Descriptor tables of a program as arrays, and what registers make of them at dispatch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.isa.cost import Int64s, KernelCost, kernel_cost
from npuc.isa.descriptors import Kernel, Space, TensorMap, View
from npuc.isa.descriptors.view import MAX_RANK
from npuc.isa.dtypes import DType
from npuc.isa.target import Target

MAP_RANK = 5
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ViewTable:
    """Views by index (V): extents, strides in bytes and extent registers (V, 7), padded by 1, 0, 0.

    ``dtype`` holds DType codes, ``element_bytes`` their sizes.
    """

    extents: Int64s
    strides: Int64s
    registers: Int64s
    dtype: Int64s
    element_bytes: Int64s
    in_acc: Mask

    @staticmethod
    def of(views: tuple[View, ...]) -> "ViewTable":
        """The table of ``views``; one empty view stands in where there are none."""
        rows = views or (View(DType.i8, Space.spm, 0, (), ()),)
        return ViewTable(
            _padded([v.extents for v in rows], MAX_RANK, 1),
            _padded([v.strides for v in rows], MAX_RANK, 0),
            _padded([v.extent_regs for v in rows], MAX_RANK, 0),
            np.array([v.dtype.value for v in rows], np.int64),
            np.array([v.dtype.bytes for v in rows], np.int64),
            np.array([v.space is Space.acc for v in rows], np.bool_),
        )

    def resolved(self, view: Int64s, registers: Int64s) -> Int64s:
        """True extents (n, 7) of ``view`` (n) under ``registers`` (n, 32)."""
        limit, number = self.extents[view], self.registers[view]
        value = np.clip(np.take_along_axis(registers, number, axis=1), 0, limit)
        return np.where(number > 0, value, limit)

    @property
    def is_dynamic(self) -> Mask:
        """Views (V) whose extents come from registers."""
        return np.asarray((self.registers > 0).any(axis=1))


@dataclass(frozen=True)
class MapTable:
    """Tensor maps by index (M): lists (M, 5), padded behind so that a pad changes nothing."""

    extents: Int64s
    dram_strides: Int64s
    box: Int64s
    spm_strides: Int64s
    element_bytes: Int64s

    @staticmethod
    def of(maps: tuple[TensorMap, ...]) -> "MapTable":
        """The table of ``maps``."""
        return MapTable(
            _padded([m.extents for m in maps], MAP_RANK, 1),
            _padded([m.dram_strides for m in maps], MAP_RANK, 0),
            _padded([m.box for m in maps], MAP_RANK, 1),
            _padded([m.spm_strides for m in maps], MAP_RANK, 0),
            np.array([m.dtype.bytes for m in maps], np.int64),
        )


def kernel_costs(target: Target, kernels: tuple[Kernel, ...], index: Int64s) -> KernelCost:
    """The lane work of kernels number ``index`` (n), as one KernelCost of arrays (n)."""
    costs = [kernel_cost(target, kernel) for kernel in kernels]

    def column(name: str) -> Int64s:
        return np.array([getattr(cost, name) for cost in costs], np.int64)[index]

    return KernelCost(
        column("body_ops"),
        column("epilogue_ops"),
        column("body_passes"),
        column("epilogue_passes"),
        column("body_lanes"),
    )


def _padded(lists: list[tuple[int, ...]], rank: int, pad: int) -> Int64s:
    rows = [values + (pad,) * (rank - len(values)) for values in lists]
    return np.array(rows, np.int64).reshape(len(rows), rank)
