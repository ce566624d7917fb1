"""The store of constant tensors: the IR names them by key, so weights never enter its text."""

import hashlib
import mmap
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt

from npuc.isa.errors import CompileError

Array = npt.NDArray[np.generic]
KEY_HEX_DIGITS = 16
_NPZ_BF16 = np.dtype("V2")  # npz files do not know bfloat16


class ConstStore:
    """Arrays by a hash of their content: equal arrays have one key and are kept once."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def put(self, array: npt.ArrayLike) -> str:
        """Store ``array`` and return its key; what is stored is row-major and read-only.

        An array that is both already, such as a mapped file, is kept without a copy.
        """
        given = np.asanyarray(array)
        is_kept = given.flags.c_contiguous and not given.flags.writeable
        row_major = given if is_kept else np.array(given, order="C")
        key = content_key(row_major)
        forget_pages(row_major)
        if key not in self._arrays:
            row_major.flags.writeable = False
            self._arrays[key] = row_major
        return key

    def get(self, key: str) -> Array:
        """The read-only array of ``key``. Raises: CompileError when there is none."""
        try:
            return self._arrays[key]
        except KeyError:
            raise CompileError(
                "the IR names a constant that is not in the store",
                given=key,
                allowed=", ".join(sorted(self._arrays)[:8]) or "the store is empty",
                next_step="give the constants of this IR, for example --consts FILE.npz",
            ) from None

    def branch(self) -> "ConstStore":
        """A store of the same arrays that keeps for itself what is put into it."""
        result = ConstStore()
        result._arrays.update(self._arrays)
        return result

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def __len__(self) -> int:
        return len(self._arrays)

    def save(self, path: Path) -> None:
        """Write all arrays to one npz file, so that IR text can be resumed elsewhere."""
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **dict(sorted(self._arrays.items())))

    def add_named(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        """Store arrays under names of the caller's choice (IR written by hand)."""
        for key, given in arrays.items():
            array = np.asarray(given)
            if array.dtype == _NPZ_BF16:
                array = array.view(ml_dtypes.bfloat16)
            row_major = np.array(array, order="C")
            row_major.flags.writeable = False
            self._arrays[key] = row_major


def content_key(array: Array) -> str:
    """A key that depends on element type, shape and bytes alone."""
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:KEY_HEX_DIGITS]


def forget_pages(array: Array) -> None:
    """Let go of the memory that reading a mapped file took; its next reader maps it again."""
    if isinstance(array, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # not in the stubs
