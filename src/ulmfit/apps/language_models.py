"""Language models for both directions: `pretrain` and `finetune-lm` from text to folder."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ulmfit import ranks
from ulmfit.apps.corpus_facts import CorpusFacts, measure_corpus
from ulmfit.apps.corpus_parts import (
    require_enough,
    training_parts,
    warn_of_unknown_words,
    watched,
)
from ulmfit.apps.packed_corpus import packed_tokenizer, read_packed, unpack_corpus
from ulmfit.apps.planned import Plan
from ulmfit.apps.run import Texts, TrainingRun
from ulmfit.artifacts import write_folder
from ulmfit.config import Direction
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.datasets import text_digest
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError, SettingsError
from ulmfit.model.quantized_rows import Store
from ulmfit.settings import FinetuneLMSettings, PretrainSettings
from ulmfit.stages.finetune_lm import finetune_lm, pack_task_corpus, task_tokenizer
from ulmfit.stages.lm_folder import WORK_FOLDER, TrainedLM
from ulmfit.stages.pretrain import prepare_corpus, pretrain
from ulmfit.storage import atomic_write
from ulmfit.train.checkpoint import Checkpoints, checksum

LMs = dict[Direction, TrainedLM]
Corpora = tuple[Tokenizer, TokenCorpus, TokenCorpus]

# Settings that a language model to start from decides.
STARTED = ("emb_size", "hidden_size", "n_layers", "text")


def pretrain_lms(
    texts: Texts | Path,
    settings: PretrainSettings,
    directions: Sequence[Direction],
    run: TrainingRun,
    *,
    valid: Texts | None = None,
    start: Mapping[Direction, TrainedLM] | None = None,
    info: Mapping[str, object] | None = None,
    given: Collection[str] | None = None,
    seconds: float | None = None,
) -> LMs:
    """Stage 1 for each direction.

    Args:
        texts: opens the corpus, read several times; or a file that `pack_corpus` wrote.
        settings: vocabulary, sizes, training.
        directions: which to train, one after another.
        run: work folder, device, display, seed.
        valid: held-out text, else the share `settings.valid_fraction` of the documents.
        start: language models whose weights to start from, each of the vocabulary wanted and of
            any direction; their vocabulary and sizes are taken over.
        info: what to say of the corpus in the folders.
        given: keys of `settings` that are to stay; all others are chosen by the corpus and the
            machine (`pretrain_plan.suggest`). None leaves all as they are.
        seconds: time for everything, the reading of the corpus included: a measured speed decides
            how many steps fit, and of two directions the second starts from the first. A resumed
            run keeps the number of steps.

    Raises:
        InputError: too little text, or too little time.
        SettingsError: the run to resume was of another corpus or other settings.
        Interrupted: the user or the deadline stopped the run.
    """
    began = time.monotonic()
    run.display.note("reading the corpus")
    facts = _facts_of(texts, start, run)
    run.claim(_identity(run, facts, settings, directions, start, given, seconds) | _held_out(valid))
    if given is not None and (start or isinstance(texts, Path)):
        settings = _with_known(settings, texts, start)
        given = [*given, *(STARTED if start else ["text"])]
    plan = Plan(run, facts, given)
    settings = plan.adapted(settings, timed=seconds is not None)
    corpora = _corpora(texts, valid, settings, start, run, facts.chars)
    if valid is not None and (known := facts.documents - corpora[1].n_docs):
        run.display.note(f"{known:,} documents are held out by --valid: not trained on")
    if start:
        warn_of_unknown_words(corpora[1], corpora[0])
    by_direction: dict[Direction, PretrainSettings] = dict.fromkeys(directions, settings)
    if seconds is not None:
        left = seconds - (time.monotonic() - began)
        by_direction = plan.timed(settings, directions, left, not start, corpora)
    told = {"vocabulary": corpora[0].kind, **(info or {}), **_counts(facts), **_origin(start)}
    found: LMs = {}
    for direction, chosen in by_direction.items():
        begin = (start or {}).get(direction)
        if seconds is not None and not start:
            begin = next(iter(found.values()), None)
        found[direction] = _pretrained(corpora, chosen, direction, run, begin, told)
    return found


def _pretrained(
    corpora: Corpora,
    settings: PretrainSettings,
    direction: Direction,
    run: TrainingRun,
    start: TrainedLM | None,
    info: Mapping[str, object],
) -> TrainedLM:
    """One direction, trained or as an earlier session left it."""
    place = run.work / direction
    if not ranks.first("a trained model", (place / "model").is_dir):
        run.display.note(f"{direction} language model: {corpora[1].n_tokens:,} tokens")
        lm = pretrain(
            *corpora,
            settings,
            run.context(direction),
            direction=direction,
            info=dict(info),
            start=start,
        )
        _keep(lm, place)
    return TrainedLM.load(place / "model")


def _corpora(
    texts: Texts | Path,
    valid: Texts | None,
    settings: PretrainSettings,
    start: Mapping[Direction, TrainedLM] | None,
    run: TrainingRun,
    n_chars: int,
) -> Corpora:
    """Vocabulary, training and held-out tokens in the work folder; what is done stays."""
    folder = run.work / "corpus"

    def read() -> Corpora:
        words = Tokenizer.from_json((folder / "tokenizer.json").read_text(encoding="utf-8"))
        train, held_out = (
            TokenCorpus.open(folder / part, tokenizer=words) for part in ("train", "valid")
        )
        return words, train, held_out

    def pack() -> Corpora:
        if isinstance(texts, Path):
            unpack_corpus(texts, folder)
            return prepare_corpus(_nothing, _nothing, settings, folder)
        if start:
            words = next(iter(start.values())).tokenizer
            atomic_write(folder / "tokenizer.json", words.to_json().encode())
        elif settings.text.kind != "word" and not (folder / "tokenizer.json").exists():
            run.display.note("learning the subwords: of a large corpus this takes minutes")
        read_text = watched(texts, run.display, "tokenising the corpus", n_chars)
        parts = training_parts(read_text, valid, settings.valid_fraction)
        return prepare_corpus(*parts, settings, folder)

    corpora = ranks.made_by_first("the packed corpus", pack, read, folder / "valid")
    require_enough(*corpora[1:], given=valid is not None)
    return corpora


def _nothing() -> Iterator[str]:
    return iter(())


def _facts_of(
    texts: Texts | Path, start: Mapping[Direction, TrainedLM] | None, run: TrainingRun
) -> CorpusFacts:
    """Counts of the corpus; of a packed one, that it has the words of the model to start from.

    Raises:
        SettingsError: it has others.
    """
    if not isinstance(texts, Path):
        counted = watched(texts, run.display, "counting the corpus")
        return CorpusFacts(**ranks.first("the corpus", lambda: measure_corpus(counted).to_dict()))
    if start and packed_tokenizer(texts).digest != next(iter(start.values())).tokenizer.digest:
        raise SettingsError(
            f"{texts} has a different vocabulary from the language model to start from",
            expected="the same one",
            hint="Pack the corpus again with --start.",
        )
    found: CorpusFacts = read_packed(texts)["corpus"]
    return found


def _origin(start: Mapping[Direction, TrainedLM] | None) -> dict[str, object]:
    """What is known of the language model that this one goes on from."""
    if not start:
        return {}
    info = next(iter(start.values())).info
    names = {"corpus": "started from a model of", "licence": "licence of that model"}
    return {name: info[key] for key, name in names.items() if key in info}


def _identity(
    run: TrainingRun,
    facts: CorpusFacts,
    settings: PretrainSettings,
    directions: Sequence[Direction],
    start: Mapping[Direction, TrainedLM] | None,
    given: Collection[str] | None,
    seconds: float | None,
) -> dict[str, object]:
    """What a run must have in common with the one it resumes; the keys are for people."""
    return {
        "settings": settings.model_dump(),
        "settings by hand": None if given is None else sorted(given),
        "directions": list(directions),
        "text (the corpus has changed)": [facts.documents, facts.words, facts.chars, facts.sha256],
        "weights to start from": {d: checksum(lm.weights) for d, lm in (start or {}).items()},
        "time": seconds,
        "precision": str(run.accelerator.mixed_precision),
    }


def _held_out(valid: Texts | None) -> dict[str, object]:
    """The same of held-out text that is given."""
    if valid is None:
        return {}
    digest = ranks.first("the held-out text", lambda: text_digest(valid()))
    return {"held-out text (it has changed)": digest}


def _with_known(
    settings: PretrainSettings, texts: Texts | Path, start: Mapping[Direction, TrainedLM] | None
) -> PretrainSettings:
    """Settings with what is decided: the vocabulary, and the sizes of a model to start from."""
    first = next(iter((start or {}).values()), None)
    if first is not None:
        sizes = first.config.model_dump(exclude={"vocab_size"})
        settings, tokenizer = settings.model_copy(update=sizes), first.tokenizer
    else:
        assert isinstance(texts, Path)
        tokenizer = packed_tokenizer(texts)
    known = {"kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size}
    return settings.model_copy(update={"text": settings.text.model_copy(update=known)})


def _counts(facts: CorpusFacts) -> dict[str, object]:
    return {
        "documents": facts.documents,
        "words": facts.words,
        "characters": facts.chars,
        "corpus SHA-256": facts.sha256,
    }


def finetune_lms(
    base: Mapping[Direction, TrainedLM],
    texts: Texts,
    settings: FinetuneLMSettings,
    run: TrainingRun,
) -> LMs:
    """Stage 2 for each direction of `base`; the vocabulary and the packed text serve both.

    Args:
        base: pretrained language models of one vocabulary.
        texts: opens the task's text; read several times.
        settings: training.
        run: claimed work folder, device, display, seed.
    """
    tokenizer, train, valid = task_corpus(base, texts, settings, run)
    found: LMs = {}
    for direction, lm in base.items():
        folder = lm_folder(direction, run)
        if not ranks.first("a trained model", folder.is_dir):
            held_out = "" if valid is not None else ", no part held out to measure perplexity"
            run.display.note(
                f"{direction} language model: {train.n_tokens:,} tokens of task text{held_out}"
            )
            context = run.context(direction, "lm")
            tuned = finetune_lm(lm, tokenizer, train, valid, settings, context)
            _keep(tuned, folder.parent)
        found[direction] = TrainedLM.load(folder)
    return found


def lm_folder(direction: Direction, run: TrainingRun) -> Path:
    """Where the fine-tuned language model of a run is once it is trained."""
    return run.work / direction / "lm" / "model"


def save_lms(
    lms: Mapping[Direction, TrainedLM],
    path: Path,
    *,
    store: Store = "float32",
    metrics: Mapping[str, object] | None = None,
) -> None:
    """Write one folder: the first direction at its top, the other one in `backward/`.

    Args:
        lms: by direction, of one vocabulary.
        path: the folder.
        store: how to write the weights.
        metrics: of the whole, to go with the first one's.

    Raises:
        StorageError: nothing is left half-written.
    """
    first, *others = lms.values()
    files = dict(replace(first, metrics={**first.metrics, **(metrics or {})}).files(store=store))
    for other in others:
        inner = other.files(store=store)
        files |= {f"backward/{name}": content for name, content in inner.items()}
    write_folder(path, files, carry=(WORK_FOLDER,))


def require_one_vocabulary(lms: Mapping[Direction, TrainedLM]) -> None:
    """Two directions are of use together only if they number the same words alike.

    Raises:
        InputError: they do not.
    """
    sizes = [f"{lm.config.vocab_size:,} entries ({d})" for d, lm in lms.items()]
    if len({lm.tokenizer.digest for lm in lms.values()}) > 1:
        raise InputError(
            f"the two directions have different vocabularies: {' and '.join(sizes)}",
            expected="one vocabulary",
            hint="Train the second one with --start and the folder of the first.",
        )


def _keep(lm: TrainedLM, place: Path) -> None:
    def write() -> None:
        log = place / "log.jsonl"
        write_folder(place / "model", lm.files(log=log.read_bytes() if log.exists() else b""))
        Checkpoints(place / "checkpoints").clear()

    ranks.first("a model", write, place / "model")


def task_corpus(
    base: Mapping[Direction, TrainedLM],
    texts: Texts,
    settings: FinetuneLMSettings,
    run: TrainingRun,
) -> tuple[Tokenizer, TokenCorpus, TokenCorpus | None]:
    """The fine-tuned LM's vocabulary, and the task's text packed by it; done once in a run.

    Args:
        base: pretrained language models of one vocabulary.
        texts: opens the task's text.
        settings: vocabulary, share to hold out.
        run: claimed work folder.
    """
    folder = run.work / "corpus"
    done = folder / "tokenizer.json"

    def read() -> tuple[Tokenizer, TokenCorpus, TokenCorpus | None]:
        valid = TokenCorpus.open(folder / "valid") if (folder / "valid").is_dir() else None
        tokenizer = Tokenizer.from_json(done.read_text(encoding="utf-8"))
        return tokenizer, TokenCorpus.open(folder / "train"), valid

    def pack() -> tuple[Tokenizer, TokenCorpus, TokenCorpus | None]:
        if done.exists():
            return read()
        run.display.note("reading the task's text")
        pretrained = next(iter(base.values())).tokenizer
        read_text = watched(texts, run.display, "reading the task's text")
        tokenizer = task_tokenizer(pretrained, read_text, settings)
        train, valid = pack_task_corpus(read_text, tokenizer, settings.valid_fraction, folder)
        warn_of_unknown_words(train, tokenizer, pretrained.vocab)
        atomic_write(done, tokenizer.to_json().encode())
        return tokenizer, train, valid

    return ranks.made_by_first("the task's text", pack, read, done)
