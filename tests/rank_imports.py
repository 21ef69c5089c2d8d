"""Imported once by the process that `rank_runs` forks: all that its children would import anew."""

from __future__ import annotations

from tests import tiny
from ulmfit.apps import training  # noqa: F401
from ulmfit.runtime import make_accelerator
from ulmfit.settings import OptimizerSettings
from ulmfit.train.loop import make_optimizer

make_accelerator(cpu=True)
make_optimizer([list(tiny.lm_model().parameters())], OptimizerSettings())
