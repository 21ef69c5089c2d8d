from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from ulmfit.apps.corpus_facts import measure_corpus, unknown_share
from ulmfit.apps.pretrain_plan import MOST_UNKNOWN
from ulmfit.data.streams import iter_texts

TEXTS = tiny.labelled_texts(50)[0]


def test_counts_and_a_checksum_that_sees_every_change() -> None:
    facts = measure_corpus(lambda: ["one two", "drei\nvier  fünf"])
    assert (facts.documents, facts.words, facts.chars) == (2, 5, 22)
    others = (["one two"], ["one tw", "odrei\nvier  fünf"], ["drei\nvier  fünf", "one two"])
    digests = {measure_corpus(lambda texts=texts: texts).sha256 for texts in others}  # type: ignore[misc]
    assert len({facts.sha256, *digests}) == 4
    assert measure_corpus(lambda: iter(["one two", "drei\nvier  fünf"])) == facts
    assert facts.to_dict()["documents"] == 2


def test_words_that_come_again_are_known_and_glued_ones_are_not() -> None:
    assert unknown_share(lambda: TEXTS) == 0.0
    letters = ["".join(chr(97 + int(d) % 26) for d in str(i * 7919)) for i in range(400)]
    assert unknown_share(lambda: letters) > 0.9
    assert unknown_share(lambda: []) == 0.0


def zipf_texts(n_words: int, power: float) -> list[str]:
    """Texts of a hundred words of a language whose vocabulary has no end."""
    ranks = np.random.default_rng(0).zipf(power, n_words)
    letters = str.maketrans("0123456789", "abcdefghij")
    words = [f"q{rank}".translate(letters) for rank in ranks]
    return [" ".join(words[start : start + 100]) for start in range(0, n_words, 100)]


def test_a_short_text_does_not_pass_for_another_kind_of_language() -> None:
    shares = [unknown_share(lambda n=n: zipf_texts(n, 1.5)) for n in (20_000, 200_000)]  # type: ignore[misc]
    assert shares[0] == pytest.approx(shares[1], rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "glued"), [("general_en", False), ("general_ko", True)])
@pytest.mark.parametrize("documents", [40, 400])
def test_english_takes_words_and_korean_subwords(
    shared_data: Callable[[str], Path], name: str, glued: bool, documents: int
) -> None:
    path = shared_data(name) / "train.parquet"
    texts = list(islice(iter_texts(path), documents))
    assert (unknown_share(lambda: texts) > MOST_UNKNOWN) == glued
