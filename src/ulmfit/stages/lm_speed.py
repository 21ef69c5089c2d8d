"""How fast a language model trains and is scored on this machine: its first steps, thrown away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ulmfit import ranks
from ulmfit.config import LMConfig
from ulmfit.data.bptt import BPTTStream
from ulmfit.data.corpus import TokenCorpus
from ulmfit.model.language_model import LanguageModel
from ulmfit.settings import PretrainSettings
from ulmfit.stages.lm_training import LMLoss, batch_shape, word_counts
from ulmfit.train.evaluate import score_language_model
from ulmfit.train.loop import Carry, make_optimizer
from ulmfit.train.step import train_step

if TYPE_CHECKING:
    from accelerate import Accelerator

WARM_UP_STEPS = 2  # the first ones also make kernels, memory and threads ready
MEASURED_SECONDS = 20.0
LEAST_STEPS = 3
SCORED_TOKENS = 20_000


@dataclass(frozen=True)
class Speed:
    """Tokens per second.

    Attributes:
        training: of training steps.
        scoring: of validation with the full softmax.
    """

    training: float
    scoring: float


def measure_speed(
    settings: PretrainSettings,
    vocab_size: int,
    train: TokenCorpus,
    valid: TokenCorpus,
    accelerator: Accelerator,
    *,
    seconds: float = MEASURED_SECONDS,
) -> Speed:
    """Train a model of these settings for some seconds on the first windows, and score it.

    Of several processes, all take part; the first one's clock counts.

    Args:
        settings: sizes, batch, softmax.
        vocab_size: V.
        train: training tokens.
        valid: held-out tokens.
        accelerator: device and precision.
        seconds: how long to measure; at least three steps.
    """
    config = LMConfig(
        vocab_size=vocab_size,
        emb_size=settings.emb_size,
        hidden_size=settings.hidden_size,
        n_layers=settings.n_layers,
    )
    model = LanguageModel(config, settings.dropouts).to(accelerator.device)
    training = _training_speed(model, settings, train, accelerator, seconds)
    model.eval()
    start = time.perf_counter()
    with accelerator.autocast():
        score = score_language_model(model, valid, backward=False, max_tokens=SCORED_TOKENS)
    scoring = score.n_tokens / (time.perf_counter() - start)
    return Speed(*ranks.exchange("the speed", training, scoring)[0])


def _training_speed(
    model: LanguageModel,
    settings: PretrainSettings,
    train: TokenCorpus,
    accelerator: Accelerator,
    seconds: float,
) -> float:
    loss = LMLoss(model, settings, word_counts(train, model.config.vocab_size))
    optimizer = make_optimizer(model.layer_groups(), settings.optimizer)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # only the time counts, and nothing can diverge
    parameters, part = [*model.parameters()], (ranks.rank(), ranks.size())
    windows = BPTTStream(train, *batch_shape(train, settings), part=part).epoch(0)
    model.train()
    carry: Carry = {}
    step = n_tokens = 0
    start = time.perf_counter()

    def goes_on() -> bool:
        more = step < WARM_UP_STEPS + LEAST_STEPS or time.perf_counter() - start < seconds
        return bool(ranks.exchange("a measured step", more)[0][0])

    while goes_on():
        if step == WARM_UP_STEPS:
            n_tokens, start = 0, time.perf_counter()
        window, clip = windows[step % len(windows)], settings.optimizer.clip
        carry, _, n_items = train_step(
            loss, window, carry, parameters, optimizer, accelerator, clip
        )
        step, n_tokens = step + 1, n_tokens + n_items
    return n_tokens / (time.perf_counter() - start)
