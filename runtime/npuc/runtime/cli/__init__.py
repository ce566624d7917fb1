"""The command line: ``npuc compile | run | verify | profile | …``. Only here is anything printed.

``app.py`` has the table of commands; each command is a module of its own.
"""

import gc
import os
import sys
from collections.abc import Sequence

from npuc.runtime.cli.app import run_command
from npuc.runtime.cli.failures import FINE, report

# Each look walks what a command is at work on, most of which stays.
COLLECT_AFTER_OBJECTS = 4_000_000
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code (see ``failures.py``). Never raises for a user's mistake."""
    for variable in ONE_THREAD:  # read when NumPy loads; on small products threads only spin
        os.environ.setdefault(variable, "1")
    try:
        if argv is None:
            gc.disable()  # until all is loaded, which takes a fifth less time
            code = run_command(sys.argv[1:], loaded=_keep)
            gc.freeze()  # nothing has to be looked through for the process to end
        else:
            code = run_command(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return FINE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last resort of all
        return report(error, _say)
    return code


def _keep() -> None:
    """Modules stay as long as the process: nobody need look for garbage among them."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    gc.enable()


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _forget_output() -> None:
    """The reader of our output has left: nothing more can be said, not at exit either."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
