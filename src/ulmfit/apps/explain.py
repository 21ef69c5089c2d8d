"""Which words made the model give this answer: attributions on the characters of the text.

The score that is explained is the log-odds of the reported probability p of one label,
log p - log(1 - p), for the calibrated answer of all members together.

The baseline is the text with all its words dropped: their embeddings are zero, as embedding dropout
makes them in training, and `xxbos` stays. Integrated gradients divide the way from the baseline's
score to the text's among the words; occlusion drops them one by one.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ulmfit.apps.line_integrals import integrate
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.text_spans import Offsets, Span, spread, words_of
from ulmfit.errors import InputError, SettingsError
from ulmfit.model.word_scales import scaled_logits
from ulmfit.runtime import fast_precision
from ulmfit.stages.ngrams import NGrams
from ulmfit.train.tracker import Display, Silent

__all__ = ["METHODS", "SHARE", "TOLERANCE", "Explanation", "Method", "Span", "explain"]

Method = Literal["integrated-gradients", "occlusion"]
METHODS: Final[tuple[str, ...]] = get_args(Method)

# Attributions add up to the change in score but for this much log-odds, which is at most a quarter
# of a percent of probability, or for this share of what they are together without their signs,
# which no bar in a chart would show. Ours.
TOLERANCE, SHARE = 0.01, 0.02
MOST_POINTS = 256
# A text of so many tokens is long: it is read in bfloat16 where that is fast, and its progress is
# shown. Ours: some seconds on two cores.
LONG = 400
# Rows and tokens in one step. A chunk's activations grow with the rows (64 take a few hundred MB);
# with the tokens a few vectors per chunk, and the factors. Ours.
STEP_ROWS, STEP_TOKENS = 64, 262_144
# A text of 1,000 words is occluded word by word, a longer one some words at a time. Ours.
OCCLUSION_TOKENS = 1_000_000
_MOST_ODDS = 700.0  # exp(710) is no float any more


@dataclass(frozen=True)
class Explanation:
    """Why a text got a label.

    Attributes:
        text: the text.
        label: the class that is explained.
        probability: what the model gives it.
        score: its log-odds, log(probability / (1 - probability)).
        baseline_score: log-odds of the label for a text of as many words, all dropped.
        spans: stretches of the text, disjoint and in order, with what each adds to the score.
        method: `integrated-gradients`, whose attributions add up to `score - baseline_score`, or
            `occlusion`: how much lower the score is without each, which need not add up.
    """

    text: str
    label: str
    probability: float
    score: float
    baseline_score: float
    spans: tuple[Span, ...]
    method: str

    @property
    def unexplained(self) -> float:
        """Change in score that the attributions do not add up to."""
        return self.score - self.baseline_score - sum(span.attribution for span in self.spans)

    @property
    def tolerance(self) -> float:
        """What `unexplained` of integrated gradients is to stay below."""
        return max(TOLERANCE, SHARE * sum(abs(span.attribution) for span in self.spans))

    @property
    def coarse(self) -> bool:
        """Integrated gradients had too few points, for want of time, to stay within `tolerance`."""
        return self.method == "integrated-gradients" and abs(self.unexplained) > self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON; spans with their text."""
        return {
            "text": self.text,
            "label": self.label,
            "probability": self.probability,
            "score": self.score,
            "baseline_score": self.baseline_score,
            "method": self.method,
            "unexplained": self.unexplained,
            "coarse": self.coarse,
            "spans": [
                {
                    "start": span.start,
                    "end": span.end,
                    "text": self.text[span.start : span.end],
                    "attribution": span.attribution,
                }
                for span in self.spans
            ],
        }


def explain(
    predictor: Predictor,
    text: str,
    label: str | None = None,
    *,
    method: str = "integrated-gradients",
    seconds: float | None = None,
    display: Display | None = None,
) -> Explanation:
    """Attribute the score of a label to the characters of a text.

    Nothing is kept between calls, so that several threads may ask at once. The memory this takes
    grows by a few vectors per chunk of the text; occlusion takes longer texts some words at a time.
    The gradients of a long text are taken in bfloat16 where that is faster; the scores, and
    so what is `unexplained`, are those of the exact model.

    Args:
        predictor: the model; with int8 weights it is the float ones that are explained.
        text: any text; an empty one has no spans.
        label: class to explain; None for the most probable one.
        method: `integrated-gradients` or `occlusion`.
        seconds: integrate with fewer points where more would take longer, but with three at least,
            however long they take; None for as long as it takes. Occlusion knows no such limit.
        display: sees how far it is, if the text is long; None for none.

    Raises:
        InputError: a label that the model does not know, or a text that is no string.
        SettingsError: another method.
    """
    if method not in METHODS:
        raise SettingsError(f"method {method!r} is unknown", expected=f"one of {_named(METHODS)}")
    if label is not None and label not in predictor.labels:
        raise InputError(
            f"label {label!r} is unknown to the model",
            expected=f"one of {_named(predictor.labels[:20])}",
        )
    encoded = predictor.members[0].tokenizer.encode_with_offsets(text)
    if label is None:
        label = predictor.labels[int(predictor.predict_proba([text])[0].argmax())]
    column = predictor.labels.index(label)
    score = _Score(predictor, encoded.ids, column, display or Silent())
    if method == "occlusion":
        spans, whole, baseline = _occlude(score, encoded.offsets)
    else:
        spans, whole, baseline = _integrate(score, encoded.offsets, len(text), seconds)
    return Explanation(
        text=text,
        label=predictor.labels[column],
        probability=1 / (1 + math.exp(-min(max(whole, -_MOST_ODDS), _MOST_ODDS))),
        score=whole,
        baseline_score=baseline,
        spans=spans,
        method=method,
    )


def _integrate(
    score: _Score, offsets: Offsets, length: int, seconds: float | None
) -> tuple[tuple[Span, ...], float, float]:
    """Integrated gradients (Sundararajan et al. 2017, equation 1)."""
    begin = time.monotonic()
    exact = score.values(np.repeat([[1.0], [0.0]], score.n_tokens, axis=1)) if score.bf16 else None
    if seconds is not None:
        seconds -= time.monotonic() - begin
    found = integrate(
        score.along, tolerance=TOLERANCE, share=SHARE, most_points=MOST_POINTS, seconds=seconds
    )
    whole, baseline = exact or (found.end, found.start)
    return spread(offsets, found.parts, length), whole, baseline


def _occlude(score: _Score, offsets: Offsets) -> tuple[tuple[Span, ...], float, float]:
    """Score of the text minus its score without each word."""
    words = words_of(offsets)
    most = max(1, OCCLUSION_TOKENS // score.n_tokens)
    together = -(-len(words) // most) if words else 1
    blocks = [words[i : i + together] for i in range(0, len(words), together)]
    scales = np.ones((len(blocks) + 2, score.n_tokens))
    scales[1] = 0.0
    for row, block in enumerate(blocks, start=2):
        scales[row, [token for *_, tokens in block for token in tokens]] = 0.0
    whole, baseline, *without = score.values(scales)
    spans = tuple(
        Span(block[0][0], block[-1][1], whole - rest)
        for block, rest in zip(blocks, without, strict=True)
    )
    return spans, whole, baseline


class _Score:
    """Log-odds of one class as a function of the factors of a document's words.

    Args:
        predictor: the model.
        ids: of the document, in reading order.
        column: the class.
        display: for long texts.
    """

    def __init__(
        self, predictor: Predictor, ids: NDArray[np.integer], column: int, display: Display
    ) -> None:
        self.predictor, self.column = predictor, column
        self.device = predictor.models[0].encoder.embedding.weight.device
        self.tokens = torch.from_numpy(ids.astype(np.int64)).to(self.device)
        self.n_tokens = len(ids)
        self.rows = max(1, min(STEP_ROWS, STEP_TOKENS // self.n_tokens))
        is_long, on_cpu = self.n_tokens >= LONG, self.device.type == "cpu"
        self.bf16 = is_long and on_cpu and fast_precision(cpu=True) == "bf16"
        self.display = display if is_long else Silent()
        self._chunks_read = 0
        self._counted = None if predictor.ngrams is None else _Counted(predictor.ngrams, ids)

    def along(self, places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores where all words have the same factor, (R,), and their gradients, (R, T)."""
        values, slopes = [], []
        parts = np.split(places, range(self.rows, len(places), self.rows))
        self._begin(2 * len(parts))  # each chunk is read there, and again on the way back
        try:
            for part in parts:
                scales = self._scales(np.repeat(part[:, None], self.n_tokens, axis=1))
                found = self._score(scales.requires_grad_(), bf16=self.bf16)
                (slope,) = torch.autograd.grad(found.sum(), scales)
                values.append(found.detach().cpu().numpy())
                slope[:, 0] = 0.0  # `xxbos` is there in the baseline too
                slopes.append(slope.double().cpu().numpy())
        finally:
            self.display.end()
        return np.concatenate(values), np.concatenate(slopes)

    def values(self, table: NDArray[np.float64]) -> list[float]:
        """Scores under each row of factors, (R, T)."""
        found: list[float] = []
        parts = np.split(table, range(self.rows, len(table), self.rows))
        self._begin(len(parts))
        try:
            with torch.no_grad():
                for part in parts:
                    found += self._score(self._scales(part)).tolist()
        finally:
            self.display.end()
        return found

    def _begin(self, readings: int) -> None:
        models = self.predictor.models
        chunks = sum(-(-self.n_tokens // model.config.chunk) for model in models)
        self._chunks_read = 0
        self.display.begin("windows", readings * chunks, 0)

    def _advance(self) -> None:
        self._chunks_read += 1
        self.display.advance(self._chunks_read, {})

    def _scales(self, table: NDArray[np.float64]) -> Tensor:
        scales = torch.from_numpy(table.astype(np.float32)).to(self.device)
        scales[:, 0] = 1.0
        return scales

    def _score(self, scales: Tensor, *, bf16: bool = False) -> Tensor:
        """Log-odds, (R,), of `stages.ensemble` and with a gradient."""
        logits = []
        for member, model in zip(self.predictor.members, self.predictor.models, strict=True):
            turned = member.direction == "backward"
            tokens = self.tokens.flip(0) if turned else self.tokens
            factors = scales.flip(1) if turned else scales
            read = scaled_logits(model, tokens, factors, bf16=bf16, progress=self._advance)
            logits.append(read.double())
        together = torch.stack(logits)
        if self.predictor.multi_label:
            one = together[:, :, self.column]
            yes, no = (torch.logsumexp(F.logsigmoid(sign * one), 0) for sign in (1, -1))
            odds = yes - no
            if self._counted is not None:
                odds = odds + self._counted.scores(scales)[:, self.column]
            return odds / self.predictor.temperature
        scores = torch.logsumexp(together.log_softmax(2), 0)
        if self._counted is not None:
            scores = scores + self._counted.scores(scales)
        scores = scores / self.predictor.temperature
        others = [i for i in range(scores.size(1)) if i != self.column]
        return scores[:, self.column] - torch.logsumexp(scores[:, others], 1)


class _Counted:
    """Scores of the member that counts words, as a function of the factors of a document's words.

    A word adds its factor's part of what it adds as it stands, a pair both factors' part, so that a
    document without words has the scores of an empty one.
    """

    def __init__(self, ngrams: NGrams, ids: NDArray[np.integer]) -> None:
        terms = ngrams.terms(ids)
        self.first = torch.from_numpy(terms.first)
        self.second = torch.from_numpy(np.maximum(terms.second, 0))
        self.is_pair = torch.from_numpy(terms.second >= 0)
        self.added = torch.from_numpy(ngrams.share * terms.added)
        self.bias = torch.from_numpy(ngrams.share * ngrams.bias.astype(np.float64))

    def scores(self, scales: Tensor) -> Tensor:
        """Of each class, by the member's share, (R, T) -> (R, C)."""
        factors = scales.double().cpu()
        other = torch.where(self.is_pair, factors[:, self.second], 1.0)
        found: Tensor = self.bias + (factors[:, self.first] * other) @ self.added
        return found.to(scales.device)


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))
