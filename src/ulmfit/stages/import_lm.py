"""Language models of others: weights of fastai 1 and 2, the released code and awd-lstm-lm.

They keep the same numbers under other names, and the vocabulary in a file of its own with the
special tokens called and ordered otherwise. Nothing in the files is run (`data/pickled.py`).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from ulmfit.config import Direction, LMConfig
from ulmfit.data.pickled import Inert, inert, read_pickle
from ulmfit.data.rules import SPACE, SPECIALS
from ulmfit.data.sources import read_text, require_exists
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import InputError
from ulmfit.model.vocab_transfer import transfer_vocabulary
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.stages.torch_file import StoredTensor, read_torch_file

MAX_VOCABULARY_BYTES: Final = 1 << 28

# What others call the special tokens: fastai 0.7 (the released code), and awd-lstm-lm.
_SPECIAL_NAMES: Final = {
    "_unk_": "xxunk", "<unk>": "xxunk", "_pad_": "xxpad", "<pad>": "xxpad",
    "xbos": "xxbos", "<bos>": "xxbos", "<eos>": "xxeos", "_eos_": "xxeos",
    "xfld": "xxfld", "t_up": "xxup", "tk_up": "xxup", "tk_rep": "xxrep", "tk_wrep": "xxwrep",
}  # fmt: skip

_VOCABULARY_NAMES: Final = {
    "fastai.text.transform.Vocab": inert("Vocab"),
    "fastcore.foundation.L": inert("L"),
}

_EMBEDDING, _BIAS = "encoder.embedding.weight", "decoder_bias"
# Copies of the embedding matrix, and what fastai's modules have beside it.
_SECOND_NAMES: Final = {
    *("encoder_dp.emb.weight", "encoder_with_dropout.embed.weight", "decoder.weight"),
}
_MOST_COPIES: Final = 8  # names of the same data; fastai's embedding has three
_RNN = re.compile(r"rnns\.(\d+)\.(?:module\.)?(weight_ih|weight_hh|bias_ih|bias_hh)_l0(_raw)?")


def import_lm(
    weights: Path,
    vocabulary: Path,
    *,
    direction: Direction = "forward",
    info: Mapping[str, Any] | None = None,
) -> TrainedLM:
    """A language model from the files of fastai 1 or 2, of the released code or of awd-lstm-lm.

    Its scores are theirs: the words only change places. Words stay as the others' tokenizer cut
    them, and ours cuts a little otherwise (`data/rules.py`), so that a few are never met.

    Args:
        weights: `.pth`, `.h5` or `.pt` of `torch.save`, holding a state dict (also under "model",
            as `Learner.save` has it), or `.safetensors`.
        vocabulary: the words by id: a pickled list (`itos.pkl`), JSON, or text with a word a line.
        direction: reading order that the weights were trained for.
        info: what to say of the corpus in the folder: corpus, licence.

    Raises:
        InputError: a file is missing or broken, would run code, or is not of such a model.
    """
    words = read_vocabulary(vocabulary)
    tensors = _renamed(_read_weights(weights), str(weights))
    config = _config_of(tensors, str(weights))
    _require_finite(tensors, str(weights))
    if config.vocab_size != len(words):
        raise InputError(
            f"{vocabulary}: has {len(words):,} words",
            expected=f"{config.vocab_size:,}, as {weights} has rows",
            hint="Give the vocabulary that was saved with these weights.",
        )
    tokenizer = Tokenizer.from_words(_special_first(words))
    moved = transfer_vocabulary(tensors, words, tokenizer.vocab)
    config = LMConfig(**{**config.model_dump(), "vocab_size": tokenizer.vocab_size})
    facts = {"imported from": weights.name, **(info or {})}
    return TrainedLM(config, direction, tokenizer, moved, facts)


def read_vocabulary(path: Path) -> list[str]:
    """Words by id, the special tokens under our names; a name that comes again gets a number.

    Raises:
        InputError: no list of words, or one of subwords, whose pieces our tokenizer does not make.
    """
    size = require_exists(path).stat().st_size
    if size > MAX_VOCABULARY_BYTES:
        raise InputError(f"{path}: has {size:,} bytes", expected="a list of words")
    match path.suffix.lower():
        case ".json":
            found = _from_json(path)
        case ".txt":
            # Not splitlines: a word may be a character that it parts lines by, such as U+0085.
            whole = read_text(path).removesuffix("\n")
            found = [line.removesuffix("\r") for line in whole.split("\n")] if whole else []
        case _:
            found = _plain(
                read_pickle(io.BytesIO(path.read_bytes()), str(path), names=_VOCABULARY_NAMES)
            )
    if not isinstance(found, list) or not found or not all(isinstance(word, str) for word in found):
        raise InputError(
            f"{path}: is not a list of words",
            expected="the vocabulary as a pickled list (.pkl), JSON list (.json) or lines (.txt)",
        )
    if sum(word.startswith(SPACE) for word in found) > len(found) // 10:
        raise InputError(
            f"{path}: is a vocabulary of subwords",
            expected="words",
            hint="Pieces of SentencePiece cannot be made by our tokenizer; pretrain instead.",
        )
    words: list[str] = found
    if sum(map(len, words)) > MAX_VOCABULARY_BYTES:
        raise InputError(f"{path}: has too much text", expected="a list of words")
    broken = next((n for n, word in enumerate(words) if not _is_text(word)), None)
    if broken is not None:
        raise InputError(
            f"{path}: entry {broken} is not text ({words[broken]!a})", expected="words in Unicode"
        )
    return _all_different([_SPECIAL_NAMES.get(word, word) for word in words])


def _from_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})", expected="a list of words") from error


def _plain(value: Any) -> Any:
    """The list in fastai's containers, and in a dictionary from word to id."""
    if isinstance(value, Inert) and isinstance(value.state, dict):
        value = value.state.get("itos", value.state.get("items"))
    if isinstance(value, dict):
        ids = [number for number in value.values() if type(number) is int]
        if sorted(ids) == list(range(len(value))):
            value = sorted(value, key=lambda word: int(value[word]))
    return value


def _all_different(words: Sequence[str]) -> list[str]:
    """fastai fills its vocabulary up with `xxfake`; no text gives a word with a space in it."""
    originals, numbers = set(words), dict.fromkeys(words, 1)
    different: dict[str, None] = {}
    for word in words:
        name = word
        while name in different or (name != word and name in originals):
            numbers[word] += 1
            name = f"{word} {numbers[word]}"
        different[name] = None
    return list(different)


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _special_first(words: Sequence[str]) -> list[str]:
    """The order that our tokenizer wants; special tokens that are missing get the mean row."""
    return [*SPECIALS, *(word for word in words if word not in SPECIALS)]


def _read_weights(path: Path) -> dict[str, Tensor]:
    if require_exists(path).suffix == ".safetensors":
        try:
            return load_file(path)
        except Exception as error:  # what the library raises depends on where the file is wrong
            raise InputError(f"{path}: cannot be read ({error})", expected="safetensors") from error
    file = read_torch_file(path)
    value = file.value
    if isinstance(value, dict) and isinstance(value.get("model"), dict):
        value = value["model"]
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no state dict", expected="weights by name")
    found = {str(k): stored for k, stored in value.items() if isinstance(stored, StoredTensor)}
    wanted, there = sum(stored.n_bytes for stored in found.values()), path.stat().st_size
    if wanted > _MOST_COPIES * there:
        raise InputError(
            f"{path}: has tensors of {wanted:,} bytes in {there:,}",
            expected="each weight once, or under a few names",
        )
    return {name: file.tensor(stored) for name, stored in found.items()}


def _renamed(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Weights under our names, float32; of the hidden weights those before DropConnect (`_raw`).

    Raises:
        InputError: names of something else than such a language model, or an untied softmax.
    """
    found: dict[str, Tensor] = {}
    strange = []
    for full_name, value in tensors.items():
        name = full_name.removeprefix("module.").removeprefix("0.").removeprefix("1.")
        if name in _SECOND_NAMES:
            continue
        if part := _RNN.fullmatch(name):
            ours = f"encoder.rnns.{part[1]}.{part[2]}_l0"
            if part[3] or ours not in found:
                found[ours] = value.float()
        elif name in ("encoder.weight", "decoder.bias"):
            found[_EMBEDDING if name == "encoder.weight" else _BIAS] = value.float()
        else:
            strange.append(full_name)
    if strange or _EMBEDDING not in found:
        named = ", ".join(strange[:3]) or "no encoder.weight"
        raise InputError(
            f"{source}: is of another kind of model ({named})",
            expected="an AWD-LSTM language model: encoder.weight, rnns.0..., decoder.bias",
        )
    shape = tuple(found[_EMBEDDING].shape)
    if len(shape) != 2 or not all(shape):
        raise InputError(
            f"{source}: the embedding has the shape {shape}", expected="a row for each word"
        )
    _require_tied(tensors, found[_EMBEDDING], source)
    if _BIAS not in found:  # `save_encoder` leaves the softmax out
        found[_BIAS] = torch.zeros(found[_EMBEDDING].size(0))
    return found


def _require_tied(tensors: Mapping[str, Tensor], embedding: Tensor, source: str) -> None:
    for name, value in tensors.items():
        if name.endswith("decoder.weight") and not torch.equal(value.float(), embedding):
            raise InputError(
                f"{source}: '{name}' is not the embedding",
                expected="a softmax tied to the embedding (tie_weights=True)",
            )


def _require_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise InputError(
                f"{source}: weights '{name}' have values that are not finite (NaN or infinite)",
                expected="finite numbers",
                hint="The training that made them went wrong, or the file is damaged.",
            )


def _config_of(tensors: Mapping[str, Tensor], source: str) -> LMConfig:
    """Sizes, from the shapes, each of which is checked."""
    vocab_size, emb_size = tensors[_EMBEDDING].shape
    n_layers = sum(name.endswith("weight_hh_l0") for name in tensors)
    first = tensors.get("encoder.rnns.0.weight_hh_l0")
    hidden = first.size(1) if first is not None and first.dim() == 2 and n_layers > 1 else emb_size
    config = LMConfig(
        vocab_size=vocab_size, emb_size=emb_size, hidden_size=hidden, n_layers=max(1, n_layers)
    )
    shapes: dict[str, tuple[int, ...]] = {_EMBEDDING: (vocab_size, emb_size), _BIAS: (vocab_size,)}
    for i, (n_in, n_out) in enumerate(config.layer_sizes()):
        shapes |= {
            f"encoder.rnns.{i}.weight_ih_l0": (4 * n_out, n_in),
            f"encoder.rnns.{i}.weight_hh_l0": (4 * n_out, n_out),
            f"encoder.rnns.{i}.bias_ih_l0": (4 * n_out,),
            f"encoder.rnns.{i}.bias_hh_l0": (4 * n_out,),
        }
    for name in {**shapes, **tensors}:
        has = tuple(tensors[name].shape) if name in tensors else None
        if has != shapes.get(name):
            raise InputError(
                f"{source}: weights '{name}' have the shape {has}",
                expected=f"{shapes.get(name)} of {n_layers} LSTM layers, one direction each",
            )
    return config
