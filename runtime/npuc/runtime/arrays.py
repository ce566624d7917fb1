"""Names for array types: what crosses between program, emulator, referees and files."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

AnyArray: TypeAlias = npt.NDArray[np.generic]
Mask: TypeAlias = npt.NDArray[np.bool_]
Arrays: TypeAlias = dict[str, AnyArray]
