"""The names of all networks and how each is made: the one table."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from models.zoo.light import LIGHT_GRAPHS, light_model
from models.zoo.mobilenet import mobilenet_v2
from models.zoo.resnet import resnet50_v1

GENERATED: dict[str, Callable[[int, bool], onnx.ModelProto]] = {
    "resnet50_v1": resnet50_v1,
    "mobilenet_v2": mobilenet_v2,
}
NAMES: tuple[str, ...] = (*GENERATED, *LIGHT_GRAPHS)


def build(name: str, *, seed: int = 0, fold_norm: bool = False) -> onnx.ModelProto:
    """The float32 model ``name``: one input x[1,3,224,224], one output of 1000 classes.

    ``fold_norm`` folds BatchNormalization into the convolutions of the generated networks; the
    light graphs come as they are. The same name and seed give the same model.
    Raises: KeyError for an unknown name.
    """
    if name in GENERATED:
        return GENERATED[name](seed, fold_norm)
    if name in LIGHT_GRAPHS:
        return light_model(name, seed)
    raise KeyError(f"no network {name!r}; there are {', '.join(NAMES)}")
