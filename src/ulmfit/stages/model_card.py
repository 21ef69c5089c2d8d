"""`README.md` of a model folder: what the model is, how good, how to use it, where it is from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ulmfit.config import ClassifierConfig, Direction, LMConfig
from ulmfit.stages.hub_metadata import front_matter

_MOST_CLASSES = 30  # named in a card; the rest is counted
_ALL_SETTINGS = "All of them are in config.json, under `info`."
_INTENDED = (
    "Texts like those it was trained on, where a wrong label now and then does no harm or somebody",
    "looks at the unsure ones. It knows no other labels than these: a text that fits none of them",
    "gets one all the same.",
)
_LIMITS = (
    "- What the training data lack, the model does not know: other topics, languages, years. The",
    "  error above holds for texts drawn like the test rows.",
    "- It repeats what is one-sided in the texts it learnt and in their labels.",
    "- `log.jsonl` and `metrics.json` hold numbers and names of labels; the vocabulary in",
    "  `tokenizer.json` holds words of the texts.",
)
_USE = (
    "    from ulmfit import TextClassifier",
    '    classifier = TextClassifier.load("THIS_FOLDER")',
    '    classifier.predict(["a text"]), classifier.predict_proba(["a text"])',
    "",
    "or `ulmfit predict THIS_FOLDER FILE`. `--min-confidence P` gives no label where the model is",
    "less sure, and `ulmfit evaluate` says on labelled texts of yours what that leaves; `ulmfit",
    "explain` shows which words an answer comes from.",
)
# In the metrics: how many texts without labels a second round had.
ANSWERED = "second_round_unlabeled"
_READING = {"forward": "from left to right", "backward": "from right to left"}

_COUNTING = (
    "Beside the language model a bag of {:,} words and word pairs with a linear layer votes too "
    "(`ngrams.safetensors`)."
)


def lm_card(
    config: LMConfig,
    direction: Direction,
    vocabulary: str,
    info: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> str:
    """The card of a language model.

    Args:
        config: sizes.
        direction: reading order.
        vocabulary: kind of its entries: word, bpe or unigram.
        info: where it comes from.
        metrics: what it scored.
    """
    return "\n".join(
        [
            f"# Language model, {direction}",
            "",
            f"An AWD-LSTM that reads {_READING[direction]} and predicts the next token: the start "
            "of text classifiers.",
            "",
            f"- vocabulary: {config.vocab_size:,} entries ({vocabulary})",
            f"- layers: {layers_text(config)}",
            "",
            "## Corpus",
            "",
            *(_origin(info) or ["Nothing is known of it."]),
            "",
            "It is good for text like this, and brings the views, the names and the gaps of this "
            "text along. It knows no other language, and nothing later.",
            "",
            "## Quality",
            "",
            *(_lm_quality(metrics) or ["Not measured: too little text to hold any of it out."]),
            *_lm_scores(metrics),
            "",
            "## Use",
            "",
            "    ulmfit train DATA --lm THIS_FOLDER",
            "",
            *_settings(info, _number(metrics, "passes")),
        ]
    )


def classifier_card(
    config: ClassifierConfig,
    directions: Sequence[Direction],
    labels: Sequence[str],
    info: Mapping[str, Any],
    metrics: Mapping[Direction, Mapping[str, Any]],
    terms: int | None = None,
) -> str:
    """The card of a classifier.

    Args:
        config: sizes.
        directions: of its members.
        labels: names of the classes.
        info: settings, and under "lm" where the language model comes from.
        metrics: what each member scored; those of the whole are with the first.
        terms: words and pairs that its member which counts words knows; None: it has none.
    """
    quality = [line for direction in directions for line in _member(direction, metrics[direction])]
    whole = metrics[directions[0]]
    return "\n".join(
        [
            *front_matter(len(labels), info, whole),
            "",
            "# Text classifier",
            "",
            *_what_it_is(config, directions, labels, terms),
            "",
            "## Intended use",
            "",
            *_INTENDED,
            "",
            *_data(whole.get("data"), _number(whole, ANSWERED)),
            "## Quality",
            "",
            *_tested(whole),
            *(quality or ["Not measured while training: too few labelled texts to hold any out."]),
            *_calibration(metrics[directions[0]]),
            "",
            "## Use",
            "",
            *_USE,
            "",
            "## Limits",
            "",
            *_LIMITS,
            "",
            "## Licence",
            "",
            *_licence(info.get("lm")),
            "",
            "## Language model",
            "",
            f"- vocabulary: {config.lm.vocab_size:,} entries",
            f"- layers: {layers_text(config.lm)}",
            *_origin(lm if isinstance(lm := info.get("lm"), Mapping) else {}),
            "",
            *_settings(info),
        ]
    )


def _what_it_is(
    config: ClassifierConfig,
    directions: Sequence[Direction],
    labels: Sequence[str],
    terms: int | None,
) -> list[str]:
    names = [_code(label) for label in labels[:_MOST_CLASSES]]
    if len(labels) > len(names):
        names.append(f"and {len(labels) - len(names)} more (see config.json)")
    does = "Gives a text any number of" if config.multi_label else "Gives a text one of"
    two = "; the probabilities of both are averaged" if len(directions) > 1 else ""
    return [
        f"{does} {len(labels)} labels: {', '.join(names)}.",
        "",
        "ULMFiT: a pretrained language model, fine-tuned to classify, "
        f"{' and '.join(directions)}{two}.",
        *([] if terms is None else ["", _COUNTING.format(terms)]),
    ]


def _data(data: Any, answered: float | None) -> list[str]:
    """The rows behind the model, as far as they are known.

    Args:
        data: facts of the labelled rows.
        answered: texts without labels in the second round; None: there was none.
    """
    data = data if isinstance(data, Mapping) else {}
    rows, words = _number(data, "train_rows"), _number(data, "median_words")
    name = f" from {_code(str(data['name']))}" if data.get("name") else ""
    lines = [f"- training: {rows:,.0f} rows{name}"] if rows is not None else []
    if words is not None:
        lines.append(f"- length: {words:,.0f} words, median")
    if answered is not None:
        lines.append(
            f"- second round: also texts without labels ({answered:,.0f}), with the probabilities "
            "that a first round gave them"
        )
    if data.get("held_out"):
        lines.append("- the test rows were held out of the same data, labels in proportion")
    labels = data.get("labels")
    if isinstance(labels, Mapping) and rows:
        shown = [
            f"{_code(str(label))} {count:,} ({count / rows:.0%})"
            for label, count in list(labels.items())[:_MOST_CLASSES]
            if isinstance(count, int)
        ]
        more = len(labels) - len(shown)
        lines.append(f"- labels: {', '.join(shown)}{f', and {more} more' if more > 0 else ''}")
    return ["## Data", "", *lines, ""] if lines else []


def _licence(lm: Any) -> list[str]:
    licence = lm.get("licence") if isinstance(lm, Mapping) else None
    known = f": {licence}" if isinstance(licence, str) else ", which is not recorded"
    return [
        f"That of the language model it was made from{known}. The licence of the training data is",
        "for whoever shares this model to add.",
    ]


def layers_text(config: LMConfig) -> str:
    """Sizes of the layers, in words."""
    return (
        f"embedding of {config.emb_size}, {config.n_layers} LSTM layers of {config.hidden_size} "
        f"(the last one {config.emb_size})"
    )


def _origin(info: Mapping[str, Any]) -> list[str]:
    """What is known of the corpus: plain facts only, no tables of settings."""
    lines = []
    for key, value in info.items():
        if isinstance(value, str | int | float) and key != "vocabulary":
            shown = value if isinstance(value, str | bool) else f"{value:,}"
            lines.append(f"- {key.replace('_', ' ')}: {shown}")
    return lines


def _lm_quality(metrics: Mapping[str, Any]) -> list[str]:
    names = {
        "perplexity": "perplexity per token",
        "word_perplexity": "perplexity per white-space word",
        "bits_per_char": "bits per character",
    }
    found = {name: _number(metrics, key) for key, name in names.items()}
    return [f"- {name}: {value:.4g}" for name, value in found.items() if value is not None]


def _lm_scores(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Perplexities on texts that `ulmfit evaluate-lm --record` scored."""
    scores = metrics.get("scores")
    for name, figures in scores.items() if isinstance(scores, Mapping) else ():
        if isinstance(figures, Mapping):
            yield f"- {name}: {score_text(figures)}"


def score_text(figures: Mapping[str, Any]) -> str:
    """What `evaluate-lm --record` found on a text, in one line."""
    word, bits = (_number(figures, f"spelled_{k}") for k in ("word_perplexity", "bits_per_char"))
    documents = _number(figures, "documents")
    said = "" if documents is None else f" ({documents:,.0f} documents)"
    if word is not None:
        return f"perplexity {word:,.1f} per word, unknown words spelled{said}"
    return "not measured" if bits is None else f"{bits:.3f} bits per character{said}"


def _tested(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Errors on test rows, of the whole model and of what it was compared with."""
    for key, name in (("test", "test error"), ("baseline", "test error of the baseline")):
        error, rows = _number(metrics, f"{key}_error"), _number(metrics, f"{key}_rows")
        if error is None:
            continue
        facts = [f"{rows:,.0f} rows"] if rows is not None else []
        ends = metrics.get(f"{key}_error_interval")
        if isinstance(ends, list | tuple) and all(isinstance(end, float) for end in ends):
            facts.append(f"95 % interval {' to '.join(f'{end:.2%}' for end in ends)}")
        f1 = _number(metrics, f"{key}_macro_f1")
        if f1 is not None:
            facts.append(f"macro F1 {f1:.3f}")
        yield f"- {name}: {error:.2%}" + (f" ({', '.join(facts)})" if facts else "")
    found = metrics.get("members")
    alone: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    for name in alone:
        if (error := _number(alone, name)) is not None:
            yield f"- {name}: {error:.2%}"


def _member(direction: Direction, metrics: Mapping[str, Any]) -> Iterator[str]:
    error, loss = _number(metrics, "error"), _number(metrics, "valid_loss")
    if error is not None:
        beside = "" if loss is None else f", loss {loss:.4f}"
        yield f"- {direction} alone, on rows held out to choose the epoch: {error:.2%}{beside}"


def _calibration(metrics: Mapping[str, Any]) -> Iterator[str]:
    """How far the probabilities can be relied on."""
    record = metrics.get("calibration")
    if isinstance(record, Mapping) and (temperature := _number(record, "temperature")) is not None:
        yield f"- probabilities calibrated on held-out rows: temperature {temperature:.2f}"
    else:
        yield "- probabilities not calibrated: no rows were held out to do so"
    if (ece := _number(metrics, "test_ece")) is not None:
        yield f"- expected calibration error on the test rows (15 bins): {ece:.2%}"


def _number(metrics: Mapping[str, Any], key: str) -> float | None:
    value = metrics.get(key)
    return float(value) if isinstance(value, int | float) else None


def _settings(info: Mapping[str, Any], passes: float | None = None) -> list[str]:
    """The settings in short; where it is known, of the epochs how many there were."""
    settings = info.get("settings")
    if not isinstance(settings, Mapping):
        return []
    if passes is not None:
        settings = {**settings, "epochs": f"{passes:g}"}
    shown = [
        f"{name.replace('_', ' ')}: {settings[name]}"
        for name in ("epochs", "batch_size", "unfreezing", "class_weights")
        if name in settings
    ]
    rates = settings.get("rates")
    if isinstance(rates, Mapping) and (rate := _number(rates, "lr")) is not None:
        shown.append(f"learning rate: {rate:g}")
    return ["## Settings", "", *(f"- {line}" for line in shown), "", _ALL_SETTINGS, ""]


def _code(label: str) -> str:
    """A label as Markdown shows it letter by letter: fenced by more backticks than it has in a row.

    No label becomes markup of the page that shows the card.
    """
    shown = " ".join(label.split())
    if "`" not in shown:
        return f"`{shown}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", shown))))
    return f"{fence} {shown} {fence}"
