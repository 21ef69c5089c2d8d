"""Train a language model on a token stream: what `pretrain` and `finetune-lm` share."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ulmfit import ranks
from ulmfit.config import Direction
from ulmfit.data.bptt import BPTTStream, Window
from ulmfit.data.corpus import TokenCorpus
from ulmfit.errors import InputError
from ulmfit.model.activation_reg import activation_reg, temporal_activation_reg
from ulmfit.model.awd_lstm import EncoderOutput, State, detach, state_from_tensors, state_tensors
from ulmfit.model.language_model import LanguageModel
from ulmfit.model.softmax import SampledSoftmax, full_softmax_loss, sampled_softmax_loss
from ulmfit.optim.unfreezing import full
from ulmfit.settings import LMSettings
from ulmfit.stages.rates import group_rates
from ulmfit.train.checkpoint import Checkpoints, checksum
from ulmfit.train.evaluate import score_language_model
from ulmfit.train.loop import Carry, FitResult, Job, Metrics, Options, StepResult, fit
from ulmfit.train.tracker import Display, Tracker

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class RunContext:
    """Where and how a stage runs.

    Attributes:
        accelerator: device and precision.
        folder: work folder of the stage: checkpoints and `log.jsonl`.
        display: what a person sees.
        seed: of weights, order and dropout.
        resume: go on from a checkpoint.
        checkpoint_seconds: least time between checkpoints.
        deadline: save and stop at this time of `time.monotonic`, None for never.
    """

    accelerator: Accelerator
    folder: Path
    display: Display
    seed: int = 0
    resume: bool = False
    checkpoint_seconds: float = 120.0
    deadline: float | None = None


# Fewer rows than this make the gradient of a step too noisy for the rates in the presets.
LEAST_ROWS = 4
# On TREC-6, 50 steps of 64 x 18 tokens took 0.8 times as long as of 16 x 70 and learnt as much.
# Ours, docs/log.md, "fewer streams or shorter windows on a short text?".
LEAST_WINDOW = 18

# A corpus that is read once cannot be learnt by heart, one that is read often can: the share of the
# released code's dropouts, AR and TAR by the passes over it. Ours, docs/log.md, "how to fine-tune a
# language model on a long text?".
SHARE_BY_PASSES = ((2, 0.2), (6, 0.5), (math.inf, 1.0))

# Validation during training reads about so many tokens: enough for the third digit of perplexity.
VALID_TOKENS = 100_000


class LMLoss:
    """Cross entropy of the next word with AR and TAR, from window to window.

    Args:
        model: the LM.
        settings: penalties and kind of softmax.
        counts: occurrences of each word in the training corpus, (V,), for the sampled softmax.
    """

    def __init__(self, model: LanguageModel, settings: LMSettings, counts: Tensor) -> None:
        self.model, self.settings = model, settings
        samples = settings.softmax_samples
        device = model.decoder_bias.device
        self.sampled = SampledSoftmax(counts.to(device), samples) if samples else None

    def __call__(self, batch: Window, carry: Carry) -> StepResult:
        """(B, T) window and the state before it -> loss and the state after it."""
        settings, encoder = self.settings, self.model.encoder
        device = self.model.decoder_bias.device
        inputs = torch.from_numpy(batch.inputs).to(device)
        targets = torch.from_numpy(batch.targets).to(device).flatten()
        state = state_from_tensors(carry) if carry else encoder.initial_state(inputs.size(0))
        nll, output = self.read(inputs, targets, state)
        penalty = activation_reg(output.dropped, settings.ar_alpha)
        penalty = penalty + temporal_activation_reg(output.raw, settings.tar_beta)
        share = 1.0 / ranks.size()  # every process has as many rows
        return StepResult(
            (nll + penalty) * share,
            nll.detach() * share,
            targets.numel(),
            state_tensors(detach(output.state)),
        )

    def read(self, inputs: Tensor, targets: Tensor, state: State) -> tuple[Tensor, EncoderOutput]:
        """Cross entropy in nats per token, and what the encoder makes of the window.

        Of a sampled softmax one look-up serves the inputs and the scores: the gradient of each is a
        matrix as large as the embedding, and one of them costs less than two and their sum.
        """
        weight, bias = self.model.encoder.embedding.weight, self.model.decoder_bias
        if self.sampled is None:
            output = self.model(inputs, state)
            return full_softmax_loss(output.dropped.flatten(0, 1), targets, weight, bias), output
        candidates = self.sampled.choose(targets)
        words, at = torch.unique(
            torch.cat([inputs.flatten(), candidates.words]), return_inverse=True
        )
        rows = F.embedding(words, weight)
        output = self.model.encoder(at[: inputs.numel()].view_as(inputs), state, rows)
        scored = rows[at[inputs.numel() :]]
        hidden = output.dropped.flatten(0, 1)
        return sampled_softmax_loss(hidden, candidates, scored, bias[candidates.words]), output


def word_counts(corpus: TokenCorpus, vocab_size: int) -> Tensor:
    """Occurrences of each word, (V,), in one pass over the stream in blocks."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    block = 1 << 22
    for start in range(0, corpus.n_tokens, block):
        counts += np.bincount(corpus.ids[start : start + block], minlength=vocab_size)
    return torch.from_numpy(counts)


def corpus_checksum(corpus: TokenCorpus) -> int:
    """CRC-32 of the tokens and of the places where documents start."""
    return zlib.crc32(corpus.starts.data, zlib.crc32(corpus.ids.data))


@dataclass(frozen=True)
class LMData:
    """What a language model is trained on.

    Attributes:
        train: training tokens.
        valid: held-out tokens, None to keep the last weights instead of the best.
        direction: reading order.
        counts: occurrences of each word in `train`, (V,).
        first_weights: those of the language model to start from, None for random ones; a run is
            resumed only from the same.
    """

    train: TokenCorpus
    valid: TokenCorpus | None
    direction: Direction
    counts: Tensor
    first_weights: Mapping[str, Tensor] | None = None

    def identity(self) -> dict[str, object]:
        """What a resumed run must have in common with the first one."""
        corpora = [corpus for corpus in (self.train, self.valid) if corpus is not None]
        return {
            "direction": self.direction,
            "data": [corpus_checksum(corpus) for corpus in corpora],
            "first weights": checksum(self.first_weights or {}),
        }


def train_language_model(
    model: LanguageModel,
    data: LMData,
    settings: LMSettings,
    context: RunContext,
    *,
    validated: Callable[[LanguageModel], None] | None = None,
) -> FitResult:
    """Fit an LM in place; it ends with the weights that did best on the held-out tokens.

    Args:
        model: on the accelerator's device.
        data: tokens, direction.
        settings: length, rates, penalties.
        context: device, folder, display.
        validated: called with the model after each validation.

    Raises:
        InputError: the corpus has no two tokens for each process.
        SettingsError: the run to resume was of other data, settings or first weights.
    """
    rows, window = batch_shape(data.train, settings)
    per_step = rows * window * ranks.size()
    options = Options(
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        max_steps=max(1, settings.max_tokens // per_step) if settings.max_tokens else None,
        patience=settings.patience,
        validate_every=settings.validate_every,
        checkpoint_seconds=context.checkpoint_seconds,
        resume=context.resume,
        deadline=context.deadline,
        identity={
            "settings": settings.model_dump(),
            "seed": context.seed,
            **data.identity(),
        },
    )
    job = _job(model, data, settings, (rows, window), context.seed, validated)
    tracker = Tracker(context.folder / "log.jsonl", context.display)
    checkpoints = Checkpoints(context.folder / "checkpoints")
    return fit(job, options, context.accelerator, tracker, checkpoints)


def _job(
    model: LanguageModel,
    data: LMData,
    settings: LMSettings,
    shape: tuple[int, int],
    seed: int,
    validated: Callable[[LanguageModel], None] | None,
) -> Job[Window]:
    backward = data.direction == "backward"
    stream = BPTTStream(
        data.train,
        *shape,
        backward=backward,
        vary=settings.vary_bptt,
        seed=seed,
        part=(ranks.rank(), ranks.size()),
    )
    valid = data.valid

    def validate() -> Metrics:
        assert valid is not None
        score = score_language_model(model, valid, backward=backward, max_tokens=VALID_TOKENS)
        if validated is not None:
            validated(model)
        return {"valid_loss": score.nll / score.n_tokens, "perplexity": score.perplexity}

    groups = model.layer_groups()
    return Job(
        model=model,
        groups=groups,
        batches=stream,
        loss=LMLoss(model, settings, data.counts),
        validate=validate if valid is not None else None,
        monitor="valid_loss",
        plan=full(group_rates(settings.rates, len(groups)), settings.epochs),
    )


def effort(result: FitResult) -> dict[str, float]:
    """What training took, for the metrics: steps, seconds, and passes over the text."""
    return {
        "steps": result.steps,
        "seconds": round(result.seconds),
        "passes": float(f"{result.epochs:.3g}"),
    }


def regularization_share(passes: float) -> float:
    """How much of the dropouts, AR and TAR so many passes over a corpus need, up to 1."""
    return next(share for most, share in SHARE_BY_PASSES if passes <= most)


def batch_shape(corpus: TokenCorpus, settings: LMSettings) -> tuple[int, int]:
    """Rows and steps per window of a batch: `batch_size` and `bptt`, or less for a short corpus.

    Where an epoch would have fewer steps than `least_steps`, windows become shorter, and then rows
    fewer.

    Of several processes that train together, those of one of them: all have as many.

    Raises:
        InputError: the corpus has no two tokens for each process.
    """
    n_tokens, window, n = corpus.n_tokens, settings.bptt, ranks.size()
    rows = n * settings.batch_size
    if n_tokens < 2 * n:
        raise InputError(
            f"the corpus has {n_tokens} tokens", expected=f"at least {2 * n} tokens of text"
        )
    window = min(window, max(LEAST_WINDOW, n_tokens // (rows * settings.least_steps)))
    for_steps = max(LEAST_ROWS, n_tokens // (window * settings.least_steps))
    return max(1, min(rows, for_steps, n_tokens // (window + 1)) // n), window
