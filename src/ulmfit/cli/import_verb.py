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
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="Weights that torch.save wrote (.pth), the folder with them and the vocabulary, or a "
        "language model's folder that ulmfit wrote.",
    ),
]
Vocabulary = Annotated[
    Path | None,
    typer.Option(
        "--vocab",
        metavar="FILE",
        help="Words by id: a pickled list (.pkl), JSON or lines.  [default: the one beside the "
        "weights]",
        rich_help_panel=DATA,
    ),
]
BackwardWeights = Annotated[
    Path | None,
    typer.Option(
        "--backward",
        metavar="FILE",
        help="The backward model of the same vocabulary: weights, or a folder that ulmfit wrote.",
        rich_help_panel=DATA,
    ),
]
OneDirection = Annotated[
    Literal["forward", "backward"],
    typer.Option(
        "--direction",
        metavar="NAME",
        help="Reading order of SOURCE: forward or backward.",
        rich_help_panel=DATA,
    ),
]


@app.command(
    "import-lm",
    cls=Verb,
    rich_help_panel=PANEL,
    short_help="Take over weights of fastai 1, 2 or awd-lstm-lm.",
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
    direction: OneDirection = "forward",
    info: Info = None,
    store: Store = "float32",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a language model for --lm of weights that fastai or awd-lstm-lm saved.

    The files are read as data: pickles are not run, and what is no tensor, number, text, list or
    dictionary is refused. Folders that `pretrain` wrote are taken too: to put two directions that
    were trained apart into one folder, or to store them in less space.
    """
    from ulmfit.artifacts import CONFIG, check_target
    from ulmfit.data.sources import require_exists

    check_target(out)
    for path in (source, vocab, backward):
        if path is not None:
            require_exists(path)
    if backward is not None and direction == "backward":
        raise InputError("both SOURCE and --backward are backward", expected="one of each")
    if (out / CONFIG).exists():
        print_warning(f"the model in {out} is replaced")
    from ulmfit.apps.language_models import require_one_vocabulary, save_lms

    facts = parse_info(info)
    found = _taken_over(source, vocab, direction, facts)
    if backward is not None:
        words = vocab if vocab is not None or _is_ours(source) else _vocabulary_of(source)
        found |= _taken_over(backward, words, "backward", facts)
        require_one_vocabulary(found)
    save_lms(found, out, store=store)
    config = next(iter(found.values())).config
    if as_json:
        print_json({"model": str(out), "directions": list(found), "lm": config.model_dump()})
        return
    both = [] if len(found) == 2 else ["--direction", next(iter(found))]
    typer.echo(
        f"Language model: {out} ({' and '.join(found)}, {config.vocab_size:,} "
        f"{'words' if next(iter(found.values())).tokenizer.kind == 'word' else 'subwords'}, "
        f"{config.emb_size} / {config.hidden_size} x {config.n_layers})\n\nNext:\n"
        f"  {example_command('evaluate-lm', str(out), 'TEXT')}\n"
        f"  {example_command('train', 'DATA', '--lm', str(out), *both)}"
    )


def _taken_over(
    source: Path, vocab: Path | None, direction: Direction, facts: dict[str, str]
) -> dict[Direction, TrainedLM]:
    """The language model in others' files, or the one or two in a folder of ours.

    Raises:
        InputError: a vocabulary beside a folder of ours, which has its own; broken files.
        ModelFolderError: a broken folder, or one without the backward direction asked for.
    """
    if not _is_ours(source):
        from ulmfit.stages.import_lm import import_lm

        weights = _only(source, WEIGHTS) if source.is_dir() else source
        words = vocab if vocab is not None else _vocabulary_of(source)
        return {direction: import_lm(weights, words, direction=direction, info=facts)}
    if vocab is not None:
        raise InputError(
            f"--vocab {vocab}: {source} has its own vocabulary", expected="no --vocab with it"
        )
    from ulmfit.apps.pretrained import resolve_lms

    lms = resolve_lms(source, ["backward"] if direction == "backward" else None)
    return {d: replace(lm, info={**lm.info, **facts}) for d, lm in lms.items()}


def _is_ours(source: Path) -> bool:
    from ulmfit.artifacts import CONFIG

    return (source / CONFIG).is_file()


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
