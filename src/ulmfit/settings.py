"""Settings of the stages: validated values from presets, TOML files and flags.

Defaults here are the `default` preset's; where one is not the paper's, the comment beside it names
its source. The other presets are in `presets`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field

from ulmfit.config import PAPER_DROPOUTS, Dropouts, Frozen, StageSettings

Probability = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSettings(Frozen):
    """Adam (decoupled weight decay) or NT-ASGD, and gradient clipping.

    Attributes:
        kind: `adam` or `nt_asgd`.
        beta1: first Adam moment (paper, section 4.1: 0.7); one-cycle sets its own.
        beta2: second Adam moment (paper, section 4.1: 0.99).
        eps: Adam's epsilon (fastai 2.8: 1e-5).
        weight_decay: decoupled for Adam, L2 for NT-ASGD.
        clip: largest norm of the gradient, None for no clipping.
    """

    kind: Literal["adam", "nt_asgd"] = "adam"
    beta1: float = Field(0.7, ge=0, lt=1)
    beta2: float = Field(0.99, ge=0, lt=1)
    eps: float = Field(1e-5, gt=0)
    weight_decay: float = Field(0.01, ge=0)  # fastai 2.8
    clip: float | None = Field(None, gt=0)


class ScheduleSettings(Frozen):
    """Shape of the learning rate over the steps.

    Attributes:
        kind: see `ulmfit.optim.schedules`.
        cut_frac: rising share of STLR and one-cycle (paper, section 4.1: 0.1).
        ratio: STLR's largest rate over its lowest (paper, section 4.1: 32).
        scope: one schedule over the whole `run`, or one for each unfreezing `phase`.
        frozen_cut_frac: rising share in all phases but the last, None for the same.
    """

    kind: Literal["stlr", "cosine", "one_cycle", "constant", "warmup_stable_decay"] = "stlr"
    cut_frac: float = Field(0.1, gt=0, lt=1)
    ratio: float = Field(32, ge=1)
    scope: Literal["run", "phase"] = "run"
    frozen_cut_frac: float | None = Field(None, gt=0, lt=1)


class RateSettings(Frozen):
    """Learning rates of the layer groups.

    Attributes:
        lr: largest rate of the top group.
        kind: `uniform`, `divide` (paper: each lower group at / factor), `shares` (of the groups,
            bottom first) or `log_spaced` (fastai: from lr / factor at the bottom up to lr).
        factor: divisor of `divide` (paper: 2.6) and `log_spaced`.
        shares: for `shares`.
    """

    lr: float = Field(gt=0)
    kind: Literal["uniform", "divide", "shares", "log_spaced"] = "divide"
    factor: float = Field(2.6, ge=1)
    shares: tuple[Annotated[float, Field(gt=0)], ...] = ()


class TextSettings(Frozen):
    """How text becomes tokens.

    Attributes:
        kind: words, or subwords by BPE or a unigram LM.
        vocab_size: at most so many entries (released code: 30,000 for pretraining).
        min_freq: a word that occurs less often becomes xxunk (fastai 2.8 says 3; ours: 2, so that
            a corpus of a few million words keeps its rarer ones).
    """

    kind: Literal["word", "bpe", "unigram"] = "word"
    vocab_size: int = Field(30_000, ge=16)
    min_freq: int = Field(2, ge=1)


class LMSettings(StageSettings):
    """Training of a language model on a token stream, from scratch or from pretrained weights.

    Attributes:
        epochs: passes over the stream (paper: 15 on TREC-6; each stage has its own default).
        max_tokens: stop after so many tokens (None: after the epochs); bounds the wait.
        batch_size: B, parallel streams (paper: 64).
        least_steps: shorter windows, and then fewer streams, where an epoch would have fewer steps
            than this (paper: no such rule, so 1).
        bptt: T, steps per window (paper: 70).
        vary_bptt: draw window lengths as AWD-LSTM does, mostly N(bptt, 5).
        dropouts: the five.
        ar_alpha: AR weight (released code: 2).
        tar_beta: TAR weight (released code: 1).
        softmax_samples: draws of the sampled softmax per batch, None for the full softmax (paper).
        patience: stop after so many validations without improvement, None for never.
        validate_every: validate also every so many steps, None for at the end of epochs only.
        valid_fraction: share of the documents held out to choose the best epoch (paper, section
            5: 10 %).
    """

    epochs: int = Field(4, ge=1)
    max_tokens: int | None = Field(None, gt=0)
    batch_size: int = Field(64, ge=1)
    least_steps: int = Field(1, ge=1)
    bptt: int = Field(70, ge=2)
    vary_bptt: bool = False
    dropouts: Dropouts = Dropouts()
    ar_alpha: float = Field(2.0, ge=0)
    tar_beta: float = Field(1.0, ge=0)
    softmax_samples: int | None = Field(None, gt=0)
    patience: int | None = Field(None, ge=1)
    validate_every: int | None = Field(None, ge=1)
    valid_fraction: float = Field(0.1, ge=0, lt=1)
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    rates: RateSettings = RateSettings(lr=4e-3)  # released code, finetune_lm.py


class PretrainSettings(LMSettings):
    """A language model from scratch.

    Attributes:
        text: vocabulary.
        emb_size: E (paper: 400).
        hidden_size: H (paper: 1150).
        n_layers: LSTM layers (paper: 3).
    """

    text: TextSettings = TextSettings()
    # Sizes that two cores can train in an evening: ours, docs/log.md, "how good is a language model
    # after an hour on one core?".
    emb_size: int = Field(256, gt=0)
    hidden_size: int = Field(640, gt=0)
    n_layers: int = Field(2, gt=0)
    # A corpus that is read once cannot be learned by heart: a fifth of the released dropouts and no
    # AR or TAR. The rest as in the same entry.
    epochs: int = Field(1, ge=1)
    dropouts: Dropouts = Dropouts().scaled(0.2)
    ar_alpha: float = Field(0.0, ge=0)
    tar_beta: float = Field(0.0, ge=0)
    softmax_samples: int | None = Field(1024, gt=0)
    # Ours: an epoch is hours, and a hundredth of millions of words says enough.
    validate_every: int | None = Field(1000, ge=1)
    valid_fraction: float = Field(0.01, gt=0, lt=1)
    optimizer: OptimizerSettings = OptimizerSettings(beta1=0.9, clip=1.0)
    schedule: ScheduleSettings = ScheduleSettings(kind="warmup_stable_decay")
    rates: RateSettings = RateSettings(lr=3e-3, kind="uniform")


class FinetuneLMSettings(LMSettings):
    """A pretrained language model adapted to the user's own text.

    Attributes:
        vocab: words of the fine-tuned LM: those of the `task` text, or the `union` with the
            pretrained ones.
        max_vocab: at most so many words (released code: 60,000).
        min_freq: a task word that occurs less often is left out (ours: a word that is seen once
            teaches nothing that its mean embedding does not say).
        by_length: fit passes, dropouts, AR, TAR and rates to the length of the text, as far as
            nobody has chosen them (ours, `stages.finetune_lm.fitted_to_length`).
    """

    # A corpus of 5,000 short texts would be read in 14 steps of 64 streams: ours, docs/log.md,
    # "which settings for 5,000 short texts?".
    least_steps: int = Field(50, ge=1)
    # Five passes over a short text (eight over TREC-6 came to the same perplexity: docs/log.md,
    # "which epoch of a classifier is the best?"), or under an hour on two cores for a large corpus,
    # both directions, one core each (docs/log.md, "how far do few labels go, and all of TREC-6?").
    epochs: int = Field(5, ge=1)
    max_tokens: int | None = Field(10_000_000, gt=0)
    softmax_samples: int | None = Field(1024, gt=0)
    # Released code: task. With 600 labels the pretrained words that only new texts hold are worth
    # five points: ours, docs/log.md, "which settings for 5,000 short texts?".
    vocab: Literal["task", "union"] = "union"
    max_vocab: int = Field(60_000, ge=16)
    min_freq: int = Field(2, ge=1)
    by_length: bool = True


class ClassifierSettings(StageSettings):
    """Training of the classifier on a fine-tuned encoder.

    Attributes:
        epochs: passes over the labelled documents (paper: 50; ours: 15, docs/log.md, "which
            settings for 5,000 short texts?").
        max_tokens: fewer passes where the documents have more tokens than this in all of them
            (at least 2 passes); bounds the wait to about half an hour a direction on two cores
            (ours). None: always `epochs`.
        batch_size: B, documents (paper: 64).
        chunk: BPT3C's chunk (paper: 70).
        pool_tokens: max and mean pool over the last so many tokens, None for all.
        grad_tokens: gradients flow through the last so many tokens, None for all (released code:
            20 x 70).
        head_size: width of the head (paper: 50).
        head_p: the head's two dropouts (released code: .4, .1).
        ar_alpha: AR weight (released code: 2).
        tar_beta: TAR weight (released code: 1).
        unfreezing: `gradual`, `chain_thaw`, `last` or `full` (table 7).
        unfreeze_steps: top groups thawed in each frozen epoch, empty for one more each.
        class_weights: `balanced` weighs classes by inverse frequency.
        patience: stop after so many epochs without improvement, None for never.
        valid_fraction: share of the labelled documents held out to choose the best epoch (paper,
            section 5: 10 %).
        by_length: fewer passes and less dropout where there are many documents, smaller batches of
            a few or of few very long ones, as far as nobody has chosen these (ours,
            `stages.classifier_course`).
    """

    epochs: int = Field(15, ge=1)
    max_tokens: int | None = Field(12_000_000, gt=0)
    batch_size: int = Field(64, ge=1)
    chunk: int = Field(70, ge=1)
    pool_tokens: int | None = Field(None, gt=0)
    grad_tokens: int | None = Field(1400, gt=0)
    head_size: int = Field(50, gt=0)
    head_p: tuple[Probability, Probability] = (0.4, 0.1)
    dropouts: Dropouts = Dropouts(**PAPER_DROPOUTS)
    ar_alpha: float = Field(2.0, ge=0)
    tar_beta: float = Field(1.0, ge=0)
    unfreezing: Literal["gradual", "chain_thaw", "last", "full"] = "gradual"
    unfreeze_steps: tuple[Annotated[int, Field(ge=1)], ...] = ()
    class_weights: Literal["none", "balanced"] = "none"
    patience: int | None = Field(None, ge=1)
    valid_fraction: float = Field(0.1, gt=0, lt=1)
    by_length: bool = True
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    # Paper: 1e-2; on TREC-6 the double made 13 % fewer errors: ours, docs/log.md, "which settings
    # for 5,000 short texts?".
    rates: RateSettings = RateSettings(lr=2e-2)


class SelfTrainingSettings(Frozen):
    """A second round of training, also on what the first one's classifier says; no paper's.

    Attributes:
        documents: at most so many texts without labels are answered and learned from.
        epochs: passes over them and the labelled documents; more where these are few.
    """

    # Ours; docs/log.md, "which texts and targets for a second round?".
    documents: int = Field(1_500, ge=1)
    epochs: int = Field(5, ge=2)


class NGramSettings(Frozen):
    """A member that counts words and word pairs, added to the classifier's scores; no paper's.

    Attributes:
        share: what its scores count beside those of the language models; None: what held-out
            documents say, see `stages.fit_ngrams`.
    """

    share: float | None = Field(None, gt=0, allow_inf_nan=False)


# Settings of a stage that count with some values of another one only.
_SCHEDULES = ("stlr", "cosine", "constant", "warmup_stable_decay")  # one-cycle has its own beta1
_COUNTS_WITH: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("optimizer.beta1", "optimizer.kind", ("adam",)),
    ("optimizer.beta1", "schedule.kind", _SCHEDULES),
    ("optimizer.beta2", "optimizer.kind", ("adam",)),
    ("optimizer.eps", "optimizer.kind", ("adam",)),
    ("schedule.cut_frac", "schedule.kind", ("stlr", "one_cycle")),
    ("schedule.ratio", "schedule.kind", ("stlr",)),
    ("schedule.frozen_cut_frac", "schedule.scope", ("phase",)),
    ("schedule.frozen_cut_frac", "schedule.kind", ("stlr", "one_cycle")),
    ("unfreeze_steps", "unfreezing", ("gradual",)),
    ("rates.lr", "unfreezing", ("gradual", "last", "full")),
    ("rates.factor", "rates.kind", ("divide", "log_spaced")),
    ("rates.shares", "rates.kind", ("shares",)),
)


class Settings(Frozen):
    """All of a `train` run.

    Attributes:
        pretrain: pretraining, for `ulmfit pretrain`.
        finetune_lm: LM fine-tuning, None to skip it.
        classifier: classifier fine-tuning.
        self_training: a second round of it with unlabelled texts, None for none.
        ngrams: a member that counts words, None for none.
    """

    pretrain: PretrainSettings = PretrainSettings()
    finetune_lm: FinetuneLMSettings | None = FinetuneLMSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    self_training: SelfTrainingSettings | None = None
    ngrams: NGramSettings | None = NGramSettings()

    def with_choices(self, names: Iterable[str]) -> Self:
        """The same, the stages knowing what a person has chosen.

        Args:
            names: dotted keys, such as `classifier.epochs`.
        """
        chosen: dict[str, set[str]] = {}
        for name in names:
            stage, _, key = name.partition(".")
            if not key:
                continue  # a stage that is left out
            chosen.setdefault(stage, set()).add(key.partition(".")[0])
        stages = {stage: getattr(self, stage) for stage in chosen}
        changes = {
            stage: value.with_choices(chosen[stage])
            for stage, value in stages.items()
            if isinstance(value, StageSettings)
        }
        return self.model_copy(update=changes)

    def without_effect(self, names: Iterable[str]) -> list[str]:
        """Which of these dotted keys change nothing, as another setting is as it is; and why."""
        found = []
        for name in names:
            stage, _, key = name.partition(".")
            for chosen, other, values in _COUNTS_WITH:
                if chosen != key:
                    continue
                value = getattr(self, stage)
                for part in other.split("."):
                    value = getattr(value, part, None)
                if value is not None and value not in values:
                    where = f"{stage}.{other}"
                    found.append(f"{name} changes nothing where {where} is {value!r}")
        return found

    @property
    def kept_defaults(self) -> list[str]:
        """Dotted keys of what a person has chosen to be the default; `with_choices` takes them."""
        stages = {name: getattr(self, name) for name in type(self).model_fields}
        return [
            f"{stage}.{key}"
            for stage, value in stages.items()
            if isinstance(value, StageSettings)
            for key in value.kept_defaults
        ]
