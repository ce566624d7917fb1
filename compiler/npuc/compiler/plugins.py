"""Passes from outside the package: from a file (``--load``) or from installed plug-ins."""

import importlib.util
import sys
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from npuc.compiler.xdsl_api import ModulePass
from npuc.isa.errors import UsageError

ENTRY_POINT_GROUP = "npuc.plugins"


@dataclass(frozen=True)
class Plugin:
    """What a plug-in brings: its module, and its pass classes by name."""

    name: str
    module: ModuleType
    passes: dict[str, type[ModulePass]] = field(default_factory=dict)


class _LeavesNothing(SourceFileLoader):
    """Loads a file without writing bytecode beside it."""

    def set_data(self, path: str, data: object, *, _mode: int = 0) -> None:
        """Where Python would write the bytecode."""


def load_plugin(path: str | Path) -> Plugin:
    """Execute the Python file ``path`` and collect the passes that it defines.

    Raises: UsageError when the file is missing, fails, or defines no pass.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(
            "a plug-in file does not exist",
            given=str(path),
            next_step="give the path of a Python file",
        )
    module_name = f"npuc_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise UsageError("a plug-in file is no Python file", given=str(path), allowed="*.py")
    if isinstance(spec.loader, SourceFileLoader):
        spec.loader = _LeavesNothing(module_name, str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise UsageError(
            "a plug-in file fails when it is executed",
            where=str(path),
            given=f"{type(error).__name__}: {error}",
        ) from error
    return _plugin(file.stem, module)


def installed_plugins() -> tuple[Plugin, ...]:
    """The plug-ins that installed packages declare, by name."""
    found = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
    return tuple(_plugin(entry.name, entry.load()) for entry in found)


def _plugin(name: str, module: ModuleType) -> Plugin:
    passes: dict[str, type[ModulePass]] = {}
    for value in vars(module).values():
        is_pass = isinstance(value, type) and issubclass(value, ModulePass)
        if not is_pass or value.__module__ != module.__name__:
            continue
        if value.name in passes:
            raise UsageError(
                "a plug-in defines two passes of one name", where=name, given=value.name
            )
        passes[value.name] = value
    if not passes:
        raise UsageError(
            "a plug-in defines no pass",
            where=name,
            allowed="subclasses of npuc.compiler.xdsl_api.ModulePass",
        )
    return Plugin(name, module, passes)
