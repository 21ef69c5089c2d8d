from __future__ import annotations

from pathlib import Path

import pytest

from tests.displays import Notes
from tests.experiments.conftest import experiment, result
from ulmfit.errors import InputError, SettingsError
from ulmfit.experiments import reproduce as module
from ulmfit.experiments.recipes import Scale, Variant, read_scale
from ulmfit.experiments.reproduce import Request, make_plans, reproduce, status
from ulmfit.train.tracker import Silent

ULMFIT = Variant(name="ULMFiT")
OWN = """
order = 1
title = "own"
section = "ours"
question = "q"
metric = "test"
datasets = ["trec6"]
reference = "tfidf"
[[variants]]
name = "tfidf"
method = "tfidf"
"""


def request(folder: Path, *names: str, **changes: object) -> Request:
    fields = {
        "scale": "smoke",
        "results": folder / "r.jsonl",
        "work": folder / "work",
        "command": "ulmfit reproduce",
        "device": "cpu",
        **changes,
    }
    return Request(names, **fields)  # type: ignore[arg-type]


def test_from_a_file_to_results(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN, "utf-8")
    (found,) = reproduce(request(tmp_path, str(tmp_path / "own.toml")), Silent())
    assert (found.experiment, found.rows, found.train_rows) == ("own", 60, 108)
    assert found.lm is None
    assert (tmp_path / "r.jsonl").read_text("utf-8").count("\n") == 1


def test_what_cannot_be_run_is_skipped_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "missing", lambda: ["sentence-transformers"])
    own = experiment(
        Variant(name="words", method="tfidf"),
        Variant(name="embeddings", method="sentence-embeddings"),
        datasets=("trec6", "imdb"),
    )
    display = Notes()
    scale = read_scale("cpu")
    plans = make_plans([own], scale, request(tmp_path), {}, display)
    assert [(plan.cell.dataset, plan.cell.variant) for plan in plans] == [("trec6", "words")]
    assert display.lines == [
        "skipped embeddings: sentence-transformers not installed "
        "(pip install 'ulmfit[embeddings]')",
        "skipped imdb: there is no such folder in --data-dir",
    ]


def test_what_leaves_nothing_to_run_is_refused(tmp_path: Path) -> None:
    """It ended well, without a word, and nothing was run."""
    own = experiment(ULMFIT, low_shot=True, datasets=("trec6", "imdb"))
    cpu = read_scale("cpu")
    for options in ({"datasets": ("imbd",)}, {"labels": (77,)}):
        with pytest.raises(SettingsError) as caught:
            make_plans([own], cpu, request(tmp_path, "own", **options), {}, Silent())
        assert str(caught.value) == (
            "no cell of own at scale cpu is left: expected --dataset to be one of trec6, imdb, and "
            "--labels one of 100, 200, 500, 1000, 2000, all."
        )
    display = Notes()
    with pytest.raises(InputError, match="nothing can be run: imdb: there is no such folder"):
        make_plans([own], cpu, request(tmp_path, "own", datasets=("imdb",)), {}, display)
    assert display.lines == ["skipped imdb: there is no such folder in --data-dir"]


def test_rows_without_pretraining_do_not_wait_for_its_text(tmp_path: Path) -> None:
    rows = [Variant(name="scratch", lm="random"), Variant(name="words", method="tfidf"), ULMFIT]
    display = Notes()
    plans = make_plans(
        [experiment(*rows)], read_scale("full"), request(tmp_path, seeds=1), {}, display
    )
    assert [plan.variant.name for plan in plans] == ["scratch", "words"]
    assert display.lines == [
        "skipped rows with pretraining on wikitext103: there is no such folder in --data-dir; "
        "--lm takes a pretrained language model"
    ]


def test_status_counts_cells_and_reckons_what_is_left(scale: Scale) -> None:
    cpu = read_scale("cpu")
    done = [result("freez + discr + stlr", n) for n in range(3)]
    found = {entry.experiment.name: entry for entry in status(cpu, 3, done)}
    assert (found["table7"].done, found["table7"].cells) == (3, 90)
    assert found["table7"].seconds == 180
    assert found["table7"].seconds_left is None, "nothing is known of other data sets"
    few = cpu.model_copy(update={"datasets": {"trec6": cpu.datasets["trec6"]}})
    left = {entry.experiment.name: entry for entry in status(few, 3, done)}["table7"]
    assert (left.cells, left.seconds_left) == (30, 27 * 60.0)
    assert found["table2"].done == 0
