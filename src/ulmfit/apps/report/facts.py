"""What the data are, how the model was made, and what to do next."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from ulmfit.apps.report.figures import count, percent
from ulmfit.apps.report.markup import Markup, excerpt, join, tag
from ulmfit.apps.report.subject import Section, Subject
from ulmfit.data.datasets import Dataset

_MOST_CLASSES = 30
_MOST_SETTINGS = 150
_VALUE_CHARS = 200


def data_summary(subject: Subject) -> Section | None:
    """Rows, lengths and labels of the training and the test data."""
    parts = [("Training", subject.train)]
    if subject.tested is not None:
        parts.append(("Test", subject.tested.dataset))
    found = [(name, part) for name, part in parts if part is not None and len(part)]
    if not found:
        return None
    lead = join([f"Test rows: {subject.origin}."]) if subject.tested is not None else ""
    tables = [_lengths(found), _labels(subject, found)]
    return Section("data", "Data", lead, tag("div", tables, class_="pair"))


def _lengths(parts: list[tuple[str, Dataset]]) -> Markup:
    columns = []
    for _, part in parts:
        words = np.array([len(text.split()) for text in part.texts])
        low, middle, high = np.percentile(words, [5, 50, 95])
        columns.append(
            [part.name, f"{len(part):,}", f"{len(part.classes):,}", f"{middle:,.0f}",
             f"{low:,.0f} to {high:,.0f}", f"{int(words.max()):,}", f"{int(words.sum()):,}"]
        )  # fmt: skip
    names = ("source", "rows", "labels in use", "words, median", "words, 90 % of texts",
             "words, longest", "words in all")  # fmt: skip
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            [tag("td", cell, class_="number loose") for cell in cells],
        )
        for name, *cells in zip(names, *columns, strict=True)
    ]
    head = tag(
        "tr", tag("td"), [tag("th", name, scope="col", class_="number") for name, _ in parts]
    )
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return tag("figure", tag("figcaption", "Texts"), tag("div", table, class_="scroll"))


def _labels(subject: Subject, parts: list[tuple[str, Dataset]]) -> Markup:
    counts = [Counter(_flat(part)) for _, part in parts]
    order = sorted(subject.labels, key=lambda name: -counts[0][name])
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row", dir="auto"),
            [
                _share(found[name], len(part))
                for found, (_, part) in zip(counts, parts, strict=True)
            ],
        )
        for name in order[:_MOST_CLASSES]
    ]
    more = len(order) - _MOST_CLASSES
    note = tag("p", f"and {count(more, 'rarer label')}", class_="note") if more > 0 else None
    head = tag(
        "tr", tag("td"), [tag("th", name, scope="col", class_="number") for name, _ in parts]
    )
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return tag("figure", tag("figcaption", "Labels"), tag("div", table, class_="scroll"), note)


def _share(number: int, rows: int) -> Markup:
    share = number / rows
    shown = tag("span", f"{number:,} ({percent(share)})", class_="gauge", style=f"--s:{share:.3f}")
    return tag("td", shown, class_="number")


def _flat(part: Dataset) -> Iterator[str]:
    labels = part.labels or []
    return chain.from_iterable((label,) if isinstance(label, str) else label for label in labels)


def settings(subject: Subject) -> Section:
    """How the model was made: language model, settings, sizes."""
    first = subject.predictor.members[0]
    info = dict(first.info)
    lm = info.pop("lm", {})
    lm_config = first.config.lm
    about = {
        "directions": ", ".join(member.direction for member in subject.predictor.members),
        "vocabulary": f"{lm_config.vocab_size:,} entries",
        "layers": f"embedding of {lm_config.emb_size}, {lm_config.n_layers} LSTM layers of "
        f"{lm_config.hidden_size}",
    }
    parts = [_described("Model", about)]
    if isinstance(lm, Mapping):
        plain = {key: value for key, value in lm.items() if not isinstance(value, Mapping)}
        parts.append(_described("Language model", plain))
        parts.append(_described("Settings of the language model", lm.get("settings"), closed=True))
    parts.append(_described("Settings of the classifier", info.get("settings"), closed=True))
    lead = "All that decides what training makes of the data. The whole of it is in config.json."
    return Section("settings", "Settings", lead, join(parts))


def _described(title: str, values: Any, *, closed: bool = False) -> Markup:
    """Names with their values; of tables in tables, dotted names."""
    pairs = list(_dotted(values, ""))[:_MOST_SETTINGS] if isinstance(values, Mapping) else []
    if not pairs:
        return Markup()
    listed = tag(
        "dl",
        [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs],
        class_="facts",
    )
    if closed:
        return tag("details", tag("summary", f"{title} ({len(pairs)})"), listed, class_="fold")
    return join([tag("h3", title), listed])


def _dotted(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
            continue
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if isinstance(value, float):
            shown = f"{value:.4g}"
        elif isinstance(value, int) and value >= 10_000:
            shown = f"{value:,}"
        yield f"{prefix}{key}".replace("_", " "), excerpt(shown, _VALUE_CHARS)


def next_steps(subject: Subject) -> Section:
    """Command lines that go on from here."""
    items = [
        tag("li", tag("p", step.what), tag("pre", tag("code", step.command), tabindex="0"))
        for step in subject.steps
    ]
    lead = "Each line works as it stands where FILE is a file of yours."
    return Section("next", "How to go on", lead, tag("ol", items, class_="steps"))
