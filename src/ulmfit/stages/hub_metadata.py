"""The YAML at the head of a model card, which hubs read: licence, tags, results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Names of licences as the hub spells them; any other is "other", with its name beside it.
_CREATIVE_COMMONS = re.compile(
    r"\bCC[ -](BY(?:-(?:NC|SA|ND))*)[ -](\d\.\d)\b|\bCC0(?:-1\.0)?\b", re.IGNORECASE
)
# "mit" alone is the licence; within a sentence it may be German for "with".
_OTHERS = {
    "apache-2.0": r"(?i:\bapache[ -]2)",
    "mit": r"\bMIT\b|^mit$",
    "bsd-3-clause": r"(?i:\bBSD-3)",
}


def front_matter(labels: int, info: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """The lines between and with the two rules of dashes.

    Each value is JSON, which YAML contains: nothing in it can be mistaken for YAML.

    Args:
        labels: number of classes.
        info: of the model; under "lm" the licence of its language model.
        metrics: of the whole model.
    """
    licence = info.get("lm", {}).get("licence") if isinstance(info.get("lm"), Mapping) else None
    return [
        "---",
        "library_name: ulmfit",
        "pipeline_tag: text-classification",
        'tags: ["ulmfit", "text-classification", "awd-lstm"]',
        *_licence(licence if isinstance(licence, str) else None),
        *_results(labels, metrics),
        "---",
    ]


def hub_licence(text: str) -> str:
    """The hub's name for a licence: "cc-by-sa-3.0" for "CC BY-SA 3.0 (...)", "other" if unknown."""
    found = _CREATIVE_COMMONS.search(text)
    if found is not None:
        return f"cc-{found[1]}-{found[2]}".lower() if found[1] else "cc0-1.0"
    names = (name for name, form in _OTHERS.items() if re.search(form, text))
    return next(names, "other")


def _licence(text: str | None) -> Iterator[str]:
    if text is None:
        return
    name = hub_licence(text)
    yield f"license: {name}"
    if name == "other":
        yield f"license_name: {_json(text)}"


def _results(labels: int, metrics: Mapping[str, Any]) -> Iterator[str]:
    """The results on the test rows, for the hub's table."""
    error, f1 = metrics.get("test_error"), metrics.get("test_macro_f1")
    if not isinstance(error, int | float):
        return
    data = metrics.get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    values = [{"type": "accuracy", "value": round(1 - error, 6), "name": "accuracy"}]
    if isinstance(f1, int | float):
        values.append({"type": "f1", "value": round(f1, 6), "name": "macro F1"})
    yield "model-index:"
    yield f"- name: {_json(f'classifier of {labels} labels')}"
    yield "  results:"
    yield '  - task: {"type": "text-classification", "name": "Text classification"}'
    dataset = {"type": "custom", "name": str(name or "custom"), "split": "test"}
    yield f"    dataset: {_json(dataset)}"
    yield "    metrics:"
    yield from (f"    - {_json(value)}" for value in values)


def _json(value: object) -> str:
    """JSON on one line that is YAML as well: no surrogates, no line separators."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
    escaped = {0x7F: "\\u007f", 0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
    escaped |= {code: f"\\u{code:04x}" for code in range(0x80, 0xA0)}
    return text.translate(escaped)
