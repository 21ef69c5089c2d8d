"""The two sides do the same work: the same weights give the same answers in both."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.processes import Worker

TOLERANCE = 1e-4


def check_answers(ours: Worker, peer: Worker, size: str) -> dict[str, Any]:
    """Compare logits of documents, the loss of a window, and the ids of texts.

    Returns:
        JSON value: largest differences, how far apart the logits of the documents are, and the
        share of texts of which both make the same ids.

    Raises:
        ValueError: the answers differ by more than `TOLERANCE`, so that no time is comparable.
    """
    a, b = (np.array(side.ask("logits", size=size)["logits"]) for side in (ours, peer))
    losses = [side.ask("lm_loss", size=size)["loss"] for side in (ours, peer)]
    ids = [side.ask("tokens", size=size)["ids"] for side in (ours, peer)]
    apart = float(np.abs(a - b).max())
    found = {
        "size": size,
        "documents": len(a),
        "logits_differ_by": apart,
        "logits_spread": float(a.std(axis=0).max()),
        "lm_losses": losses,
        "same_ids": float(np.mean([x == y for x, y in zip(*ids, strict=True)])),
    }
    for name, difference in (
        ("logits", apart),
        ("language model losses", abs(losses[0] - losses[1])),
    ):
        if not difference <= TOLERANCE:
            raise ValueError(
                f"{name} of the two sides differ by {difference:.2g}, expected at most "
                f"{TOLERANCE:.0e}: they do not do the same work"
            )
    return found
