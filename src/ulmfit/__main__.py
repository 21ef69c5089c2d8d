"""``python -m ulmfit`` and the command ``ulmfit``.

Ctrl-C while the command line is still being imported ends the process, without a traceback: there
is nobody yet who could say more.
"""

from __future__ import annotations

import signal
import sys

_before = signal.getsignal(signal.SIGINT)
if _before is signal.default_int_handler:  # not where it is ignored, as in the background
    signal.signal(signal.SIGINT, signal.SIG_DFL)

try:
    from ulmfit.cli.main import run
except ModuleNotFoundError as missing:  # where only what an exported model needs was installed
    if missing.name != "typer":
        raise
    sys.exit(
        "Error: the command line needs the package 'typer', which is not installed\n"
        "  Install it with `pip install pyarrow rich typer`."
    )

if _before is signal.default_int_handler:
    signal.signal(signal.SIGINT, _before)

if __name__ == "__main__":
    run()
