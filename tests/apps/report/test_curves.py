from __future__ import annotations

from ulmfit.apps.report.curves import read_curves

LOG = b"""{"stage": "forward/lm", "step": 5, "train_loss": 3.0, "valid_loss": 2.5}
{"stage": "forward/lm", "step": 10, "train_loss": 2.0, "valid_loss": 2.25}
{"stage": "backward/classifier", "step": 4, "train_loss": 0.7, "valid_loss": 0.5, "error": 0.25}
{"stage": "backward/classifier", "step": 8, "train_loss": 0.2, "valid_loss": 0.6, "error": 0.2}
"""


def test_a_curve_for_each_stage_in_order() -> None:
    lm, classifier = read_curves(LOG)
    assert (lm.title, classifier.title) == ("Forward language model", "Backward classifier")
    assert list(lm.train_loss) == [(5, 3.0), (10, 2.0)]
    assert not lm.valid_error
    assert list(classifier.valid_error) == [(4, 0.25), (8, 0.2)]
    assert (lm.best_step, classifier.best_step) == (10, 8)


def test_what_is_no_record_is_passed_over() -> None:
    log = (
        b'note\n[1]\n{"stage": "a", "step": "x"}\n\xff\n'
        + LOG
        + b'{"step": 3, "train_loss": NaN}\n'
    )
    assert [curve.stage for curve in read_curves(log)] == ["forward/lm", "backward/classifier", ""]
    assert not read_curves(log)[-1].train_loss
    assert read_curves(b"") == []


def test_without_held_out_rows_nothing_is_best() -> None:
    (curve,) = read_curves(b'{"stage": "forward/lm", "step": 5, "train_loss": 3.0}')
    assert curve.best_step is None


def test_the_forward_direction_comes_first_whoever_logged_first() -> None:
    again = "self-training/{}/classifier".format
    stages = (
        *("backward/lm", "forward/lm", "forward/classifier", "backward/classifier"),
        *(again("backward"), again("forward")),
    )
    log = b"\n".join(b'{"stage": "%s", "step": 5}' % stage.encode() for stage in stages)
    assert [curve.stage for curve in read_curves(log)] == [
        "forward/lm",
        "backward/lm",
        "forward/classifier",
        "backward/classifier",
        again("forward"),
        again("backward"),
    ]
    assert read_curves(log)[-1].title == "Backward classifier, second round"
