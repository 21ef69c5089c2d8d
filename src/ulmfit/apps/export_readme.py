"""`README.md` of an exported folder: how to use it, from Python and from any other language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ulmfit.data.rules import SPECIALS

_USE = """\
## In Python

Needs `onnxruntime`, `tokenizers` and `numpy`; no torch.

    from ulmfit.apps.onnx_runtime import OnnxClassifier

    classifier = OnnxClassifier.load("THIS_FOLDER")
    classifier.predict(["a text"]), classifier.predict_proba(["a text"])

or `ulmfit predict THIS_FOLDER FILE`. To avoid installing torch, install ulmfit with `pip install
--no-deps ulmfit` and these three packages.
"""

_LOOP = """\
## In any language

1. Ids: `tokenizer.json` is a file of Hugging Face's `tokenizers`, which has bindings for many
   languages. It holds all the rules, including `xxbos` at the front; add and truncate nothing.
2. For a `backward` graph, reverse the ids of each document.
3. Run the graph chunk by chunk and keep the state; the answer is that of the last chunk:

       remaining = length of each document, in ids
       state = zeros, for every name below
       for start in 0, {chunk}, 2 * {chunk}, ... while any document has ids left:
           outputs = run(tokens = ids[:, start : start + {chunk}], padded on the right with any id,
                         remaining = remaining,
                         **state)
           state = outputs next_h0, next_c0, ... under the names h0, c0, ...
           remaining = remaining - {chunk}
       answer = outputs.probabilities

{after}Rows of documents that have ended (`remaining` of 0 or less) keep their state and answer;
they may stay in the batch or leave it. A document has at least one id.
{chunks}

| input | type | shape | what it is |
|---|---|---|---|
| `tokens` | int64 | batch, time | the next ids of each document |
| `remaining` | int64 | batch | ids of each document from the first of `tokens` on |
{inputs}

| output | type | shape | what it is |
|---|---|---|---|
| `logits` | float32 | batch, {n_classes} | scores before softmax or sigmoid |
| `probabilities` | float32 | batch, {n_classes} | of each class, for the documents up to here |
| `next_...` | float32 | as the input | the state after this chunk |

Batch and time may be any size, also one. The classes, in the order of the columns, are under
`labels` in `config.json`{decide}.
"""

_COUNTING = """\
Add the bag-of-words model, `ngrams.safetensors` with the arrays `keys` (F), `idf` (F),
   `weights` (F, classes) and `bias` (classes). Leave out ids below {specials}: special tokens.
   Terms are each remaining id, with the key `id`, and each pair of ids that are then neighbours,
   with the key `(first + 1) * 2^32 + second`; only those in `keys` count. The value of a term
   that occurs n times is (1 + log n) * idf; divide a document's values by the root of the sum of
   their squares.
   Its scores are `bias` plus the sum over the terms of value * weights. Add {share!r} times
   these to the scores {score} of the graphs; the probabilities are
   {whole}."""

_STATE = {
    "h": "hidden state of layer {}",
    "c": "cell state of layer {}",
    "maximum": "greatest value of each feature so far",
    "total": "sum of each feature so far",
    "n_pooled": "ids in `maximum` and `total`",
}


def export_readme(settings: Mapping[str, Any]) -> str:
    """The README of an exported folder.

    Args:
        settings: its `config.json`.
    """
    sizes, directions = settings["classifier"], settings["directions"]
    graphs = " and ".join(f"`{direction}.onnx`" for direction in directions)
    return "\n".join(
        [
            f"# Text classifier, exported ({settings['precision']})",
            "",
            f"ULMFiT as ONNX: {graphs}, `tokenizer.json`, and `config.json` with the labels.",
            "",
            *_agreement(settings),
            _USE,
            _LOOP.format(
                chunk=sizes["chunk"],
                after=_after(settings),
                chunks=_chunks(settings),
                inputs="\n".join(_inputs(settings["state"])),
                n_classes=sizes["n_classes"],
                decide=_decision(settings),
            ),
        ]
    )


def _after(settings: Mapping[str, Any]) -> str:
    """What is left to do with the probabilities of the graphs."""
    steps = []
    if len(settings["directions"]) > 1:
        steps.append("Average the probabilities of the two graphs.")
    if settings["ngrams"] is not None:
        steps.append(_COUNTING.format(**_counting(settings)))
    temperature = settings["calibration"]["temperature"]
    if temperature != 1:
        power = f"p ^ (1 / {temperature!r})"
        if settings["classifier"]["multi_label"]:
            whole = f"{power} / ({power} + (1 - p) ^ (1 / {temperature!r}))"
            steps.append(f"Calibrate each probability p: {whole}.")
        else:
            steps.append(
                f"Calibrate: take {power} of each probability p,\n"
                "   and divide the results of a document by their sum."
            )
    numbered = [f"{number}. {step}" for number, step in enumerate(steps, start=4)]
    return "".join(f"{step}\n" for step in numbered) + ("\n" if steps else "")


def _counting(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `_COUNTING` says of this model."""
    several = settings["classifier"]["multi_label"]
    return {
        "share": settings["ngrams"]["share"],
        "specials": len(SPECIALS),
        "score": "log(p / (1 - p))" if several else "log p",
        "whole": "1 / (1 + exp(-s)) of each" if several else "the softmax of these sums",
    }


def _chunks(settings: Mapping[str, Any]) -> str:
    if settings["classifier"]["pool_tokens"] is not None:
        return "The chunk's size is part of the model: it pools over whole chunks."
    same = "the same" if settings["precision"] == "fp32" else "nearly the same"
    return f"A chunk may be of any size: the answer is {same}."


def _agreement(settings: Mapping[str, Any]) -> list[str]:
    found = settings["agreement"]
    lines = [
        f"Checked against torch on {found['texts']} texts: probabilities differ by at most "
        f"{found['largest']:.2g}, {found['mean']:.2g} on average; "
        f"{found['same_label']:.1%} have the same label.",
        "",
    ]
    if settings["precision"] == "int8":
        lines += [
            "The weights are in eight bits. In the LSTMs the activations are too, by a scale that",
            "onnxruntime finds for each batch anew: the same text in another batch gets a slightly",
            "different answer.",
            "",
        ]
    return lines


def _inputs(state: Mapping[str, int]) -> list[str]:
    lines = []
    for name, size in state.items():
        layer = name[1:] if name[1:].isdigit() else ""
        meaning = _STATE[name[0] if layer else name].format(int(layer) + 1 if layer else "")
        lines.append(f"| `{name}` | float32 | batch, {size} | {meaning} |")
    return lines


def _decision(settings: Mapping[str, Any]) -> str:
    if settings["classifier"]["multi_label"]:
        return f"; a text has those with a probability above {settings['threshold']:g}"
    return "; a text has the most probable one"
