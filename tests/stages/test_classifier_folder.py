from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import tiny
from ulmfit.artifacts import read_folder, write_folder
from ulmfit.config import ClassifierConfig
from ulmfit.errors import ModelFolderError
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.folder_config import LabelForm


@pytest.fixture
def trained() -> TrainedClassifier:
    words = tiny.tokenizer()
    torch.manual_seed(3)
    config = ClassifierConfig(lm=tiny.lm_config(words.vocab_size), n_classes=2, chunk=5)
    model = TextClassifierModel(config, tiny.NO_DROPOUT, HeadDropouts())
    return TrainedClassifier(
        config=config,
        direction="backward",
        labels=("0", "1"),
        tokenizer=words,
        weights={name: value.detach() for name, value in model.state_dict().items()},
        info={"lm": {"corpus": "films"}, "settings": {"epochs": 3}},
        metrics={"error": 0.25},
        label_form=LabelForm(kind="integer"),
        log=b'{"step": 1}\n',
    )


def scores(model: TextClassifierModel) -> torch.Tensor:
    tokens, lengths = torch.tensor([[2, 9, 10, 11], [2, 12, 1, 1]]), torch.tensor([4, 2])
    with torch.no_grad():
        logits: torch.Tensor = model(tokens, lengths).logits
    return logits


def test_folder_brings_everything_back(trained: TrainedClassifier, tmp_path: Path) -> None:
    write_folder(tmp_path / "m", trained.files(card=b"# A card\n"))
    found = TrainedClassifier.from_contents(read_folder(tmp_path / "m"))
    plain = {"weights": {}, "tokenizer": trained.tokenizer}
    assert replace(found, **plain) == replace(trained, **plain)  # type: ignore[arg-type]
    assert found.tokenizer.digest == trained.tokenizer.digest
    assert found.weights.keys() == trained.weights.keys()
    assert torch.equal(scores(found.model()), scores(trained.model()))
    assert (tmp_path / "m" / "README.md").read_text() == "# A card\n"
    assert (tmp_path / "m" / "log.jsonl").read_bytes() == trained.log


def test_log_can_be_another_one(trained: TrainedClassifier) -> None:
    assert trained.files()["log.jsonl"] == trained.log
    assert trained.files(log=b"")["log.jsonl"] == b""


def test_module_is_for_evaluation_and_shares_the_weights(trained: TrainedClassifier) -> None:
    state = torch.get_rng_state()
    model = trained.model()
    assert torch.equal(torch.get_rng_state(), state), "no random number is drawn"
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    own = model.encoder.embedding.weight.data_ptr()
    assert own == trained.weights["encoder.embedding.weight"].data_ptr()


def test_batch_norm_statistics_are_kept(trained: TrainedClassifier, tmp_path: Path) -> None:
    trained.weights["head.norm1.running_mean"].fill_(0.5)
    trained.weights["head.norm1.num_batches_tracked"].fill_(7)
    write_folder(tmp_path / "m", trained.files())
    found = TrainedClassifier.from_contents(read_folder(tmp_path / "m")).weights
    assert set(found["head.norm1.running_mean"].tolist()) == {0.5}
    assert int(found["head.norm1.num_batches_tracked"]) == 7


def fault(path: Path) -> str:
    with pytest.raises(ModelFolderError) as caught:
        TrainedClassifier.from_contents(read_folder(path))
    return str(caught.value)


def test_language_model_is_no_classifier(tmp_path: Path) -> None:
    tiny.trained_lm(tiny.tokenizer()).save(tmp_path / "lm")
    assert fault(tmp_path / "lm") == (
        f"model folder '{tmp_path}/lm' is of kind 'language_model': expected 'classifier'. "
        "Give a folder that `ulmfit train` or `ulmfit finetune-classifier` made."
    )


def test_files_of_different_models(trained: TrainedClassifier, tmp_path: Path) -> None:
    config = json.loads(trained.files()["config.json"])
    config["labels"] += ["2"]
    config["classifier"]["n_classes"] = 3
    write_folder(tmp_path / "m", {**trained.files(), "config.json": json.dumps(config).encode()})
    assert fault(tmp_path / "m").startswith(
        f"model folder '{tmp_path}/m' is broken: model.safetensors: tensor 'head.linear2.bias' has "
        "shape (2,) where config.json needs (3,); tensor 'head.linear2.weight' has shape (2, 50) "
        "where config.json needs (3, 50). Copy the whole folder again"
    )


def test_weights_of_a_language_model(trained: TrainedClassifier, tmp_path: Path) -> None:
    weights = tiny.trained_lm(trained.tokenizer).files()["model.safetensors"]
    write_folder(tmp_path / "m", {**trained.files(), "model.safetensors": weights})
    message = fault(tmp_path / "m")
    assert "model.safetensors: tensor 'head.norm1.weight' is missing" in message
    assert message.count(";") == 5, "five are named, the rest is counted"
