"""Language models for both directions: `pretrain` and `finetune-lm` from text to folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ulmfit.apps.run import Texts, TrainingRun
from ulmfit.artifacts import write_folder
from ulmfit.config import Direction
from ulmfit.data.corpus import TokenCorpus
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError
from ulmfit.settings import FinetuneLMSettings, PretrainSettings
from ulmfit.stages.finetune_lm import finetune_lm, is_held_out, pack_task_corpus, task_tokenizer
from ulmfit.stages.lm_folder import WORK_FOLDER, TrainedLM
from ulmfit.stages.pretrain import prepare_corpus, pretrain
from ulmfit.storage import atomic_write
from ulmfit.train.checkpoint import Checkpoints

LMs = dict[Direction, TrainedLM]

# Less text than this teaches nothing and leaves no window to validate on.
MIN_TOKENS = 200


def pretrain_lms(
    texts: Texts,
    settings: PretrainSettings,
    directions: Sequence[Direction],
    run: TrainingRun,
    *,
    valid: Texts | None = None,
    start: Mapping[Direction, TrainedLM] | None = None,
    info: Mapping[str, object] | None = None,
) -> LMs:
    """Stage 1 for each direction.

    Args:
        texts: opens the corpus; read several times.
        settings: vocabulary, sizes, training.
        directions: which to train, one after another.
        run: work folder, device, display, seed.
        valid: held-out text, else the share `settings.valid_fraction` of the documents.
        start: language models whose weights to start from.
        info: what to say of the corpus in the folders.

    Raises:
        InputError: too little text.
    """
    run.claim({"settings": settings.model_dump(), "directions": list(directions)})
    run.display.note("reading the corpus")
    train_texts, valid_texts = _parts(texts, valid, settings.valid_fraction)
    tokenizer, train, held_out = prepare_corpus(
        train_texts, valid_texts, settings, run.work / "corpus"
    )
    if min(train.n_tokens, held_out.n_tokens) < MIN_TOKENS:
        raise InputError(
            f"{train.n_tokens} tokens to train on and {held_out.n_tokens} held out",
            expected=f"at least {MIN_TOKENS} of each",
            hint="Give more text.",
        )
    found: LMs = {}
    for direction in directions:
        place = run.work / direction
        if not (place / "model").is_dir():
            run.display.note(f"{direction} language model: {train.n_tokens:,} tokens")
            lm = pretrain(
                tokenizer,
                train,
                held_out,
                settings,
                run.context(direction),
                direction=direction,
                info=dict(info or {}),
                start=(start or {}).get(direction),
            )
            _keep(lm, place)
        found[direction] = TrainedLM.load(place / "model")
    return found


def _parts(texts: Texts, valid: Texts | None, fraction: float) -> tuple[Texts, Texts]:
    """Training and held-out text: what is given, or a share of the documents."""
    if valid is not None:
        return texts, valid

    def train_texts() -> Iterator[str]:
        return (text for text in texts() if not is_held_out(text, fraction))

    def valid_texts() -> Iterator[str]:
        return (text for text in texts() if is_held_out(text, fraction))

    return train_texts, valid_texts


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
        place = run.work / direction / "lm"
        if not (place / "model").is_dir():
            run.display.note(f"{direction} language model: {train.n_tokens:,} tokens of task text")
            context = run.context(direction, "lm")
            _keep(finetune_lm(lm, tokenizer, train, valid, settings, context), place)
        found[direction] = TrainedLM.load(place / "model")
    return found


def save_lms(lms: Mapping[Direction, TrainedLM], path: Path, *, eight_bit: bool = False) -> None:
    """Write one folder: the first direction at its top, the other one in `backward/`.

    Raises:
        StorageError: nothing is left half-written.
    """
    first, *others = lms.values()
    files = dict(first.files(eight_bit=eight_bit))
    for other in others:
        inner = other.files(eight_bit=eight_bit)
        files |= {f"backward/{name}": content for name, content in inner.items()}
    write_folder(path, files, carry=(WORK_FOLDER,))


def _keep(lm: TrainedLM, place: Path) -> None:
    log = place / "log.jsonl"
    write_folder(place / "model", lm.files(log=log.read_bytes() if log.exists() else b""))
    Checkpoints(place / "checkpoints").clear()


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
    if done.exists():
        valid = TokenCorpus.open(folder / "valid") if (folder / "valid").is_dir() else None
        tokenizer = Tokenizer.from_json(done.read_text(encoding="utf-8"))
        return tokenizer, TokenCorpus.open(folder / "train"), valid
    run.display.note("reading the task's text")
    tokenizer = task_tokenizer(next(iter(base.values())).tokenizer, texts, settings)
    train, valid = pack_task_corpus(texts, tokenizer, settings.valid_fraction, folder)
    atomic_write(done, tokenizer.to_json().encode())
    return tokenizer, train, valid
