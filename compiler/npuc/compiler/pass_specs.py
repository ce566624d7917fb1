"""Passes by name and options, as written on the command line: ``a{option=1},b``."""

from collections.abc import Callable, Mapping

from npuc.compiler.pipeline import Pipeline
from npuc.compiler.xdsl_api import ArgSpecParseError, ModulePass, ParseError, PassPipeline
from npuc.isa.errors import UsageError

PassClasses = Mapping[str, type[ModulePass]]


def pass_classes(pipeline: Pipeline = Pipeline()) -> dict[str, type[ModulePass]]:  # noqa: B008
    """The classes of all passes of ``pipeline`` by name, in its order."""
    return {p.name: type(p) for stage in pipeline.stages for p in stage.passes}


def _always(kind: type[ModulePass]) -> Callable[[], type[ModulePass]]:
    return lambda: kind


def parse_passes(text: str, known: PassClasses) -> tuple[ModulePass, ...]:
    """The passes that ``text`` names. Raises: UsageError for unknown names and options."""
    factories = {name: _always(kind) for name, kind in known.items()}
    try:
        return PassPipeline.parse_spec(factories, text).passes
    except (ValueError, ArgSpecParseError, ParseError) as error:
        raise UsageError(
            "the list of passes is not understood",
            given=text,
            allowed=f"NAME{{option=value}},NAME with {', '.join(known)}",
            next_step=str(error).splitlines()[0],
        ) from error
