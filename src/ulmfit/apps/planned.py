"""The plan of a pretraining run: made once, written into its work folder, kept when resumed."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from ulmfit import ranks
from ulmfit.apps.corpus_facts import CorpusFacts
from ulmfit.apps.pretrain_plan import (
    MOST_BUDGET_EPOCHS,
    Machine,
    describe,
    filled,
    fit_budget,
    plan_path,
    shares,
    suggest,
)
from ulmfit.apps.run import TrainingRun, unreadable
from ulmfit.config import Direction
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.runtime import cpu_count
from ulmfit.settings import PretrainSettings
from ulmfit.stages.lm_speed import MEASURED_SECONDS, measure_speed
from ulmfit.stages.lm_training import batch_shape
from ulmfit.storage import atomic_write

MEASURED_SHARE = 0.02  # of the time, at most, goes into measuring


class Plan:
    """Settings of a run, as decided when it first started.

    Args:
        run: its work folder, claimed; device and display.
        facts: of the corpus.
        given: keys that the user has set; None leaves all settings as they are.
    """

    def __init__(self, run: TrainingRun, facts: CorpusFacts, given: Collection[str] | None) -> None:
        self.run, self.facts, self.given = run, facts, given
        path = plan_path(run.work)

        def read() -> dict[str, Any]:
            try:
                found = json.loads(path.read_bytes()) if path.exists() else {}
            except ValueError as error:
                raise unreadable(path, str(error)) from error
            if not isinstance(found, dict):
                raise unreadable(path, f"a {type(found).__name__}")
            return found

        self.kept = ranks.first("the plan so far", read)

    def adapted(self, settings: PretrainSettings, *, timed: bool = False) -> PretrainSettings:
        """Settings for this corpus and this machine, where the user leaves the choice."""

        def chosen() -> dict[str, Any]:
            if self.given is None:
                return settings.model_dump()
            suggestion = suggest(self.facts, machine_of(self.run))
            found = filled(settings, suggestion.values, self.given)
            self.run.display.note(describe(found, suggestion.reason, timed=timed))
            return found.model_dump()

        if "settings" not in self.kept:
            self._keep("settings", ranks.first("the plan", chosen))
        return self._read(self.kept["settings"])

    def timed(
        self,
        settings: PretrainSettings,
        directions: Sequence[Direction],
        seconds: float,
        chained: bool,
        corpora: tuple[Tokenizer, TokenCorpus, TokenCorpus],
    ) -> dict[Direction, PretrainSettings]:
        """Settings of each direction whose schedules end within the time; says so."""
        if "timed" in self.kept:
            kept = self.kept["timed"]
            return {d: self._read(kept[d]) for d in directions}
        tokenizer, train, valid = corpora
        seconds = ranks.exchange("the time left", seconds)[0][0]
        self.run.display.note("measuring the speed")
        measuring = min(MEASURED_SECONDS, MEASURED_SHARE * seconds)
        speed = measure_speed(
            settings,
            tokenizer.vocab_size,
            train,
            valid,
            self.run.accelerator,
            seconds=measuring,
        )
        seconds -= measuring
        rows, window = batch_shape(train, settings)
        sizes, shape = (train.n_tokens, valid.n_tokens), (rows * ranks.size(), window)
        found = {
            direction: fit_budget(settings, seconds * share, speed, sizes, shape, self.given or ())
            for direction, share in shares(directions, chained=chained).items()
        }
        tokens = ", ".join(f"{s.max_tokens:,} ({d})" for d, s in found.items())
        self.run.display.note(
            f"{speed.training:,.0f} tokens/s: {seconds / 3600:.2f} hours read {tokens} tokens"
        )
        if any(s.epochs == MOST_BUDGET_EPOCHS for s in found.values()):
            self.run.display.note(
                f"{MOST_BUDGET_EPOCHS} passes over this text are enough: it will finish earlier"
            )
        self._keep("timed", {d: s.model_dump() for d, s in found.items()})
        return found

    def _read(self, value: Any) -> PretrainSettings:
        try:
            return PretrainSettings.model_validate(value)
        except ValueError as error:
            raise unreadable(plan_path(self.run.work), str(error)) from error

    def _keep(self, key: str, value: Any) -> None:
        self.kept[key] = value
        if ranks.rank() == 0:
            atomic_write(plan_path(self.run.work), json.dumps(self.kept).encode())


def machine_of(run: TrainingRun) -> Machine:
    """What a run trains on."""
    kind = run.accelerator.device.type
    if kind == "cpu":
        return Machine(False, f"{cpu_count()} processors")
    return Machine(True, "a GPU" if kind == "cuda" else kind)
