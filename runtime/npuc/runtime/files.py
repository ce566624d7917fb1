"""Files in and out: outputs appear whole or not at all, arrays are read without trusting them.

The command line reads inputs and writes results through here.
"""

import errno
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from npuc.isa.errors import InputError, UsageError
from npuc.runtime.arrays import AnyArray, Arrays


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name if the block succeeds, else vanishes.

    Raises: OSError naming ``path`` when its folder is missing or not writable, or it is a folder.
    """
    check_place(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Refuse a ``path`` that cannot be written. Raises: OSError naming it."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, a file was expected", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(path.parent))
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "the folder is not writable", str(path.parent))


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse before the work ``outputs``, by option, that cannot be written or are in use.

    Raises: UsageError where one is an input or another output, through links too; OSError naming
    one that has no place.
    """
    used = [("an input", path) for path in inputs if path is not None]
    for option, path in outputs.items():
        if path is None:
            continue
        check_place(path)
        for what, other in used:
            if is_same_file(path, other):
                raise UsageError(
                    "an output would overwrite another file of the command",
                    where=option,
                    given=f"{path}, which is {what}, too",
                    allowed="a file that is no input and no other output",
                    next_step="give the output another name",
                )
        used.append((option, path))


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths name one file, through links too; it need not exist."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` under a temporary name, then rename."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path) -> str:
    """The text of ``path``. Raises: InputError when it is not UTF-8; OSError when unreadable."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            "the file is not text",
            str(path),
            f"{error.reason} at byte {error.start}",
            "UTF-8 text",
            "if it is a program file, npuc disasm turns it into text",
        ) from error


def save_arrays(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Write ``arrays`` as an ``.npz`` under a temporary name, then rename; same arrays, same bytes.

    NumPy's own writer takes an array named ``file`` for its parameter and stores the time of day.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def load_arrays(path: Path) -> Arrays:
    """The named arrays of an ``.npz`` file; pickled objects are refused.

    Raises: InputError when the file is not an archive of arrays; OSError when it cannot be read.
    """
    if not zipfile.is_zipfile(path) and not _begins_as_array(path):
        raise _not_an_archive(path, f"{path.stat().st_size} bytes of something else")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise _not_an_archive(path, "a single array without a name")
        with archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _not_an_archive(path, str(error)) from error


def _begins_as_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def _not_an_archive(path: Path, given: str) -> InputError:
    return InputError(
        "the input file is not an archive of named arrays",
        str(path),
        given,
        "a .npz file with one array per program input",
        "write one with numpy.savez('inputs.npz', NAME=ARRAY)",
    )
