"""How long a classifier is trained, in which batches, and which layers when."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ulmfit import ranks
from ulmfit.optim.unfreezing import Phase, chain_thaw, full, gradual_unfreezing, last_only
from ulmfit.settings import ClassifierSettings
from ulmfit.stages.rates import group_rates

Documents = Sequence[NDArray[np.integer]]

# Paper, section 5: chain-thaw trains the thawed layer at 1e-3, and all of them at 1e-4.
CHAIN_THAW_RATES = (1e-3, 1e-4)

# One epoch for the head alone, one for all layers.
LEAST_EPOCHS = 2

# All of TREC-6: 616 steps in 8 passes with half of the dropouts, no more test errors than 15 with
# the whole in half the time. Ours, docs/log.md, "how many epochs do 5,000 questions need?".
ENOUGH_STEPS, ENOUGH_EPOCHS = 600, 8
FEW_EPOCHS, DROPOUT_SHARE = 10, 0.5
# Of long documents that are read twice: 15 passes over 250 shorter ones have as many steps. The
# smallest batch that batch norm can do with. Ours, unmeasured.
LEAST_STEPS, LEAST_BATCH = 60, 8
# Of 60 questions, two batches an epoch instead of one made 8 points fewer errors; of 30 no certain
# difference. Ours, docs/log.md, "what helps with sixty labels?".
LEAST_HALF = 16
# Epochs of the unfreezing plan where there is too much to read for as many passes: with two passes,
# one would be for the head alone. Ours, docs/log.md, "when to unfreeze if documents are read only
# twice?". With fewer batches than this in each, the even ones that `DocumentBatches` makes of its
# documents are much smaller than asked for. Ours.
LEAST_ROUNDS, LEAST_ROUND_STEPS = 12, 4


def fitted_to_length(settings: ClassifierSettings, documents: Documents) -> ClassifierSettings:
    """Settings for so much to read; what somebody has chosen stays as it is.

    What would be one batch an epoch becomes two: one step a pass is too little. Many documents need
    fewer passes, and with fewer passes less dropout. `max_tokens` bounds the passes in any case;
    where it leaves few long documents but some steps, batches are smaller.
    """
    epochs, size = settings.epochs, settings.batch_size
    fits_size = settings.by_length and settings.is_open("batch_size")
    if fits_size and len(documents) <= size * ranks.size():
        size = min(size, max(LEAST_HALF, -(-len(documents) // (2 * ranks.size()))))
    if settings.by_length and settings.is_open("epochs"):
        steps = math.ceil(len(documents) / (size * ranks.size()))
        epochs = min(epochs, max(ENOUGH_EPOCHS, math.ceil(ENOUGH_STEPS / steps)))
    if settings.max_tokens is not None:
        n_tokens = max(1, sum(map(len, documents)))
        affordable = max(LEAST_EPOCHS, settings.max_tokens // n_tokens)
        if affordable < epochs and fits_size:
            enough = affordable * len(documents) // (LEAST_STEPS * ranks.size())
            size = min(size, max(LEAST_BATCH, enough))
        epochs = min(epochs, affordable)
    changes: dict[str, object] = {"epochs": epochs, "batch_size": size}
    fewer = epochs < min(settings.epochs, FEW_EPOCHS + 1)
    if settings.by_length and fewer and settings.is_open("dropouts"):
        changes["dropouts"] = settings.dropouts.scaled(DROPOUT_SHARE)
    return settings.model_copy(update=changes)


def course_of(asked: ClassifierSettings, documents: Documents) -> tuple[ClassifierSettings, int]:
    """Settings for so much to read, and rounds of the unfreezing plan in one pass over it."""
    settings = fitted_to_length(asked, documents)
    most = len(documents) // (LEAST_ROUND_STEPS * settings.batch_size * ranks.size())
    return settings, rounds_of_pass(asked, settings.epochs, most)


def rounds_of_pass(asked: ClassifierSettings, epochs: int, most: int) -> int:
    """Epochs of the unfreezing plan in one pass over the documents: one, unless passes are few.

    Args:
        asked: settings before they were fitted.
        epochs: passes.
        most: rounds for which there are enough batches.
    """
    if not (asked.by_length and asked.is_open("epochs")) or epochs >= ENOUGH_EPOCHS:
        return 1
    return max(1, min(math.ceil(LEAST_ROUNDS / epochs), most))


def unfreezing_plan(settings: ClassifierSettings, n_groups: int, rounds: int = 1) -> list[Phase]:
    """Which groups train in which epoch, of which a pass has so many `rounds`."""
    rates, epochs = group_rates(settings.rates, n_groups), settings.epochs * rounds
    match settings.unfreezing:
        case "gradual":
            steps = settings.unfreeze_steps or None
            return gradual_unfreezing(rates, epochs, steps=steps)
        case "chain_thaw":
            layer, everything = CHAIN_THAW_RATES
            return chain_thaw(n_groups, epochs, layer_rate=layer, all_rate=everything)
        case "last":
            return last_only(rates, epochs)
        case "full":
            return full(rates, epochs)
