"""The verb that takes language models over: others' weights, and folders of ours put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ulmfit.cli.app import app
from ulmfit.cli.failures import print_warning
from ulmfit.cli.help import Verb, example_command, examples
from ulmfit.cli.lm_library_verbs import PANEL
from ulmfit.cli.options import DATA, Debug, Info, Json, Out, Store, parse_info
from ulmfit.cli.printing import print_json
from ulmfit.errors import InputError

if TYPE_CHECKING:
    from ulmfit.config import Direction
    from ulmfit.stages.lm_folder import TrainedLM

WEIGHTS = (".pth", ".pt", ".h5", ".bin", ".safetensors")
VOCABULARIES = (".pkl", ".pickle", ".json", ".txt")

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Weights saved by torch.save (.pth), a folder with them and the vocabulary, or one of "
        "ulmfit's language models: a folder, or a name listed by `ulmfit lms`.",
    ),
]
Vocabulary = Annotated[
    Path | None,
    typer.Option(
        "--vocab",
        metavar="FILE",
        help="Vocabulary, the words in order of id: a pickled list (.pkl), JSON or lines.  "
        "[default: the one next to the weights]",
        rich_help_panel=DATA,
    ),
]
BackwardWeights = Annotated[
    str | None,
    typer.Option(
        "--backward",
        metavar="SOURCE",
        help="The backward model with the same vocabulary, in any form that SOURCE can have.",
        rich_help_panel=DATA,
    ),
]
OneDirection = Annotated[
    Literal["forward", "backward"] | None,
    typer.Option(
        "--direction",
        metavar="NAME",
        help="Direction of SOURCE: forward or backward.  [default: forward, or that of ulmfit's "
        "model]",
        rich_help_panel=DATA,
    ),
]


@app.command(
    "import-lm",
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Import a language model from fastai or awd-lstm-lm.",
    epilog=examples(
        "ulmfit import-lm wt103-fwd/ --out wt103",
        "ulmfit import-lm fwd.pth --vocab itos.pkl --backward bwd.pth --out german",
        "ulmfit import-lm wt103-fwd/ --info licence='CC BY-SA 4.0' --out wt103",
        "ulmfit import-lm there/ --backward back/ --store 8bit --out both",
    ),
)
def import_lm_verb(
    source: Source,
    out: Out,
    vocab: Vocabulary = None,
    backward: BackwardWeights = None,
    direction: OneDirection = None,
    info: Info = None,
    store: Store = "float32",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Import a language model that fastai 1, fastai 2 or awd-lstm-lm saved, for use with --lm.

    The files are parsed as data: pickles are not executed, and anything but tensors, numbers, text,
    lists and dictionaries is refused. SOURCE can also be a folder made by `pretrain`: to join two
    directions that were trained separately, or to store them in less space. Model cards are written
    anew, without edits made by hand.
    """
    from ulmfit.artifacts import CONFIG, check_target

    check_target(out)
    given = [source] if backward is None else [source, backward]
    _check_given(given, vocab, out)
    from ulmfit.apps.language_models import require_one_vocabulary, save_lms

    facts = parse_info(info)
    found = _taken_over(source, vocab, direction, facts, store)
    if backward is not None:
        if "backward" in found:
            raise InputError(
                f"{source} has a backward direction already",
                expected="one of each: a forward SOURCE, or no --backward",
            )
        words = vocab
        if words is None and not (_is_ours(source) or _is_ours(backward)):
            words = _vocabulary_of(Path(source))
        found |= _taken_over(backward, words, "backward", facts, store)
        require_one_vocabulary(found)
    if (out / CONFIG).exists():
        print_warning(f"the model in {out} is replaced")
    save_lms(found, out, store=store)
    config = next(iter(found.values())).config
    if as_json:
        print_json({"model": str(out), "directions": list(found), "lm": config.model_dump()})
        return
    both = [] if len(found) == 2 else ["--direction", next(iter(found))]
    entries = "words" if next(iter(found.values())).tokenizer.kind == "word" else "subwords"
    typer.echo(
        f"Language model: {out} ({' and '.join(found)}, {config.vocab_size:,} {entries}, "
        f"{config.emb_size} / {config.hidden_size} x {config.n_layers})\n\nNext:\n"
        f"  {example_command('evaluate-lm', str(out), 'TEXT')}\n"
        f"  {example_command('train', 'DATA', '--lm', str(out), *both)}"
    )


def _check_given(given: Sequence[str], vocab: Path | None, out: Path) -> None:
    """All is there, the vocabulary is of use, and nothing that is read is written over.

    Raises:
        InputError: a file is missing, or the vocabulary of no use.
        SettingsError: `out` is read.
    """
    from ulmfit.data.sources import require_exists
    from ulmfit.storage import refuse_overwriting

    paths = [Path(name) for name in given if not _is_shipped(name)]
    paths += [] if vocab is None else [vocab]
    for path in paths:
        require_exists(path)
    refuse_overwriting(out, paths)
    if vocab is not None and all(map(_is_ours, given)):
        raise InputError(
            f"--vocab {vocab}: a model of ulmfit has its own vocabulary", expected="no --vocab"
        )


def _taken_over(
    source: str,
    vocab: Path | None,
    direction: Direction | None,
    facts: dict[str, str],
    store: str,
) -> dict[Direction, TrainedLM]:
    """The language model in others' files, or the one or two in a folder of ours.

    Scores that were recorded for finer weights than are to be written stay behind.

    Raises:
        InputError: broken files.
        ModelFolderError: a broken folder, or one without the direction asked for.
    """
    if not _is_ours(source):
        from ulmfit.stages.import_lm import import_lm

        path = Path(source)
        weights = _only(path, WEIGHTS) if path.is_dir() else path
        words = vocab if vocab is not None else _vocabulary_of(path)
        to = direction or "forward"
        return {to: import_lm(weights, words, direction=to, info=facts)}
    from ulmfit.apps.lm_records import SCORES
    from ulmfit.apps.pretrained import resolve_lms

    found = {}
    for there, lm in resolve_lms(source, [direction] if direction else None).items():
        metrics = {k: v for k, v in lm.metrics.items() if k != SCORES or store == "float32"}
        found[there] = replace(lm, info={**lm.info, **facts}, metrics=metrics)
    return found


def _is_shipped(source: str) -> bool:
    from ulmfit.apps.pretrained import shipped_lms

    return source in shipped_lms()


def _is_ours(source: str) -> bool:
    """A name, or a folder as `pretrain` writes it: a `config.json` alone is in others' too."""
    from ulmfit.artifacts import CONFIG, TOKENIZER
    from ulmfit.artifacts import WEIGHTS as OUR_WEIGHTS

    folder = Path(source)
    ours = all((folder / name).is_file() for name in (CONFIG, TOKENIZER, OUR_WEIGHTS))
    return ours or _is_shipped(source)


def _vocabulary_of(source: Path) -> Path:
    return _only(source if source.is_dir() else source.parent, VOCABULARIES)


def _only(folder: Path, endings: Sequence[str]) -> Path:
    """The one file in a folder with one of these endings.

    Raises:
        InputError: there is none, or several.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)
    if len(found) != 1:
        names = ", ".join(path.name for path in found[:4]) or "none"
        raise InputError(
            f"{folder}: has {len(found)} files that end in {' or '.join(endings)} ({names})",
            expected="one",
            hint="Name the weights themselves, and the vocabulary with --vocab.",
        )
    return found[0]
