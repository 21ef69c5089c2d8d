"""Verbs under `torchrun`: those that train share the work, all others refuse."""

from __future__ import annotations

import os
from typing import Any

from ulmfit import ranks
from ulmfit.errors import InputError, SettingsError, StoppedElsewhere


def meet_others(verb: str, values: Any, *, trains: bool) -> None:
    """Join the other processes that `torchrun` started; alone, do nothing.

    Args:
        verb: its name.
        values: of its options and arguments.
        trains: whether the verb can share its work.

    Raises:
        SettingsError: it cannot.
        StoppedElsewhere: it cannot, and the first process says so.
        InputError: standard input is to be read, which each of them would get a part of.
    """
    if ranks.started() == 1:
        return
    if not trains:
        if os.environ["RANK"] != "0":
            raise StoppedElsewhere(SettingsError.exit_code)
        raise SettingsError(
            f"{ranks.started()} processes were started for `ulmfit {verb}`",
            expected="one",
            hint="Start it without torchrun: only training can be shared by several processes.",
        )
    ranks.join()
    if any(value == "-" or (isinstance(value, list | tuple) and "-" in value) for value in values):
        raise InputError(
            "standard input cannot be shared by several processes",
            hint="Write it to a file first, which all of them can read.",
        )
