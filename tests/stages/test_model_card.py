from __future__ import annotations

from typing import Any

from ulmfit.config import ClassifierConfig, Direction, LMConfig
from ulmfit.settings import ClassifierSettings, RateSettings
from ulmfit.stages.model_card import classifier_card, lm_card

SIZES = LMConfig(vocab_size=30_000)
INFO: dict[str, Any] = {
    "lm": {"corpus": "Wikipedia, 31 M words", "licence": "CC-BY-SA-4.0", "settings": {"epochs": 1}},
    "settings": ClassifierSettings(rates=RateSettings(lr=0.01)).model_dump(),
}
TESTED = {
    "error": 0.0525,
    "valid_loss": 0.1,
    "test_error": 0.06,
    "test_error_interval": [0.042, 0.084],
    "test_macro_f1": 0.931,
    "test_rows": 1500,
    "baseline_error": 0.108,
}


def card(
    metrics: dict[Direction, dict[str, Any]],
    labels: tuple[str, ...] = ("bad", "good"),
    *,
    multi_label: bool = False,
    info: dict[str, Any] | None = None,
) -> str:
    config = ClassifierConfig(lm=SIZES, n_classes=len(labels), multi_label=multi_label)
    return classifier_card(config, list(metrics), labels, INFO if info is None else info, metrics)


def test_classifier_card_says_what_it_is_how_good_and_from_where() -> None:
    text = card({"forward": TESTED, "backward": {"error": 0.06, "valid_loss": 0.2}})
    head, _, body = text.removeprefix("---\n").partition("\n---\n\n")
    assert "license: cc-by-sa-4.0" in head.splitlines()
    assert '    - {"type": "accuracy", "value": 0.94, "name": "accuracy"}' in head.splitlines()
    assert body.startswith("# Text classifier\n\nGives a text one of 2 labels: `bad`, `good`.\n")
    for line in (
        "ULMFiT: a pretrained language model, fine-tuned to classify, forward and backward; "
        "the probabilities of both are averaged.",
        "- test error: 6.00% (1,500 rows, 95 % interval 4.20% to 8.40%, macro F1 0.931)",
        "- test error of the baseline: 10.80%",
        "- forward alone, on rows held out to choose the epoch: 5.25%, loss 0.1000",
        "- backward alone, on rows held out to choose the epoch: 6.00%, loss 0.2000",
        "- vocabulary: 30,000 entries",
        "- layers: embedding of 400, 3 LSTM layers of 1150 (the last one 400)",
        "- corpus: Wikipedia, 31 M words",
        "- licence: CC-BY-SA-4.0",
        "That of the language model it was made from: CC-BY-SA-4.0. The licence of the training "
        "data is",
        "- unfreezing: gradual",
        "- class weights: none",
        "- learning rate: 0.01",
    ):
        assert line in text.splitlines()
    assert text.endswith("All of them are in config.json, under `info`.\n")
    assert "None" not in text


def test_card_is_short() -> None:
    text = card({"forward": TESTED})
    assert len(text.splitlines()) < 90
    assert "averaged" not in text


def test_card_says_what_data_the_model_has_seen() -> None:
    data = {
        "name": "reviews.csv",
        "train_rows": 1000,
        "test_rows": 200,
        "held_out": True,
        "median_words": 18,
        "labels": {"good": 900, "bad": 100},
    }
    lines = card({"forward": {**TESTED, "data": data}}).splitlines()
    for line in (
        "## Data",
        "- training: 1,000 rows from `reviews.csv`",
        "- length: 18 words, median",
        "- the test rows were held out of the same data, labels in proportion",
        "- labels: `good` 900 (90%), `bad` 100 (10%)",
    ):
        assert line in lines
    assert "## Data" not in card({"forward": {**TESTED, "data": "odd"}})
    assert "## Data" not in card({"forward": TESTED})
    many = {"train_rows": 400, "labels": {f"label {i}": 1 for i in range(400)}}
    assert ", and 370 more" in card({"forward": {"data": many}})


def test_card_names_what_it_is_for_and_what_not() -> None:
    text = card({"forward": TESTED})
    for heading in ("Intended use", "Quality", "Use", "Limits", "Licence", "Language model"):
        assert f"\n## {heading}\n" in text
    assert "it was made from, which is not recorded" in card({"forward": {}}, info={})


def test_card_of_a_model_that_was_never_measured() -> None:
    text = card({"forward": {"steps": 12, "seconds": 3}}, info={})
    assert "Not measured while training: too few labelled texts to hold any out." in text
    assert "Settings" not in text


def test_card_of_several_labels() -> None:
    text = card({"forward": {}}, ("a", "b"), multi_label=True)
    assert "Gives a text any number of 2 labels: `a`, `b`." in text


def test_card_of_many_labels_counts_them() -> None:
    text = card({"forward": {}}, tuple(f"class {i}" for i in range(1_000)))
    assert "`class 29`, and 970 more (see config.json)." in text
    assert "class 30" not in text


def test_labels_do_not_break_the_card() -> None:
    text = card({"forward": {}}, ("two\nlines", "tick`s", "*stars*"))
    assert "labels: `two lines`, `` tick`s ``, `*stars*`." in text


def test_a_label_with_backticks_is_no_markup() -> None:
    text = card({"forward": {}}, ("`<img src=x>", "``both``"))
    assert "labels: `` `<img src=x> ``, ``` ``both`` ```." in text


def test_metrics_of_other_types_are_left_out() -> None:
    odd = {"error": "low", "test_error": 0.1, "test_error_interval": ["a", "b"], "test_rows": None}
    assert "- test error: 10.00%\n" in card({"forward": odd})


def test_language_model_card() -> None:
    info = {
        "corpus": "films.txt",
        "tokens_seen": 13_888_000,
        "vocabulary": "word",
        "settings": {"rates": {"lr": 0.003}},
    }
    metrics = {"perplexity": 61.25, "word_perplexity": 104.44444, "bits_per_char": 1.25}
    lines = lm_card(SIZES, "backward", "word", info, metrics).splitlines()
    for line in (
        "# Language model, backward",
        "An AWD-LSTM that reads from right to left and predicts the next token: the start of text "
        "classifiers.",
        "- vocabulary: 30,000 entries (word)",
        "- corpus: films.txt",
        "- tokens seen: 13,888,000",
        "- perplexity per token: 61.25",
        "- perplexity per white-space word: 104.4",
        "- bits per character: 1.25",
        "    ulmfit train DATA --lm THIS_FOLDER",
        "- learning rate: 0.003",
    ):
        assert line in lines
    assert "Not measured" in lm_card(SIZES, "forward", "bpe", {}, {})


def test_card_names_the_member_that_counts_words() -> None:
    metrics = {**TESTED, "members": {"its word counts alone": 0.125, "odd": "?"}}
    config = ClassifierConfig(lm=SIZES, n_classes=2)
    text = classifier_card(config, ["forward"], ("bad", "good"), INFO, {"forward": metrics}, 1234)
    assert "a bag of 1,234 words and word pairs with a linear layer votes too" in text
    assert "- its word counts alone: 12.50%\n" in text
    assert "odd" not in text
    assert "word pairs" not in card({"forward": TESTED})
