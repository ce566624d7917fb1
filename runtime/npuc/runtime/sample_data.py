"""The digit classifiers that ship with npuc: in a checkout below ``models``, in a wheel as data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from npuc.isa.errors import UsageError
from npuc.runtime.files import load_arrays

FP32, QDQ_INT8, QOPERATOR_INT8 = (
    "mnist_cnn_fp32.onnx",
    "mnist_cnn_qdq_int8.onnx",
    "mnist_cnn_qop_s8s8.onnx",
)


@dataclass(frozen=True)
class Digits:
    """Handwritten digits: ``images_NHW`` uint8 [N, 28, 28] and their ``labels_N`` uint8 [N]."""

    images_NHW: npt.NDArray[np.uint8]
    labels_N: npt.NDArray[np.uint8]

    def as_input_NCHW(self) -> npt.NDArray[np.float32]:
        """Model input ``x`` float32 [N, 1, 28, 28]: pixel / 255."""
        return self.images_NHW[:, None].astype(np.float32) / np.float32(255)


def sample_folder() -> Path:
    """The folder of the sample files. Raises: UsageError when this installation has none."""
    here = Path(__file__).resolve()
    candidates = (here.parent / "data" / "mnist", here.parents[3] / "models" / "mnist")
    for folder in candidates:
        if (folder / "digits.npz").is_file():
            return folder
    raise UsageError(
        "the sample models are not installed",
        where=" or ".join(map(str, candidates)),
        next_step="install npuc from its wheel, or work in a checkout",
    )


def sample_model(name: str = QDQ_INT8) -> Path:
    """The path of one sample model."""
    return sample_folder() / name


def load_digits() -> Digits:
    """The 200 sample digits."""
    arrays = load_arrays(sample_folder() / "digits.npz")
    return Digits(np.asarray(arrays["images"], np.uint8), np.asarray(arrays["labels"], np.uint8))
