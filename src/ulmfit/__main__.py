"""``python -m ulmfit`` is the ``ulmfit`` command."""

from __future__ import annotations

from ulmfit.cli.main import run

if __name__ == "__main__":
    run()
