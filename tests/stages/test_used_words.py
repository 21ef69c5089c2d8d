"""The words that documents have: numbering, rows, and that no other row has a gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests import tiny
from ulmfit.data.batches import pad
from ulmfit.data.rules import PAD_ID
from ulmfit.model.classifier import HeadDropouts, TextClassifierModel
from ulmfit.settings import ClassifierSettings, OptimizerSettings, RateSettings
from ulmfit.stages.finetune_classifier import EMBEDDING, finetune_classifier, one_hot
from ulmfit.stages.used_words import UsedWords

DOCUMENTS = [np.array([7, 3, 7], dtype=np.int32), np.array([9], dtype=np.int32)]


def test_words_are_numbered_by_their_ids() -> None:
    words = UsedWords(DOCUMENTS, vocab_size=12)
    assert words.ids.tolist() == [0, 1, 3, 7, 9]
    assert len(words) == 5
    assert [document.tolist() for document in words.renumbered(DOCUMENTS)] == [[3, 2, 3], [4]]


def test_padding_keeps_its_id() -> None:
    words = UsedWords(DOCUMENTS, vocab_size=12)
    assert words.renumbered([np.array([PAD_ID])])[0].tolist() == [PAD_ID]


def test_a_word_that_was_not_there_has_no_row() -> None:
    words = UsedWords(DOCUMENTS, vocab_size=12)
    (new,) = words.renumbered([np.array([5])])
    with pytest.raises(IndexError):
        F.embedding(torch.from_numpy(new), torch.zeros(len(words), 2))


def test_a_word_out_of_the_vocabulary_is_refused() -> None:
    with pytest.raises(IndexError):
        UsedWords([np.array([12])], vocab_size=12)


def test_rows_go_out_and_come_back() -> None:
    words = UsedWords(DOCUMENTS, vocab_size=12)
    weight = torch.arange(24.0).view(12, 2)
    before = weight.clone()
    rows = words.rows_of(weight)
    assert rows[:, 0].tolist() == [0, 2, 6, 14, 18]
    whole = words.put_back(-rows, weight)
    assert torch.equal(weight, before)
    for word in range(12):
        sign = -1 if word in (0, 1, 3, 7, 9) else 1
        assert torch.equal(whole[word], sign * before[word])


def test_scores_and_gradients_are_those_of_the_whole_embedding() -> None:
    whole = tiny.classifier_model().train()
    none = HeadDropouts(first_p=0, second_p=0)
    whole.head.dropouts = none
    vocab = whole.config.lm.vocab_size
    documents = [np.array([vocab - 1, 5, 2]), np.array([6, 5]), np.array([8])]
    words = UsedWords(documents, vocab)
    sizes = whole.config.lm.model_copy(update={"vocab_size": len(words)})
    config = whole.config.model_copy(update={"lm": sizes})
    part = TextClassifierModel(config, tiny.NO_DROPOUT, none).train()
    state = whole.state_dict()
    state["encoder.embedding.weight"] = words.rows_of(state["encoder.embedding.weight"])
    part.load_state_dict(state)

    def logits_and_gradient(
        model: TextClassifierModel, read: list[np.ndarray]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        batch = pad(read, np.arange(3))
        output = model(torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths))
        loss = F.cross_entropy(output.logits, torch.tensor([0, 1, 0]))
        (gradient,) = torch.autograd.grad(loss, [model.encoder.embedding.weight])
        return output.logits.detach(), gradient

    logits, gradient = logits_and_gradient(whole, documents)
    again, rows = logits_and_gradient(part, words.renumbered(documents))
    torch.testing.assert_close(again, logits, rtol=1e-6, atol=1e-6)
    assert rows.abs().sum() > 0
    torch.testing.assert_close(words.put_back(rows, torch.zeros_like(gradient)), gradient)


def test_words_that_no_document_has_stay_as_they_were(tmp_path: Path) -> None:
    words = tiny.tokenizer()
    lm = tiny.trained_lm(words)
    texts, labels = tiny.labelled_texts(4)
    seen, unseen = words.encode_batch(texts), words.encode("boring")[-1]
    assert all(unseen not in document for document in seen)
    settings = ClassifierSettings(
        epochs=2,
        unfreezing="full",
        rates=RateSettings(lr=0.1),
        optimizer=OptimizerSettings(weight_decay=0.1),
    )
    trained = finetune_classifier(
        lm,
        (seen, one_hot(labels, ["glad", "sad"])),
        None,
        ["glad", "sad"],
        settings,
        tiny.context(tmp_path, checkpoint_seconds=1e9),
    )
    before, after = lm.weights[EMBEDDING], trained.weights[EMBEDDING]
    moved = (before != after).any(dim=1)
    assert moved[seen[0]].all()
    assert not moved[unseen]
    assert after.shape == before.shape
