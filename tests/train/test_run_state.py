"""The state of a run: what is restored is what was there."""

from __future__ import annotations

import torch

from tests.train.toy_job import Three
from ulmfit.settings import OptimizerSettings
from ulmfit.train.loop import make_optimizer
from ulmfit.train.run_state import RunState


def state_of(kind: str) -> RunState:
    model = Three()
    settings = OptimizerSettings.model_validate({"kind": kind})
    return RunState(model, make_optimizer(model.groups(), settings), torch.device("cpu"))


def test_a_new_object_takes_over() -> None:
    for kind in ("adam", "nt_asgd"):
        first, second = state_of(kind), state_of(kind)
        for part in first.model.parameters():
            part.grad = torch.ones(1)
        first.optimizer.step()
        first.progress.step, first.progress.best = 7, {"valid_loss": 0.1}
        first.carry = {"h": torch.ones(2, 3)}
        if kind == "nt_asgd":
            first.optimizer.losses = [2.0, 1.0]  # type: ignore[attr-defined]
        snapshot = first.snapshot(log_position=12)
        torch.rand(1)  # the run goes on
        if kind == "nt_asgd":
            first.optimizer.losses.append(3.0)  # type: ignore[attr-defined]
            assert snapshot.state["nt_asgd_losses"] == [2.0, 1.0]
        second.restore(snapshot)
        assert torch.equal(second.carry["h"], torch.ones(2, 3))
        again = second.snapshot(log_position=12)
        assert again.state == snapshot.state
        assert all(torch.equal(again.tensors[k], v) for k, v in snapshot.tensors.items())


def test_the_best_weights_are_a_copy() -> None:
    state = state_of("adam")
    state.keep_best()
    with torch.no_grad():
        next(state.model.parameters()).fill_(5.0)
    assert not state.best_weights["parts.0"].any()
