"""From labelled text to a classifier: LM fine-tuning, classifier fine-tuning, both directions.

Every stage writes what it made below the work folder, so that a stopped run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from ulmfit import ranks
from ulmfit.apps.direction import DirectionWork, LabelledIds, hand_over, train_direction
from ulmfit.apps.language_models import task_corpus
from ulmfit.apps.predictor import Predictor
from ulmfit.apps.run import Texts, TrainingRun
from ulmfit.apps.self_training import require_unlabeled, second_round
from ulmfit.apps.side_by_side import beside, half_of_the_threads, worth_it
from ulmfit.config import Direction
from ulmfit.data.datasets import Dataset, rows_with_text, text_digest, training_rows
from ulmfit.data.splits import split_texts
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError
from ulmfit.settings import NGramSettings, SelfTrainingSettings, Settings
from ulmfit.stages.calibration import calibrate
from ulmfit.stages.ensemble import Scores
from ulmfit.stages.finetune_classifier import check_settings, one_hot
from ulmfit.stages.fit_ngrams import DEFAULT_SHARE, choose_share, fit_ngrams
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.lm_training import RunContext
from ulmfit.stages.model_card import ANSWERED
from ulmfit.stages.ngrams import NGrams, blend
from ulmfit.stages.rates import group_rates
from ulmfit.train.checkpoint import checksum

# With fewer held-out documents their error chooses epochs by chance: train on all instead.
MIN_VALID_ROWS = 40


def train_classifier(
    dataset: Dataset,
    lms: Mapping[Direction, TrainedLM],
    settings: Settings,
    run: TrainingRun,
    *,
    unlabeled: Texts | None = None,
    valid: Dataset | None = None,
) -> Predictor:
    """The whole of stages 2 and 3, for every direction there is a language model of.

    Where several processes train together, only the first one returns; the others exit.

    Args:
        dataset: labelled documents.
        lms: pretrained language models, sharing one vocabulary.
        settings: of both stages.
        run: folder, device, display, seed.
        unlabeled: opens more text of the task for LM fine-tuning; read several times.
        valid: held-out documents that choose the epoch; else a part of `dataset` where that is
            large enough.

    Raises:
        InputError: data that cannot be trained on.
        SettingsError: the run to resume was of other data or settings.
        Interrupted: the user stopped the run.
    """
    dataset = training_rows(dataset)
    labels = dataset.classes
    _check(settings)
    if settings.self_training is not None:
        require_unlabeled(dataset, valid, unlabeled)
    train_part, valid_part = _split(dataset, valid, settings, run.seed)

    def task_texts() -> Iterator[str]:
        yield from chain(dataset.texts, unlabeled() if unlabeled is not None else ())

    read = settings.finetune_lm is not None or settings.self_training is not None
    texts = task_texts if read else None
    run.claim(_identity([train_part, valid_part], texts, lms, settings))
    tokenizer = next(iter(lms.values())).tokenizer
    lm_tokens = 0
    if settings.finetune_lm is not None:
        tokenizer, corpus, _ = task_corpus(lms, task_texts, settings.finetune_lm, run)
        lm_tokens = corpus.n_tokens * settings.finetune_lm.epochs
    train_data = _encoded(train_part, tokenizer, labels)
    valid_data = _encoded(valid_part, tokenizer, labels) if valid_part is not None else None
    works = [
        DirectionWork(direction, lm, train_data, valid_data, labels, dataset.multi_label, settings)
        for direction, lm in lms.items()
    ]
    predictor, second = _trained(works, run, task_texts, lm_tokens), None
    if settings.self_training is not None and unlabeled is not None:
        known = {text for part in (train_part, valid_part) if part for text in part.texts}
        second = _once_more(predictor, works, unlabeled, known, settings.self_training, run)
    ranks.first_goes_on()
    if second is not None:
        predictor = _better(predictor, second, valid_part, run)
    return _completed(predictor, train_data, valid_part, valid_data, settings.ngrams, run)


def train_on_tuned(
    lms: Mapping[Direction, TrainedLM],
    train: Dataset,
    valid: Dataset | None,
    unlabeled: Texts,
    settings: Settings,
    context: RunContext,
) -> Predictor:
    """`train_classifier` as a single stage, on language models that are tuned already.

    Args:
        lms: tuned language models, sharing one vocabulary.
        train: labelled documents.
        valid: held-out documents, None for none but what `train_classifier` itself holds out.
        unlabeled: opens more text of the task.
        settings: with `finetune_lm` left out.
        context: device, folder, display, seed.
    """
    run = TrainingRun.within(context)
    return train_classifier(train, lms, settings, run, unlabeled=unlabeled, valid=valid)


def _check(settings: Settings) -> None:
    """Find out before hours of training what later stages would refuse."""
    check_settings(settings.classifier)
    if settings.finetune_lm is not None:
        group_rates(settings.finetune_lm.rates, 2)


def _trained(
    works: Sequence[DirectionWork], run: TrainingRun, texts: Texts, lm_tokens: int = 0
) -> Predictor:
    """All directions, trained side by side where that is worth it.

    Args:
        works: one for each direction.
        run: folder, device, display, seed.
        texts: opens the task's text.
        lm_tokens: how much is read in LM fine-tuning.
    """
    n_tokens = lm_tokens + sum(map(len, works[0].train[0])) * works[0].settings.classifier.epochs
    done = ranks.first("trained models", lambda: [w.model_folder(run).is_dir() for w in works])
    todo = [work for work, there in zip(works, done, strict=True) if not there]
    halves = worth_it(run, len(works), n_tokens)
    if halves and len(todo) == 1:
        with half_of_the_threads(the_child_s=todo[0] is works[1]):
            train_direction(todo[0], run, texts)
    elif halves and todo:
        here, there = todo
        what = f"{there.direction} direction"
        run.display.note(f"the {what} is trained at the same time, in another process")
        with beside(run, hand_over(there, run), "ulmfit.apps.direction", what) as half:
            train_direction(here, half, texts)
    else:
        for work in todo:
            train_direction(work, run, texts)
    trained = [train_direction(work, run, texts) for work in works]
    on_cpu = run.accelerator.device.type == "cpu"
    return Predictor(trained, device="cpu" if on_cpu else "auto")


def _once_more(
    first: Predictor,
    works: Sequence[DirectionWork],
    unlabeled: Texts,
    known: Collection[str],
    settings: SelfTrainingSettings,
    run: TrainingRun,
) -> Predictor:
    """The classifier of the second round, see `self_training.second_round`."""
    again, own = second_round(first, works, unlabeled, known, settings, run)
    second = _trained(again, own, unlabeled)
    second.metrics[ANSWERED] = len(again[0].train[0]) - len(works[0].train[0])
    return second


def _better(
    first: Predictor, second: Predictor, valid: Dataset | None, run: TrainingRun
) -> Predictor:
    """The second round's classifier, unless it makes more errors on the held-out documents."""
    if valid is None:
        return second
    errors = [_share_wrong(each, valid) for each in (first, second)]
    kept = "the second is kept" if errors[1] <= errors[0] else "the first is kept"
    run.display.note(
        f"self-training: held-out error {errors[0]:.1%} in the first round, {errors[1]:.1%} in the "
        f"second; {kept}"
    )
    return second if errors[1] <= errors[0] else first


def _share_wrong(predictor: Predictor, rows: Dataset) -> float:
    found = predictor.decide(predictor.predict_proba(rows.texts))
    return sum(a != b for a, b in zip(found, rows.labels or (), strict=True)) / len(rows)


def _completed(
    predictor: Predictor,
    train_data: LabelledIds,
    valid: Dataset | None,
    valid_data: LabelledIds | None,
    settings: NGramSettings | None,
    run: TrainingRun,
) -> Predictor:
    """With the member that counts words, and the answers of all members calibrated together."""
    scores = predictor.scores(valid.texts) if valid is not None else None
    if settings is not None:
        member = _counting(predictor, train_data, scores, valid_data, settings, run)
        if member is not None:
            predictor = predictor.with_ngrams(member)
            if scores is not None and valid_data is not None:
                scores = blend(scores, member, valid_data[0], multi_label=predictor.multi_label)
    if scores is None or valid_data is None:
        return predictor
    # The same documents chose the epoch, which makes a model look better there than it is, but
    # with a number or two to fit hardly surer. Where none are held out the temperature stays 1:
    # folds would need as many more trainings, and heads on an encoder that has seen all labels
    # would not tell.
    record = calibrate(scores, valid_data[1], multi_label=predictor.multi_label)
    return predictor.with_calibration(record)


def _counting(
    predictor: Predictor,
    train: LabelledIds,
    scores: Scores | None,
    valid: LabelledIds | None,
    settings: NGramSettings,
    run: TrainingRun,
) -> NGrams | None:
    """The member that counts words; None if held-out documents want none of it.

    Args:
        predictor: the classifier without it.
        train: documents to fit it on.
        scores: of the classifier on the held-out documents.
        valid: the held-out documents.
        settings: its share.
        run: seed and display.
    """
    several = predictor.multi_label
    member = fit_ngrams(*train, multi_label=several, seed=run.seed)
    share = settings.share
    if share is None and scores is not None and valid is not None:
        share = choose_share(scores, member, *valid, multi_label=several)
    share = DEFAULT_SHARE if share is None else share
    what = f"bag of words: {len(member.keys):,} words and word pairs, with a weight of {share:g}"
    run.display.note(what if share else "the bag of words adds nothing on held-out rows: left out")
    return replace(member, share=share) if share else None


def _split(
    dataset: Dataset, valid: Dataset | None, settings: Settings, seed: int
) -> tuple[Dataset, Dataset | None]:
    if valid is not None:
        unknown = sorted(set(valid.classes) - set(dataset.classes))
        if unknown:
            raise InputError(
                f"{valid.name}: label {unknown[0]!r} does not occur in {dataset.name}",
                expected=f"one of {', '.join(dataset.classes)}",
            )
        return dataset, rows_with_text(valid)
    fraction = settings.classifier.valid_fraction
    if len(set(dataset.texts)) * fraction < MIN_VALID_ROWS:
        return dataset, None
    assert dataset.labels is not None
    train_rows, valid_rows = split_texts(dataset.texts, dataset.labels, fraction, seed)
    return dataset.subset(train_rows), dataset.subset(valid_rows)


def _encoded(dataset: Dataset, tokenizer: Tokenizer, labels: list[str]) -> LabelledIds:
    assert dataset.labels is not None
    return tokenizer.encode_batch(dataset.texts), one_hot(dataset.labels, labels)


def _identity(
    parts: Sequence[Dataset | None],
    task_texts: Texts | None,
    lms: Mapping[Direction, TrainedLM],
    settings: Settings,
) -> dict[str, object]:
    """What a run must have in common with the one it resumes."""
    return {
        "data": [text_digest(map(repr, _rows(part))) for part in parts if part is not None],
        "task text": text_digest(task_texts()) if task_texts is not None else None,
        "settings": settings.model_dump(exclude={"pretrain"}),
        "settings kept at their defaults": [
            name for name in settings.kept_defaults if not name.startswith("pretrain.")
        ],
        "directions": sorted(lms),
        "language model": [checksum(lms[direction].weights) for direction in sorted(lms)],
        "vocabulary": next(iter(lms.values())).tokenizer.digest,
    }


def _rows(dataset: Dataset) -> Iterator[tuple[str, str | tuple[str, ...]]]:
    return zip(dataset.texts, dataset.labels or (), strict=True)
