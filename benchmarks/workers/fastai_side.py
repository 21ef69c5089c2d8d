"""fastai 2.8 as a worker, in an environment of its own: what its users call, and nothing private.

    python -m benchmarks.workers.fastai_side FOLDER [DEVICE]

Learners are built from the material in FOLDER: the vocabulary, the ids and the weights that the
other side has too. Training is timed by a callback, from batch to batch, so that neither side pays
for building its data.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import fastai
import numpy as np
import pandas as pd
import torch
from fastai.basics import defaults
from fastai.text.all import (
    AWD_LSTM,
    Callback,
    CancelFitException,
    CrossEntropyLossFlat,
    DataLoaders,
    L,
    LMDataLoader,
    SortedDL,
    SpacyTokenizer,
    TensorCategory,
    TensorText,
    TextDataLoaders,
    TokenizeWithRules,
    awd_lstm_clas_config,
    awd_lstm_lm_config,
    language_model_learner,
    pad_input_chunk,
    text_classifier_learner,
)
from safetensors.torch import load_file

from benchmarks.workers.wire import serve

FOLDER = Path(sys.argv[1])
DEVICE = torch.device(sys.argv[2] if len(sys.argv) > 2 else "cpu")
SEQ_LEN = 72  # fastai's own default
Documents = list[tuple[Any, ...]]

# Where fastai keeps what ours keeps.
RENAMED = {
    "0.encoder.": "encoder.embedding.",
    "0.encoder_dp.emb.": "encoder.embedding.",
    "0.rnns.": "encoder.rnns.",
    "1.decoder.weight": "encoder.embedding.weight",
    "1.decoder.bias": "decoder_bias",
    "1.layers.0.0.": "head.norm1.",
    "1.layers.0.2.": "head.linear1.",
    "1.layers.1.0.": "head.norm2.",
    "1.layers.1.2.": "head.linear2.",
}


def material(name: str) -> Any:
    """One of the JSON files that both sides read."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def copy_weights(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Give fastai's model the weights of ours; a head stays fresh where there is none to copy."""
    for name, value in model.state_dict(keep_vars=True).items():
        ours = name.replace("0.module.", "0.", 1)
        for theirs, renamed in RENAMED.items():
            if ours.startswith(theirs):
                ours = renamed + ours.removeprefix(theirs)
        if ours.startswith("encoder.rnns."):
            ours = ours.replace(".module.", ".").removesuffix("_raw")
        if ours in weights or not ours.startswith("head."):
            value.data.copy_(weights[ours])
    model.reset()


class Watch(Callback):
    """Times of the start and of every batch; ends the fit after `steps` of them."""

    order = 1000  # after whatever else happens in a batch

    def __init__(self, steps: int) -> None:
        self.steps, self.marks = steps, []

    def before_train(self) -> None:
        """The first batch is about to be fetched."""
        self.marks = [now()]

    def after_batch(self) -> None:
        """A step is done."""
        self.marks.append(now())
        if len(self.marks) > self.steps:
            raise CancelFitException


def now() -> float:
    """Wall time, the device having finished."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def fit(learner: Any, steps: int, skipped: int) -> float:
    """Seconds of `steps` training steps, after `skipped` others."""
    watch = Watch(steps + skipped)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(1, 1e-3, cbs=watch)
    assert len(watch.marks) == steps + skipped + 1, "the epoch has too few batches"
    return watch.marks[-1] - watch.marks[skipped]


def config_of(size: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """fastai's own configuration, with the sizes asked for."""
    sizes = material("sizes")[size]
    return {
        **defaults,
        "emb_sz": sizes["emb_size"],
        "n_hid": sizes["hidden_size"],
        "n_layers": sizes["n_layers"],
    }


def documents(name: str) -> Documents:
    """Ids and class of the documents to train on."""
    with np.load(FOLDER / f"{name}.npz") as file:
        ids, starts, labels = file["ids"], file["starts"], file["labels"]
    texts = np.split(ids.astype(np.int64), starts[1:-1])
    return [
        (TensorText(torch.from_numpy(text)), TensorCategory(int(label)))
        for text, label in zip(texts, labels, strict=True)
    ]


def lm_train(size: str, batch: int, steps: int, softmax: str = "full") -> dict[str, Any]:
    """Language model training on the shared stream; fastai has the full softmax only."""
    rows = [(document[0],) for document in documents("lm")]
    loader = LMDataLoader(rows, bs=batch, seq_len=SEQ_LEN, shuffle=True, device=DEVICE)
    dls = DataLoaders(loader, loader, device=DEVICE)
    dls.vocab = material("vocab")
    config = config_of(size, awd_lstm_lm_config)
    learner = language_model_learner(dls, AWD_LSTM, config=config, pretrained=False)
    copy_weights(learner.model, load_file(FOLDER / f"{size}-lm.safetensors"))
    return {"seconds": fit(learner, steps, skipped=1), "items": steps * batch * SEQ_LEN}


def classifier_train(data: str, size: str, batch: int, skipped: int) -> dict[str, Any]:
    """Classifier training, all layers, over the shared documents once."""
    rows = documents(data)
    loader = SortedDL(
        rows,
        bs=batch,
        shuffle=True,
        drop_last=False,
        res=[len(row[0]) for row in rows],
        before_batch=lambda samples: pad_input_chunk(samples, pad_idx=1, seq_len=SEQ_LEN),
        device=DEVICE,
    )
    dls = DataLoaders(loader, loader, device=DEVICE)
    dls.vocab = L([material("vocab"), range(1 + max(int(row[1]) for row in rows))])
    learner = classifier_learner(dls, size, n_out=len(dls.vocab[1]))
    copy_weights(learner.model, load_file(FOLDER / f"{size}-lm.safetensors"))
    learner.unfreeze()
    steps = len(loader) - skipped
    return {"seconds": fit(learner, steps, skipped), "items": steps * batch}


def classifier_learner(dls: Any, size: str, n_out: int) -> Any:
    """fastai's classifier with its defaults, but for the sizes."""
    return text_classifier_learner(
        dls,
        AWD_LSTM,
        seq_len=SEQ_LEN,
        config=config_of(size, awd_lstm_clas_config),
        pretrained=False,
        n_out=n_out,
        loss_func=CrossEntropyLossFlat(),
    )


LEARNERS: dict[str, Any] = {}


def predictor(size: str) -> Any:
    """A learner that answers texts, as `load_learner` would give it; made once."""
    if size not in LEARNERS:
        frame = pd.DataFrame({"text": material("texts")["reviews"][:8], "label": [0, 1] * 4})
        dls = TextDataLoaders.from_df(
            frame, text_col="text", label_col="label", text_vocab=material("vocab"), bs=64
        )
        learner = classifier_learner(dls, size, n_out=2)
        copy_weights(learner.model, load_file(FOLDER / f"{size}-2" / "model.safetensors"))
        learner.model.eval()
        LEARNERS[size] = learner
    return LEARNERS[size]


def predict_bulk(size: str, mode: str = "float32") -> dict[str, Any]:
    """`get_preds` over the reviews; making the test loader, which tokenises, is not counted."""
    learner, texts = predictor(size), material("texts")["reviews"]
    started = now()
    loader = learner.dls.test_dl(texts)
    made = now()
    with learner.no_bar(), learner.no_logging():
        learner.get_preds(dl=loader)
    return {"seconds": now() - made, "items": len(texts), "loader_seconds": made - started}


def predict_one(size: str, texts: str, calls: int, mode: str = "float32") -> dict[str, Any]:
    """One `learn.predict` after another."""
    learner, chosen = predictor(size), material("texts")[texts]
    started = now()
    with learner.no_bar(), learner.no_logging():
        for call in range(calls):
            answer = learner.predict(chosen[call % len(chosen)])
    return {"seconds": now() - started, "items": calls, "last": answer[2].tolist()}


def logits(size: str) -> dict[str, Any]:
    """Scores of the shared documents, each alone; fastai pools the last 1,440 tokens."""
    model = predictor(size).model.eval()
    found = []
    with torch.no_grad():
        for ids in material("checked"):
            model.reset()
            found.append(model(torch.tensor([ids], device=DEVICE))[0][0].tolist())
    return {"logits": found}


def lm_loss(size: str) -> dict[str, Any]:
    """Mean loss of a window in evaluation, in nats per token."""
    config = config_of(size, awd_lstm_lm_config)
    dls = DataLoaders([], [])
    dls.vocab = material("vocab")
    learner = language_model_learner(dls, AWD_LSTM, config=config, pretrained=False)
    copy_weights(learner.model, load_file(FOLDER / f"{size}-lm.safetensors"))
    model, window = learner.model.eval(), torch.tensor(material("window"))
    with torch.no_grad():
        scores = model(window[:, :-1])[0]
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), window[:, 1:].flatten())
    return {"loss": float(loss)}


def tokenise(texts: int) -> dict[str, Any]:
    """Processor seconds of fastai's rules and spaCy, its default tokenizer."""
    chosen = material("tokenised")[:texts]
    tokenizer = TokenizeWithRules(SpacyTokenizer(), rules=defaults.text_proc_rules)
    list(tokenizer(material("tokenised")[-10:]))
    started = time.process_time()
    list(tokenizer(chosen))
    return {"seconds": time.process_time() - started, "items": len(chosen)}


def tokens(size: str) -> dict[str, Any]:
    """Ids that fastai itself makes of the first reviews."""
    loader = predictor(size).dls.test_dl(material("texts")["reviews"][:20])
    return {"ids": [row[0].tolist() for row in loader.dataset]}


def versions() -> dict[str, Any]:
    """What runs here."""
    return {"fastai": fastai.__version__, "torch": torch.__version__}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(
        {
            "lm_train": lm_train,
            "classifier_train": classifier_train,
            "predict_bulk": predict_bulk,
            "predict_one": predict_one,
            "logits": logits,
            "lm_loss": lm_loss,
            "tokenise": tokenise,
            "tokens": tokens,
            "versions": versions,
        }
    )
