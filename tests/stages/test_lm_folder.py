from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from tests import tiny
from ulmfit.artifacts import write_folder
from ulmfit.config import Dropouts
from ulmfit.errors import ModelFolderError, SettingsError
from ulmfit.model.language_model import LanguageModel
from ulmfit.stages.lm_folder import WORK_FOLDER, TrainedLM


@pytest.fixture
def lm() -> TrainedLM:
    plain = tiny.trained_lm(tiny.tokenizer(), "backward")
    info = {"corpus": "films", "licence": "CC0-1.0", "settings": {"epochs": 3}}
    metrics = {"perplexity": 12.5}
    return TrainedLM(
        plain.config, plain.direction, plain.tokenizer, plain.weights, info, metrics, b'{"a": 1}\n'
    )


def scores(model: LanguageModel) -> torch.Tensor:
    tokens = torch.tensor([[2, 9, 10, 11, 12]])
    with torch.no_grad():
        return model.logits(model(tokens, model.encoder.initial_state(1)).raw)


def test_folder_brings_everything_back(lm: TrainedLM, tmp_path: Path) -> None:
    lm.save(tmp_path / "lm")
    found = TrainedLM.load(tmp_path / "lm")
    assert (found.config, found.direction) == (lm.config, lm.direction)
    assert (found.info, found.metrics, found.log) == (lm.info, lm.metrics, lm.log)
    assert found.tokenizer.digest == lm.tokenizer.digest
    assert found.weights.keys() == lm.weights.keys()
    assert all(torch.equal(found.weights[name], value) for name, value in lm.weights.items())


def test_folder_has_the_files_of_a_model(lm: TrainedLM, tmp_path: Path) -> None:
    lm.save(tmp_path / "lm", log=b'{"step": 1}\n')
    names = {path.name for path in (tmp_path / "lm").iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "metrics.json",
        "log.jsonl",
        "README.md",
    }
    config = json.loads((tmp_path / "lm" / "config.json").read_text())
    assert (config["kind"], config["direction"]) == ("language_model", "backward")
    assert json.loads((tmp_path / "lm" / "metrics.json").read_text()) == {"perplexity": 12.5}
    assert (tmp_path / "lm" / "log.jsonl").read_text() == '{"step": 1}\n'
    assert (tmp_path / "lm" / "README.md").read_text() == lm.card()


def test_same_model_gives_the_same_bytes(lm: TrainedLM) -> None:
    assert lm.files() == lm.files()


def test_what_a_run_keeps_beside_the_model_stays(lm: TrainedLM, tmp_path: Path) -> None:
    (tmp_path / "lm" / WORK_FOLDER).mkdir(parents=True)
    (tmp_path / "lm" / WORK_FOLDER / "log.jsonl").write_text("{}")
    lm.save(tmp_path / "lm")
    assert (tmp_path / "lm" / WORK_FOLDER / "log.jsonl").exists()


def test_folder_of_other_things_is_not_replaced(lm: TrainedLM, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match=r"holds other files \(thesis\.txt\)"):
        lm.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_module_has_the_weights_and_does_not_share_them(lm: TrainedLM) -> None:
    state = torch.get_rng_state()
    model = lm.model(Dropouts()).eval()
    assert torch.equal(torch.get_rng_state(), state), "no random number is drawn"
    reference = LanguageModel(lm.config, tiny.NO_DROPOUT)
    reference.load_state_dict(lm.weights)
    assert torch.equal(scores(model), scores(reference.eval()))
    before = lm.weights["decoder_bias"].clone()
    with torch.no_grad():
        model.decoder_bias.add_(1)
    assert torch.equal(lm.weights["decoder_bias"], before)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_eight_bits_take_a_quarter_of_the_space(tmp_path: Path) -> None:
    lm = tiny.trained_lm(tiny.tokenizer(), n_layers=4)
    lm.save(tmp_path / "full")
    lm.save(tmp_path / "small", store="8bit")
    stored = load_file(tmp_path / "small" / "model.safetensors")
    assert stored["encoder.embedding.weight"].dtype == torch.int8
    found = TrainedLM.load(tmp_path / "small").weights
    assert {value.dtype for value in found.values()} == {torch.float32}
    for name, value in TrainedLM.load(tmp_path / "full").weights.items():
        steps = value.abs().amax() / 127
        assert (found[name] - value).abs().max() <= steps


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_float32(
    lm: TrainedLM, tmp_path: Path, dtype: torch.dtype
) -> None:
    halves = {name: value.to(dtype) for name, value in lm.weights.items()}
    write_folder(tmp_path / "lm", {**lm.files(), "model.safetensors": save(halves)})
    found = TrainedLM.load(tmp_path / "lm").weights
    assert {value.dtype for value in found.values()} == {torch.float32}
    torch.testing.assert_close(found, lm.weights, rtol=1e-2, atol=1e-2)


def broken(lm: TrainedLM, path: Path, **changes: bytes) -> str:
    """The message for a folder with other contents of some files."""
    files = {**lm.files(), **{f"{key.replace('_', '.')}": v for key, v in changes.items()}}
    write_folder(path, files)
    with pytest.raises(ModelFolderError) as caught:
        TrainedLM.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_vocabulary_of_another_model(lm: TrainedLM, tmp_path: Path) -> None:
    other = lm.tokenizer.with_vocab(lm.tokenizer.vocab[:-1]).to_json().encode()
    fault = broken(lm, tmp_path / "lm", tokenizer_json=other)
    assert "tokenizer.json: it has 35 entries, config.json and the weights 36." in fault


def test_weights_of_another_size(lm: TrainedLM, tmp_path: Path) -> None:
    other = tiny.trained_lm(lm.tokenizer, "backward", n_layers=3)
    fault = broken(lm, tmp_path / "lm", model_safetensors=other.files()["model.safetensors"])
    assert "model.safetensors: tensor 'encoder.rnns.1.bias_hh_l0' has shape (32,)" in fault


def test_half_of_the_sizes_changed(lm: TrainedLM, tmp_path: Path) -> None:
    config = json.loads(lm.files()["config.json"])
    config["lm"]["emb_size"] = 1_000_000  # told without making such a model
    fault = broken(lm, tmp_path / "lm", config_json=json.dumps(config).encode())
    assert "where config.json needs" in fault


def test_metrics_that_are_none(lm: TrainedLM, tmp_path: Path) -> None:
    assert "metrics.json: no JSON" in broken(lm, tmp_path / "lm", metrics_json=b"12,5")
