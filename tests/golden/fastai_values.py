"""The recorder that `record_fastai.py` runs inside fastai's own environment.

Writes `fastai.safetensors` (weights, inputs, outputs, losses and gradients under fastai's own
parameter names) and `fastai_schedules.json`. Weights come from a NumPy generator and are far
larger than fastai's initial ones, so that a wrong gate or a lost bias moves the logits by tenths.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastai
import numpy as np
import torch
from fastai.callback.rnn import RNNRegularizer
from fastai.callback.schedule import combined_cos
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import Adam, Optimizer
from fastai.text.data import pad_input_chunk
from fastai.text.learner import match_embeds
from fastai.text.models.awdlstm import AWD_LSTM, EmbeddingDropout, RNNDropout, WeightDropout
from fastai.text.models.core import get_language_model, get_text_classifier
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

Values = dict[str, Tensor]

VOCAB, EMBEDDING, HIDDEN, LAYERS, CLASSES, HEAD = 60, 12, 20, 3, 4, 10
PAD, FIRST_WORD = 1, 9  # ids 0..8 are the special tokens
BPTT = 7  # fastai's own is 72 steps
WINDOW = 3 * BPTT  # fastai's own is 20 chunks of 72
ALPHA, BETA = 2.0, 1.0

# Document lengths, longest first as fastai's loader sorts them; padded as fastai pads them.
BATCHES: dict[str, tuple[int, ...]] = {
    "unequal": (20, 15, 13, 8),
    "short": (20, 9, 4, 1),  # rows shorter than a chunk, behind whole chunks of padding
    "long_multiple": (42,),
    "long": (45,),
    "long_chunks": (49, 42, 35, 14),  # whole chunks: the window is the same alone and in a batch
    "long_unequal": (45, 40, 35, 20),  # the window of the batch is not the window of its rows
}
# lr_max per group, div, div_final, pct_start, momenta
ONE_CYCLE: tuple[tuple[list[float], float, float, float, list[float]], ...] = (
    ([0.004], 25.0, 1e5, 0.25, [0.8, 0.7, 0.8]),
    ([0.02], 25.0, 1e5, 0.3, [0.95, 0.85, 0.95]),
    ([1e-4, 1e-3, 1e-2], 10.0, 1e3, 0.5, [0.8, 0.7, 0.8]),
)
OLD_VOCAB = ["xxunk", "xxpad", "the", "cat", "sat"]
NEW_VOCAB = ["xxunk", "xxpad", "cat", "dog", "the", "mat"]


def _fill(model: Any, seed: int) -> None:
    """Give every parameter and running statistic of `model` a value of its own."""
    rng = np.random.default_rng(seed)
    filled = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if value.data_ptr() in filled or not value.is_floating_point():
            continue  # the decoder is the embedding
        filled.add(value.data_ptr())
        if name.endswith("running_var"):
            drawn = rng.uniform(0.5, 2.0, value.shape)
        else:
            drawn = rng.normal(0.0, 0.8 if "encoder" in name else 0.35, value.shape)
        value.data.copy_(torch.from_numpy(drawn))
    model.reset()


def _switch_off_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, (nn.Dropout, RNNDropout)):
            module.p = 0.0
        elif isinstance(module, WeightDropout):
            # With exactly 0, current torch hands the parameter itself back from dropout, fastai
            # assigns it to the LSTM as a parameter, and its next reset() fails. 1 - 1e-30 is 1.
            module.weight_p = 1e-30
        elif isinstance(module, EmbeddingDropout):
            module.embed_p = 0.0


def _config(**more: object) -> dict[str, Any]:
    return {
        "emb_sz": EMBEDDING, "n_hid": HIDDEN, "n_layers": LAYERS, "pad_token": PAD, "bidir": False,
        "output_p": 0.4, "hidden_p": 0.3, "input_p": 0.4, "embed_p": 0.05, "weight_p": 0.5, **more,
    }  # fmt: skip


def _gradients(model: nn.Module, prefix: str) -> Values:
    found = {
        f"{prefix}/{name}": p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    model.zero_grad()
    return found


def _weights(model: nn.Module, prefix: str) -> Values:
    return {f"{prefix}/{name}": value.clone() for name, value in model.state_dict().items()}


def _regularized(loss: Tensor, raw: Tensor, dropped: Tensor) -> Tensor:
    """Let fastai's own callback add AR and TAR to the loss."""
    callback = RNNRegularizer(alpha=ALPHA, beta=BETA)
    callback.learn = SimpleNamespace(
        training=True, loss_grad=loss.clone(), rnn=SimpleNamespace(raw_out=raw, out=dropped)
    )
    callback.after_loss()
    total: Tensor = callback.learn.loss_grad
    return total


def language_model() -> Values:
    """Two successive windows with carried state: logits in eval, loss and gradients in train."""
    model = get_language_model(AWD_LSTM, VOCAB, _config(tie_weights=True, out_bias=True))
    _fill(model, seed=1)
    values = _weights(model, "lm/weights")
    rng = np.random.default_rng(2)
    stream = torch.from_numpy(rng.integers(FIRST_WORD, VOCAB, (3, 19)))
    windows = [(stream[:, :9], stream[:, 1:10]), (stream[:, 9:18], stream[:, 10:19])]
    for i, (tokens, targets) in enumerate(windows):
        values[f"lm/{i}/tokens"], values[f"lm/{i}/targets"] = tokens.clone(), targets.clone()

    model.eval()
    model.reset()
    for i, (tokens, _) in enumerate(windows):
        with torch.no_grad():
            logits, raw, _dropped = model(tokens)
        values[f"lm/{i}/eval/logits"], values[f"lm/{i}/eval/hidden"] = logits, raw
        for layer, (h, c) in enumerate(model[0].hidden):
            values[f"lm/{i}/eval/state/{layer}/h"] = h.clone()
            values[f"lm/{i}/eval/state/{layer}/c"] = c.clone()

    _switch_off_dropout(model)
    model.train()
    for kind in ("plain", "regularized"):
        model.reset()
        for i, (tokens, targets) in enumerate(windows):
            logits, raw, dropped = model(tokens)
            loss = CrossEntropyLossFlat()(logits, targets)
            if kind == "regularized":
                loss = _regularized(loss, raw, dropped)
            loss.backward()
            values[f"lm/{i}/train/{kind}/loss"] = loss.detach().clone()
            values.update(_gradients(model, f"lm/{i}/train/{kind}/gradients"))
    return values


def _documents(lengths: Iterable[int], seed: int) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.integers(FIRST_WORD, VOCAB, n)) for n in lengths]


def _padded(documents: list[Tensor], chunk: int) -> Tensor:
    """(B, T) ids as fastai's loader pads them: whole chunks before, what is left after."""
    samples = [(document,) for document in documents]
    padded = pad_input_chunk(samples, pad_idx=PAD, pad_first=True, seq_len=chunk)
    return torch.stack([row[0] for row in padded])


def _classifier() -> Any:
    model = get_text_classifier(
        AWD_LSTM, VOCAB, CLASSES, seq_len=BPTT, config=_config(), lin_ftrs=[HEAD], ps=[0.1],
        pad_idx=PAD, max_len=WINDOW,
    )  # fmt: skip
    _fill(model, seed=3)
    return model


def classifier_logits() -> Values:
    """In eval, for each batch: its logits, those of each row alone, and those without a window."""
    model = _classifier()
    values = _weights(model, "classifier/weights")
    model.eval()
    for name, lengths in BATCHES.items():
        documents = _documents(lengths, seed=4)
        prefix = f"classifier/{name}"
        values[f"{prefix}/documents"] = pad_sequence(documents, True, PAD)
        values[f"{prefix}/lengths"] = torch.tensor(lengths)
        with torch.no_grad():
            values[f"{prefix}/logits"] = model(_padded(documents, BPTT))[0]
            alone = [model(document[None])[0] for document in documents]
            values[f"{prefix}/logits_alone"] = torch.cat(alone)
            model[0].max_len = None
            values[f"{prefix}/logits_all_tokens"] = model(_padded(documents, BPTT))[0]
            model[0].max_len = WINDOW
    return values


def classifier_training() -> Values:
    """Loss, gradients and new running statistics, dropout off.

    fastai cuts the gradient at every chunk; one chunk as long as the document cuts it nowhere.
    """
    labels = torch.tensor([2, 0, 3, 1])
    values = {"classifier/labels": labels}
    for name, kind, chunk in (
        ("unequal", "chunks", BPTT), ("long_chunks", "chunks", BPTT), ("unequal", "whole", 64)
    ):  # fmt: skip
        model = _classifier()
        model[0].bptt = model[1].bptt = chunk
        _switch_off_dropout(model)
        model.train()
        documents = _documents(BATCHES[name], seed=4)
        loss = CrossEntropyLossFlat()(model(_padded(documents, chunk))[0], labels)
        loss.backward()
        prefix = f"classifier/{name}/train/{kind}"
        values[f"{prefix}/loss"] = loss.detach().clone()
        values.update(_gradients(model, f"{prefix}/gradients"))
        statistics = {k: v for k, v in model.state_dict().items() if "running" in k}
        values.update({f"{prefix}/after/{k}": v.clone() for k, v in statistics.items()})
    return values


def vocabulary_transfer() -> Values:
    """fastai's `match_embeds`: old rows for known words, the mean row for the others."""
    rng = np.random.default_rng(5)
    old = {
        "0.encoder.weight": torch.from_numpy(rng.normal(size=(len(OLD_VOCAB), 6))).float(),
        "1.decoder.bias": torch.from_numpy(rng.normal(size=len(OLD_VOCAB))).float(),
    }
    values = {f"transfer/old/{name}": value.clone() for name, value in old.items()}
    new = match_embeds(dict(old), OLD_VOCAB, NEW_VOCAB)
    return values | {f"transfer/new/{name}": new[name].clone() for name in old}


def adam() -> Values:
    """Six steps of fastai's Adam with decoupled weight decay and a momentum that moves."""
    rng = np.random.default_rng(6)
    parameter = nn.Parameter(torch.from_numpy(rng.normal(size=(3, 4))).float())
    optimizer = Adam([parameter], lr=0.1, mom=0.8, sqr_mom=0.99, eps=1e-5, wd=0.01)
    values: Values = {"adam/0/parameter": parameter.detach().clone()}
    hypers = [(0.1, 0.8), (0.2, 0.7), (0.3, 0.7), (0.2, 0.75), (0.1, 0.8), (0.05, 0.8)]
    values["adam/lr_mom"] = torch.tensor(hypers)
    for step, (lr, mom) in enumerate(hypers, start=1):
        optimizer.set_hypers(lr=lr, mom=mom)
        parameter.grad = torch.from_numpy(rng.normal(size=(3, 4))).float()
        values[f"adam/{step}/gradient"] = parameter.grad.clone()
        optimizer.step()
        values[f"adam/{step}/parameter"] = parameter.detach().clone()
    return values


def _one_cycle(
    lr_max: list[float], div: float, div_final: float, pct_start: float, moms: list[float]
) -> dict[str, Any]:
    top = np.array(lr_max)
    lr = combined_cos(pct_start, top / div, top, top / div_final)
    mom = combined_cos(pct_start, *moms)
    positions = [i / 40 for i in range(41)]
    return {
        "lr_max": lr_max, "div": div, "div_final": div_final, "pct_start": pct_start, "moms": moms,
        "positions": positions,
        "lr": [lr(position).tolist() for position in positions],
        "mom": [float(mom(position)) for position in positions],
    }  # fmt: skip


def _group_rates(rates: slice, groups: int) -> dict[str, Any]:
    """Rates per layer group, from the lowest, as fastai's optimiser reads a slice."""
    parameters = [[nn.Parameter(torch.zeros(1))] for _ in range(groups)]
    optimizer = Optimizer(parameters, [], lr=0.0)
    optimizer.set_hyper("lr", rates)
    found = [float(hyper["lr"]) for hyper in optimizer.hypers]
    return {"start": rates.start, "stop": rates.stop, "groups": groups, "lr": found}


def schedules() -> dict[str, Any]:
    """One-cycle rates and momenta at given positions; rates per layer group."""
    slices = [slice(1e-3 / 2.6**4, 1e-3), slice(5e-3, 2e-2), slice(None, 1e-2)]
    rates = [_group_rates(rates, groups) for rates in slices for groups in (2, 4, 5)]
    return {"one_cycle": [_one_cycle(*case) for case in ONE_CYCLE], "group_rates": rates}


def _settings() -> dict[str, Any]:
    versions = {"fastai": fastai.__version__, "torch": torch.__version__}
    versions |= {"numpy": np.__version__, "python": platform.python_version()}
    return {
        "versions": versions, "vocab": VOCAB, "embedding": EMBEDDING, "hidden": HIDDEN,
        "layers": LAYERS, "classes": CLASSES, "head": HEAD, "pad": PAD, "bptt": BPTT,
        "window": WINDOW, "alpha": ALPHA, "beta": BETA, "batches": BATCHES,
        "old_vocab": OLD_VOCAB, "new_vocab": NEW_VOCAB,
    }  # fmt: skip


def record(folder: Path) -> None:
    """Write both golden files into `folder`."""
    values = language_model() | classifier_logits() | classifier_training()
    values |= vocabulary_transfer() | adam()
    plain = {name: value.contiguous().clone() for name, value in values.items()}
    # One metadata key: the order of several would differ from run to run.
    save_file(plain, folder / "fastai.safetensors", {"settings": json.dumps(_settings())})
    text = json.dumps({"versions": _settings()["versions"], **schedules()}, indent=1)
    (folder / "fastai_schedules.json").write_text(text + "\n", encoding="utf-8")


def compare(new: Path, old: Path) -> None:
    """Raise AssertionError where two recordings differ by more than other hardware explains."""
    name = "fastai.safetensors"
    a, b = load_file(new / name), load_file(old / name)
    assert a.keys() == b.keys(), sorted(a.keys() ^ b.keys())
    torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)
    with safe_open(new / name, "pt") as f, safe_open(old / name, "pt") as g:
        ours, theirs = (json.loads(file.metadata()["settings"]) for file in (f, g))
    both = [json.loads((folder / "fastai_schedules.json").read_text()) for folder in (new, old)]
    for settings in (ours, theirs, *both):
        settings.pop("versions")
    assert ours == theirs, "the settings of the recording changed"
    torch.testing.assert_close(*map(_numbers, both), atol=0, rtol=1e-6)
    print(f"{len(a)} tensors and the schedules agree with the recorded ones")


def _numbers(value: Any) -> list[float]:
    """Every number in a JSON value, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [float(value)] if isinstance(value, (int, float)) else []


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compare", type=Path, nargs=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.compare:
        compare(*options.compare)
    else:
        record(options.out)


if __name__ == "__main__":
    main()
