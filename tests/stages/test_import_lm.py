"""Weights of others: fastai's own logits from fastai's own files, in every form they come in."""

from __future__ import annotations

import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests import tiny
from ulmfit.data.rules import SPECIALS
from ulmfit.errors import InputError
from ulmfit.stages.import_lm import import_lm, read_vocabulary
from ulmfit.stages.lm_folder import TrainedLM

GOLDEN = Path(__file__).parents[1] / "golden" / "fastai.safetensors"
PREFIX = "lm/weights/"
VOCAB = 60
# fastai 1.0.40 on; fastai 0.7 and awd-lstm-lm have fewer, under other names.
FASTAI1 = ("xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxmaj", "xxup", "xxrep", "xxwrep")


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def state(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    """fastai 2.8's own state dict of its language model."""
    return OrderedDict(
        (name.removeprefix(PREFIX), value)
        for name, value in golden.items()
        if name.startswith(PREFIX)
    )


def fastai_words(specials: tuple[str, ...] = SPECIALS) -> list[str]:
    words = [f"w{i}" for i in range(VOCAB - len(specials) - 2)]
    return [*specials, *words, "xxfake", "xxfake"]


def written(folder: Path, state: Any, words: Any = None) -> tuple[Path, Path]:
    weights, vocabulary = folder / "lm.pth", folder / "itos.pkl"
    torch.save(state, weights)
    vocabulary.write_bytes(pickle.dumps(fastai_words() if words is None else words))
    return weights, vocabulary


def logits(lm: TrainedLM, words: list[str], golden: dict[str, Tensor]) -> list[Tensor]:
    """Of both recorded windows, with carried state, columns in the order of `words`."""
    model = lm.model(tiny.NO_DROPOUT).eval()
    ids = torch.tensor([lm.tokenizer.vocab.index(word) for word in words])
    found, hidden = [], model.encoder.initial_state(3)
    for i in range(2):
        with torch.no_grad():
            output = model(ids[golden[f"lm/{i}/tokens"]], hidden)
            found.append(model.logits(output.raw)[..., ids])
        hidden = output.state
    return found


def assert_fastais_logits(lm: TrainedLM, words: list[str], golden: dict[str, Tensor]) -> None:
    for i, found in enumerate(logits(lm, words, golden)):
        expected = golden[f"lm/{i}/eval/logits"]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def renamed_fake(words: list[str]) -> list[str]:
    return [*words[:-1], f"{words[-1]} 2"]


@pytest.mark.parametrize("zipped", [True, False])
def test_fastai2_gives_its_own_logits(
    tmp_path: Path, golden: dict[str, Tensor], state: dict[str, Tensor], zipped: bool
) -> None:
    weights, vocabulary = written(tmp_path, state)
    torch.save({"model": state, "opt": {}}, weights, _use_new_zipfile_serialization=zipped)
    lm = import_lm(weights, vocabulary, direction="backward", info={"licence": "Apache-2.0"})
    assert lm.config.model_dump() == {
        "vocab_size": VOCAB,
        "emb_size": 12,
        "hidden_size": 20,
        "n_layers": 3,
    }
    assert lm.direction == "backward"
    assert lm.info == {"imported from": "lm.pth", "licence": "Apache-2.0"}
    assert lm.tokenizer.vocab == renamed_fake(fastai_words())
    assert_fastais_logits(lm, lm.tokenizer.vocab, golden)


def test_fastai1_orders_its_marks_otherwise(
    tmp_path: Path, golden: dict[str, Tensor], state: dict[str, Tensor]
) -> None:
    words = fastai_words(FASTAI1)
    lm = import_lm(*written(tmp_path, state, words))
    assert tuple(lm.tokenizer.vocab[:9]) == SPECIALS
    assert_fastais_logits(lm, renamed_fake(words), golden)


def awd_lstm_lm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as awd-lstm-lm calls them."""
    found = {}
    for name, value in state.items():
        if "encoder_dp" in name or (name.endswith("weight_hh_l0")):
            continue
        name = name.removeprefix("0.").removeprefix("1.")
        found[
            name
            if "module" in name or "rnns" not in name
            else name.replace("weight", "module.weight")
        ] = value
    return found


def test_awd_lstm_lm_has_two_marks_only(
    tmp_path: Path, golden: dict[str, Tensor], state: dict[str, Tensor]
) -> None:
    words = ["<unk>", "<eos>", *(f"w{i}" for i in range(VOCAB - 2))]
    renamed = awd_lstm_lm(state)
    assert "rnns.0.module.weight_hh_l0_raw" in renamed
    lm = import_lm(*written(tmp_path, renamed, words))
    assert lm.config.vocab_size == VOCAB + 7
    assert_fastais_logits(lm, ["xxunk", "xxeos", *words[2:]], golden)
    mean = state["0.encoder.weight"].mean(dim=0)
    torch.testing.assert_close(lm.weights["encoder.embedding.weight"][1], mean)


def test_weights_before_drop_connect_are_taken_whatever_the_order(
    tmp_path: Path, golden: dict[str, Tensor], state: dict[str, Tensor]
) -> None:
    # fastai keeps what the last dropout left of a matrix beside the matrix.
    raw = {name: value for name, value in state.items() if name.endswith("_raw")}
    assert len(raw) == 3
    left = {
        name.replace("weight", "module.weight").removesuffix("_raw"): torch.zeros_like(value)
        for name, value in raw.items()
    }
    for given in ({**state, **left}, {**left, **state}):
        lm = import_lm(*written(tmp_path, given))
        assert_fastais_logits(lm, lm.tokenizer.vocab, golden)


def test_an_encoder_alone_gets_a_bias_of_zero(tmp_path: Path, state: dict[str, Tensor]) -> None:
    encoder = {name[2:]: value for name, value in state.items() if name.startswith("0.")}
    lm = import_lm(*written(tmp_path, encoder))
    assert not lm.weights["decoder_bias"].any()


def test_safetensors_and_other_forms_of_vocabularies(
    tmp_path: Path, golden: dict[str, Tensor], state: dict[str, Tensor]
) -> None:
    plain = {name: value.clone() for name, value in state.items()}
    save_file(plain, tmp_path / "lm.safetensors")
    words = fastai_words()
    words[-2:] = ["\x85", "\u2028"]  # ends of lines to some, and words
    (tmp_path / "words.json").write_text(json.dumps(words))
    (tmp_path / "words.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "windows.txt").write_bytes("\r\n".join(words).encode())
    for name in ("words.json", "words.txt", "windows.txt"):
        lm = import_lm(tmp_path / "lm.safetensors", tmp_path / name)
        assert_fastais_logits(lm, lm.tokenizer.vocab, golden)


def test_an_imported_model_is_a_folder_like_any_other(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    lm = import_lm(*written(tmp_path, state))
    lm.save(tmp_path / "lm")
    again = TrainedLM.load(tmp_path / "lm")
    assert all(torch.equal(again.weights[name], value) for name, value in lm.weights.items())
    assert "imported from: lm.pth" in (tmp_path / "lm" / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"0.rnns.0.weight_hh_l0_raw": torch.zeros(80, 19)},
            r"shape \(80, 12\): expected \(76, 12\)",
        ),
        ({"0.rnns.3.weight_hh_l0_raw": torch.zeros(48, 12)}, "have the shape"),
        ({"1.decoder.weight": torch.zeros(VOCAB, 12)}, "is not the embedding"),
        ({"1.decoder.bias": torch.zeros(3)}, r"'decoder_bias' have the shape \(3,\)"),
        ({"0.rnns.0.weight_ih_l0_reverse": torch.zeros(2)}, "is of another kind of model"),
        ({"2.layers.0": torch.zeros(2)}, r"another kind of model \(2\.layers\.0\)"),
    ],
)
def test_weights_of_other_models_are_refused(
    tmp_path: Path, state: dict[str, Tensor], change: dict[str, Tensor], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        import_lm(*written(tmp_path, {**state, **change}))


def test_the_vocabulary_has_to_fit(tmp_path: Path, state: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match=r"itos\.pkl: has 2 words: expected 60, as .*lm\.pth has"):
        import_lm(*written(tmp_path, state, ["a", "b"]))


def test_no_weights_at_all(tmp_path: Path) -> None:
    for value, problem in (([1], "no state dict"), ({"a": torch.ones(1)}, "another kind of model")):
        with pytest.raises(InputError, match=problem):
            import_lm(*written(tmp_path, value))
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read"):
        import_lm(tmp_path / "x.safetensors", tmp_path / "itos.pkl")


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_a_vocabulary_with_a_payload_does_not_run(tmp_path: Path, state: dict[str, Tensor]) -> None:
    marker = tmp_path / "marker"
    words = [*fastai_words()[:-1], Runs(f"touch {marker}")]
    with pytest.raises(InputError, match=r"itos\.pkl: asks for 'posix\.system' and was not read"):
        import_lm(*written(tmp_path, state, words))
    assert not marker.exists()


def test_vocabularies_in_containers(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    # A dictionary of ids, and what fastai's own classes look like in a pickle.
    path.write_bytes(pickle.dumps({"b": 1, "_unk_": 0}))
    assert read_vocabulary(path) == ["xxunk", "b"]
    words = b"X\x01\0\0\0aX\x01\0\0\0be"
    for module, attribute in (
        (b"fastcore.foundation\nL", b"items"),
        (b"fastai.text.transform\nVocab", b"itos"),
    ):
        state = b"}X" + len(attribute).to_bytes(4, "little") + attribute + b"](" + words + b"s"
        path.write_bytes(b"\x80\x02c" + module + b"\n)\x81" + state + b"b.")
        assert read_vocabulary(path) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "is not a list of words"),
        ([1, 2], "is not a list of words"),
        ({"a": 1, "b": 1}, "is not a list of words"),
        (["▁the", "▁a", "s"], "is a vocabulary of subwords"),
    ],
)
def test_other_things_are_no_vocabulary(tmp_path: Path, value: Any, problem: str) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(InputError, match=problem):
        read_vocabulary(tmp_path / "x.pkl")
    (tmp_path / "x.json").write_text("[")
    with pytest.raises(InputError, match="is not JSON"):
        read_vocabulary(tmp_path / "x.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, state: dict[str, Tensor], value: float
) -> None:
    changed = {name: tensor.clone() for name, tensor in state.items()}
    name = next(name for name in changed if name.endswith("bias_ih_l0"))
    changed[name][3] = value
    with pytest.raises(InputError, match="bias_ih_l0' have values that are not finite"):
        import_lm(*written(tmp_path, changed))


@pytest.mark.parametrize("shape", [(), (5,), (12, 0), (0, 4), (2, 3, 4)])
def test_an_embedding_of_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"the embedding has the shape \("):
        import_lm(*written(tmp_path, {"encoder.weight": torch.zeros(shape)}))


def test_the_same_data_under_many_names_are_refused(tmp_path: Path) -> None:
    data = torch.zeros(1000, 10)
    with pytest.raises(InputError, match=r"has tensors of .* expected each weight once"):
        import_lm(*written(tmp_path, {f"w{i}": data for i in range(100)}))


def test_words_that_are_no_text_or_too_long_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "itos.pkl"
    path.write_bytes(pickle.dumps(["a", "\ud800x"]))
    with pytest.raises(InputError, match=r"entry 1 is not text \('.ud800x'\)"):
        read_vocabulary(path)
    word = "a" * 1000
    path.write_bytes(pickle.dumps([word] * 1000))
    monkeypatch.setattr("ulmfit.stages.import_lm.MAX_VOCABULARY_BYTES", 100_000)
    with pytest.raises(InputError, match="has too much text"):
        read_vocabulary(path)


def test_names_that_come_again_get_numbers_that_are_free(tmp_path: Path) -> None:
    path = tmp_path / "itos.pkl"
    path.write_bytes(pickle.dumps(["a", "a", "a 2", "b", "a"]))
    found = read_vocabulary(path)
    assert (found[0], found[2], found[3]) == ("a", "a 2", "b")
    assert len(set(found)) == 5
