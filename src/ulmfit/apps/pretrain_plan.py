"""What to pretrain when the user says no more than where the text is: sizes, vocabulary, length.

`suggest` chooses by the amount of text, its words and the machine; `fit_budget` by time. What was
decided is written down, so that a resumed run keeps to it whatever the machine does then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ulmfit.apps.corpus_facts import CorpusFacts
from ulmfit.config import RELEASED_LM_DROPOUTS, Direction, Dropouts
from ulmfit.errors import InputError
from ulmfit.settings import PretrainSettings
from ulmfit.stages.lm_speed import Speed
from ulmfit.stages.lm_training import VALID_TOKENS, regularization_share

# Subwords where more words than this would be unknown, whatever the amount of text: ours,
# docs/log.md, "words or subwords for a short corpus?".
MOST_UNKNOWN = 0.15
# MultiFiT (Eisenschlos et al. 2019): 15,000 subwords for each of seven languages; fewer for less
# text, so that each is seen a hundred times or more (ours).
SUBWORDS = ((5_000_000, 15_000), (500_000, 8_000), (0, 4_000))
WORDS = 30_000  # released code
LARGE_WORDS = 20_000_000  # on a GPU, the paper's sizes are worth their time from here (ours)
SMALL_WORDS = 300_000  # below, a smaller model than the default's has enough to do (ours)
GPU_BATCHES = ((LARGE_WORDS, 256), (2_000_000, 128), (0, 64))  # fastai 1, train_wt103.py: 256
# Without a budget: a few million words read on a CPU, the paper's dozen passes on a GPU.
CPU_WORDS, GPU_WORDS, MOST_EPOCHS = 6_000_000, 300_000_000, 12
MOST_BUDGET_EPOCHS = 20  # more passes over the same text teach no more, whatever the time (ours)

# Settings that a time budget decides.
TIMED = ("max_tokens", "epochs")

# Of the time: what may go wrong with a measured speed; what validation may take.
MARGIN, VALIDATION_SHARE, MOST_VALIDATIONS = 0.05, 0.1, 20
LEAST_STEPS_BETWEEN = 50  # of two validations: fewer change little
# The second direction starts from the first and needs a third less: docs/log.md, "how good is a
# language model after an hour on one core?".
FIRST_SHARE = 0.6


@dataclass(frozen=True)
class Machine:
    """What trains.

    Attributes:
        gpu: whether it is an accelerator.
        name: for people.
    """

    gpu: bool
    name: str


@dataclass(frozen=True)
class Suggestion:
    """Values of `PretrainSettings` by dotted key, and why, in one line."""

    values: Mapping[str, Any]
    reason: str


def suggest(facts: CorpusFacts, machine: Machine) -> Suggestion:
    """Vocabulary, sizes, batch, passes and dropouts for a corpus on a machine."""
    subwords = facts.unknown_share > MOST_UNKNOWN
    vocab_size = _by_size(SUBWORDS, facts.size) if subwords else WORDS
    if machine.gpu and facts.size >= LARGE_WORDS:
        sizes = (400, 1150, 3)  # paper, section 4.1
    else:
        sizes = (128, 320, 2) if facts.size < SMALL_WORDS else (256, 640, 2)
    wanted = GPU_WORDS if machine.gpu else CPU_WORDS
    epochs = min(MOST_EPOCHS, max(1, round(wanted / max(1, facts.size))))
    values = {
        "text.kind": "unigram" if subwords else "word",
        "text.vocab_size": vocab_size,
        "emb_size": sizes[0],
        "hidden_size": sizes[1],
        "n_layers": sizes[2],
        "batch_size": _by_size(GPU_BATCHES, facts.size) if machine.gpu else 64,
        "epochs": epochs,
        "dropouts": dropouts_for(epochs),
    }
    guessed = "" if facts.size == facts.words else " or so, without spaces,"
    why = f"{facts.unknown_share:.0%} of words of its kind would be unknown to {WORDS:,}"
    reason = f"{facts.size:,} words{guessed} on {machine.name}; {why}"
    return Suggestion(values, reason)


def _by_size(table: Sequence[tuple[int, int]], n: int) -> int:
    return next(value for least, value in table if n >= least)


def dropouts_for(epochs: int) -> Dropouts:
    """Dropouts for so many passes over the corpus."""
    return Dropouts(**RELEASED_LM_DROPOUTS).scaled(regularization_share(epochs))


def filled(
    settings: PretrainSettings, values: Mapping[str, Any], given: Collection[str]
) -> PretrainSettings:
    """Settings with the values for keys that the user has not set.

    Args:
        settings: of the default preset and the user's changes.
        values: by dotted key.
        given: keys that the user has set, `text` and `dropouts` as a whole; dotted ones name a
            part of such a table, which keeps all of it.
    """
    kept = {name.partition(".")[0] for name in given}
    for key, value in values.items():
        head, _, inner = key.partition(".")
        if head in kept:
            continue
        if inner:
            value = getattr(settings, head).model_copy(update={inner: value})
        settings = settings.model_copy(update={head: value})
    return settings


def describe(settings: PretrainSettings, reason: str, *, timed: bool = False) -> str:
    """The plan in one line, for people."""
    text = settings.text
    vocabulary = "words" if text.kind == "word" else f"subwords ({text.kind})"
    passes = "1 pass" if settings.epochs == 1 else f"{settings.epochs} passes"
    if settings.max_tokens is not None:
        passes += f" or {settings.max_tokens:,} tokens, whichever is less"
    passes = "as many passes as there is time for" if timed else passes
    return (
        f"plan: at most {text.vocab_size:,} {vocabulary}, {settings.emb_size} / "
        f"{settings.hidden_size} x {settings.n_layers}, batch {settings.batch_size} x "
        f"{settings.bptt}, {passes} ({reason}); --set changes any of it"
    )


def shares(directions: Sequence[Direction], *, chained: bool) -> dict[Direction, float]:
    """Of the time, what each direction gets."""
    if chained and len(directions) == 2:
        return {directions[0]: FIRST_SHARE, directions[1]: 1 - FIRST_SHARE}
    return {direction: 1 / len(directions) for direction in directions}


def fit_budget(
    settings: PretrainSettings,
    seconds: float,
    speed: Speed,
    sizes: tuple[int, int],
    shape: tuple[int, int],
    given: Collection[str] = (),
) -> PretrainSettings:
    """Settings whose schedule ends within the time, validation and the last scoring included.

    Args:
        settings: sizes, batch.
        seconds: for this direction.
        speed: measured.
        sizes: tokens to train on, and held out.
        shape: rows and steps per window that really fit the corpus.
        given: keys that the user has set: `dropouts` and `validate_every` stay then.

    Raises:
        InputError: there is no time for a single step.
    """
    (n_train, n_valid), (rows, window) = sizes, shape
    per_step = rows * window
    usable = seconds * (1 - MARGIN) - n_valid / speed.scoring
    one_validation = min(n_valid, VALID_TOKENS) / speed.scoring
    wanted = max(1, min(MOST_VALIDATIONS, int(VALIDATION_SHARE * usable / one_validation)))
    per_epoch = max(1, -(-(n_train // rows - 1) // window))

    def between(steps: int) -> int:
        """Validations besides those that end a pass."""
        return max(0, min(wanted - -(-steps // per_epoch), steps // LEAST_STEPS_BETWEEN))

    def cost(steps: int) -> float:
        validations = -(-steps // per_epoch) + between(steps)
        return steps * per_step / speed.training + validations * one_validation

    steps = bisect_right(range(1, MOST_BUDGET_EPOCHS * per_epoch + 1), usable, key=cost)
    if steps < 1:
        raise InputError(
            f"{seconds:.0f} seconds are not enough: a step takes {per_step / speed.training:.1f} "
            f"and scoring the held-out text {n_valid / speed.scoring:.0f}",
            expected="time for at least one step",
            hint="Give more time, less held-out text, or a smaller model.",
        )
    epochs = -(-steps // per_epoch)
    values = {
        "max_tokens": steps * per_step,
        "epochs": epochs,
        "dropouts": dropouts_for(epochs),
        "validate_every": -(-steps // max(1, between(steps))),
    }
    return filled(settings, values, [key for key in given if key not in TIMED])


def plan_path(work: Path) -> Path:
    """Where a run keeps its plan."""
    return work / "plan.json"
