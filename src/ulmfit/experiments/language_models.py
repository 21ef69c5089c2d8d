"""The language model that a cell starts from: shipped, pretrained on the spot, or random; tuned.

What is made here is kept on disk under the hash of all that decides it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ulmfit.artifacts import WEIGHTS, FolderContents, read_folder, write_folder
from ulmfit.config import Direction, LMConfig
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.datasets import Dataset, iter_texts, text_digest
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import SettingsError
from ulmfit.experiments.cells import Plan, Task, digest, tuning_seed
from ulmfit.experiments.protocol import load_parts
from ulmfit.locks import alone_in
from ulmfit.model.language_model import LanguageModel
from ulmfit.runtime import Precision, make_accelerator, seed_everything
from ulmfit.settings import FinetuneLMSettings, PretrainSettings, Settings
from ulmfit.stages.finetune_lm import (
    adapted_model,
    finetune_lm,
    is_held_out,
    pack_task_corpus,
    task_tokenizer,
)
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import RunContext, word_counts
from ulmfit.stages.pretrain import prepare_corpus, pretrain
from ulmfit.storage import atomic_write
from ulmfit.train.checkpoint import Checkpoints, weights
from ulmfit.train.tracker import Display

Texts = Callable[[], Iterable[str]]


class Answering(Protocol):
    """A trained classifier."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.floating[Any]]:
        """Probabilities, (N, C)."""


class Trainer(Protocol):
    """What `ulmfit train` does once the language models are tuned, see `apps.training`."""

    def __call__(
        self,
        lms: Mapping[Direction, TrainedLM],
        train: Dataset,
        valid: Dataset | None,
        unlabeled: Texts,
        settings: Settings,
        context: RunContext,
    ) -> Answering:
        """Train on these rows, some held out, and texts without labels; kept below the folder."""


@dataclass(frozen=True)
class Site:
    """Where and on what cells are run.

    Attributes:
        work: folder for what is shared, and for what is under way.
        data_dir: folder of the named data sets.
        lm: folder of the pretrained language model, None to pretrain one.
        cpu: do not use a GPU even if there is one.
        precision: of the products in training.
        checkpoint_seconds: least time between two checkpoints.
        trainer: for the method `train`, which other methods can do without.
    """

    work: Path
    data_dir: Path | None = None
    lm: Path | None = None
    cpu: bool = False
    precision: Precision = "float32"
    checkpoint_seconds: float = 60.0
    trainer: Trainer | None = None

    def context(self, task: Task, display: Display) -> RunContext:
        """The surroundings of a stage; a killed one goes on from its checkpoint."""
        return RunContext(
            make_accelerator(self.precision, cpu=self.cpu),
            task.folder(self.work),
            display,
            _seed(task),
            resume=True,
            checkpoint_seconds=self.checkpoint_seconds,
        )


def lm_digests(path: Path) -> dict[Direction, str]:
    """SHA-256 of a pretrained language model's weights, by direction; as `ulmfit lms` has it.

    Raises:
        ModelFolderError: the folder is broken.
    """
    return {
        part.config["direction"]: hashlib.sha256(part.require(WEIGHTS)).hexdigest()
        for part in _directions(read_folder(path))
    }


def pretrain_lm(task: Task, site: Site, display: Display) -> None:
    """Stage 1 on the scale's corpus."""
    settings, source = task.plan.settings.pretrain, task.plan.corpus
    assert source is not None

    def part(held_out: bool) -> Texts:
        def texts() -> Iterator[str]:
            found = iter_texts(source, data_dir=site.data_dir)
            return (t for t in found if is_held_out(t, settings.valid_fraction) == held_out)

        return texts

    words = settings.model_dump(include={"text", "valid_fraction"})
    corpus = site.work / "corpora" / digest(["pretrain", task.plan.corpus_digest, words])
    with alone_in(corpus):  # the other direction's process makes the same
        tokenizer, train, valid = prepare_corpus(part(False), part(True), settings, corpus)
    context = site.context(task, display)
    lm = pretrain(
        tokenizer,
        train,
        valid,
        settings,
        context,
        direction=task.direction,
        info={"corpus": source},
    )
    _keep(lm, task, site)


def tune_lm(task: Task, site: Site, display: Display) -> None:
    """Stage 2, or only its vocabulary where the variant leaves the training out."""
    plan = task.plan
    settings = plan.settings.finetune_lm
    assert settings is not None
    base = None if _has_no_base(plan, site) else base_lm(task, site)
    tokenizer, train, valid = task_corpus(plan, base, settings, site)
    if base is None or plan.variant.lm == "random":
        base = random_lm(plan, base, tokenizer, train, task.direction)
    if plan.variant.finetune:
        lm = finetune_lm(base, tokenizer, train, valid, settings, site.context(task, display))
    else:
        model = adapted_model(base, tokenizer.vocab, settings)
        lm = TrainedLM(model.config, base.direction, tokenizer, weights(model), base.info)
    _keep(lm, task, site)


def base_lm(task: Task, site: Site) -> TrainedLM:
    """The pretrained language model of a direction.

    Raises:
        SettingsError: the folder has no such direction.
    """
    if task.needs:
        return TrainedLM.load(task.needs[0].outcome(site.work))
    assert site.lm is not None
    for part in _directions(read_folder(site.lm)):
        if part.config.get("direction") == task.direction:
            return TrainedLM.from_contents(part)
    raise SettingsError(
        f"language model '{site.lm.name}' has no {task.direction} direction",
        hint="Pretrain it, or name another language model with --lm.",
    )


def task_corpus(
    plan: Plan, base: TrainedLM | None, settings: FinetuneLMSettings, site: Site
) -> tuple[Tokenizer, TokenCorpus, TokenCorpus | None]:
    """The task's text, packed once for every cell that reads the same.

    Args:
        plan: says which text.
        base: pretrained language model, whose words may join; None for the task's words alone.
        settings: vocabulary and held-out part.
        site: where it is kept.
    """
    parts = load_parts(plan.source, plan.metric, site.data_dir)
    if plan.variant.text == "labelled":
        texts = parts.labelled(plan.cell.labels, plan.cell.seed).texts
    else:
        texts = parts.task_texts(plan.metric)
    if base is None or plan.variant.lm == "random":  # no use of words that nothing is known of
        settings = settings.model_copy(update={"vocab": "task"})
    words = settings.model_dump(include={"vocab", "max_vocab", "min_freq", "valid_fraction"})
    known = base.tokenizer.digest if base is not None else None
    folder = site.work / "corpora" / digest([text_digest(texts), known, words])
    done = folder / "tokenizer.json"
    with alone_in(folder):  # the other direction's process makes the same
        if done.exists():
            valid = TokenCorpus.open(folder / "valid") if (folder / "valid").is_dir() else None
            tokenizer = Tokenizer.from_json(done.read_text(encoding="utf-8"))
            return tokenizer, TokenCorpus.open(folder / "train"), valid
        if base is not None:
            tokenizer = task_tokenizer(base.tokenizer, lambda: texts, settings)
        else:
            tokenizer = Tokenizer.train(
                texts, kind="word", vocab_size=settings.max_vocab, min_freq=settings.min_freq
            )
        train, valid = pack_task_corpus(lambda: texts, tokenizer, settings.valid_fraction, folder)
        atomic_write(done, tokenizer.to_json().encode())
        return tokenizer, train, valid


def random_lm(
    plan: Plan,
    base: TrainedLM | None,
    tokenizer: Tokenizer,
    train: TokenCorpus,
    direction: Direction,
) -> TrainedLM:
    """A language model of the pretrained one's sizes that knows nothing but word frequencies."""
    seed_everything(_tuning_seed(plan))
    settings = plan.settings
    sizes = base.config if base is not None else None
    config = lm_sizes(sizes, settings.pretrain, tokenizer.vocab_size)
    assert settings.finetune_lm is not None
    model = LanguageModel(config, settings.finetune_lm.dropouts)
    model.init_bias_from_counts(word_counts(train, tokenizer.vocab_size))
    return TrainedLM(config, direction, tokenizer, weights(model), {"corpus": "none: random"})


def lm_sizes(sizes: LMConfig | None, settings: PretrainSettings, vocab_size: int) -> LMConfig:
    """Sizes of the pretrained language model, or of the one that would be pretrained."""
    if sizes is not None:
        return LMConfig(**{**sizes.model_dump(), "vocab_size": vocab_size})
    return LMConfig(
        vocab_size=vocab_size,
        emb_size=settings.emb_size,
        hidden_size=settings.hidden_size,
        n_layers=settings.n_layers,
    )


def _has_no_base(plan: Plan, site: Site) -> bool:
    return plan.variant.lm == "random" and site.lm is None


def _seed(task: Task) -> int:
    if task.kind == "pretrain":
        return 0  # one for all seeds
    return _tuning_seed(task.plan) if task.kind == "tune" else task.plan.cell.seed


def _tuning_seed(plan: Plan) -> int:
    return tuning_seed(plan) or 0


def _keep(lm: TrainedLM, task: Task, site: Site) -> None:
    folder = task.folder(site.work)
    log = folder / "log.jsonl"
    write_folder(task.outcome(site.work), lm.files(log=log.read_bytes() if log.exists() else b""))
    Checkpoints(folder / "checkpoints").clear()


def _directions(contents: FolderContents) -> Iterator[FolderContents]:
    yield contents
    if contents.backward is not None:
        yield contents.backward
