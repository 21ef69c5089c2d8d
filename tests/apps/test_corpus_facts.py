from __future__ import annotations

from tests import tiny
from ulmfit.apps.corpus_facts import measure_corpus, unknown_share

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
