"""Outputs appear whole or not at all; archives of arrays are read without trusting them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from npuc.isa.errors import InputError
from npuc.runtime.files import load_arrays, replacing, save_arrays, write_text


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "digits")
    assert (tmp_path / "a.txt").read_text() == "digits"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("earlier")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "earlier"
    assert names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["missing/a.txt", "."])
def test_an_impossible_place_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError) as caught, replacing(tmp_path / name):  # noqa: PT011
        pytest.fail("the work was begun")
    assert caught.value.filename is not None


def test_arrays_survive_the_round_trip(tmp_path: Path) -> None:
    # Names that np.savez would take for its own parameters are names like any other.
    arrays = {"x": np.arange(6, dtype=np.int8).reshape(2, 3), "file": np.float32([1, np.nan])}
    save_arrays(tmp_path / "a.npz", arrays)
    loaded = load_arrays(tmp_path / "a.npz")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def truncated(path: Path) -> None:
    save_arrays(path, {"x": np.arange(1000)})
    path.write_bytes(path.read_bytes()[:500])


def corrupted(path: Path) -> None:
    save_arrays(path, {"x": np.arange(1000)})
    data = bytearray(path.read_bytes())
    data[300] ^= 255
    path.write_bytes(data)


def pickled(path: Path) -> None:
    np.savez(path, x=np.array([{"code": 1}], dtype=object))


def single(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.arange(3))


BAD_ARCHIVES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "truncated": truncated,
    "corrupted": corrupted,
    "pickled": pickled,
    "single array": single,
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_is_an_input_error_with_a_next_step(tmp_path: Path, case: str) -> None:
    path = tmp_path / "bad.npz"
    BAD_ARCHIVES[case](path)
    with pytest.raises(InputError) as caught:
        load_arrays(path)
    assert str(path) in caught.value.where
    assert caught.value.given
    assert caught.value.next_step
