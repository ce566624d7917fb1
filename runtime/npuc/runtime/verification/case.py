"""What is verified: the ONNX model, how it is compiled, and the inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from npuc.compiler.interpreter import Memo
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Pipeline
from npuc.runtime.arrays import AnyArray
from npuc.runtime.building import Model
from npuc.runtime.verification.exposure import expose_quantised
from npuc.runtime.verification.levels import Compilation, compile_watched

QUANTIZE = "quantize"


@dataclass(frozen=True)
class Case:
    """One model, its options and inputs; ``plugins`` are the files that changed ``pipeline``.

    ``memo`` keeps values of the nn level: all compilations of the case share it.
    """

    model: Model
    proto: onnx.ModelProto
    options: CompileOptions
    pipeline: Pipeline
    inputs: Mapping[str, AnyArray]
    plugins: Sequence[Path] = ()
    memo: Memo = field(default_factory=Memo)

    @property
    def name(self) -> str:
        """The model's file name; empty for bytes."""
        return "" if isinstance(self.model, bytes) else Path(self.model).name

    def compile_exposed(self, stop_after: str | None) -> Compilation:
        """The compilation of the model whose quantised tensors are outputs."""
        exposed = expose_quantised(self.proto).SerializeToString()
        options = replace(self.options, stop_after=stop_after)
        return compile_watched(exposed, options, self.pipeline)
