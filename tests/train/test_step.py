"""One step: what it changes, and what it leaves as it was."""

from __future__ import annotations

import math

import pytest
import torch

from tests.train.toy_job import SGD, Number, Three, ToyLoss
from ulmfit.runtime import make_accelerator
from ulmfit.train.loop import Carry, StepResult, make_optimizer
from ulmfit.train.recovery import NotFinite
from ulmfit.train.step import train_step


def step(model: Three, batch: Number, clip: float | None = None) -> tuple[float, int]:
    optimizer = make_optimizer(model.groups(), SGD)
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    parameters = [*model.parameters()]
    carry, metric, n_items = train_step(
        ToyLoss(model, None), batch, {}, parameters, optimizer, make_accelerator(cpu=True), clip
    )
    assert float(carry["seen"]) == 1
    assert all(parameter.grad is None for parameter in parameters)
    return metric, n_items


def test_the_weights_go_down_the_gradient() -> None:
    model = Three()
    assert step(model, Number(2.0)) == (0.0, 2)
    assert model.values() == [-2.0] * 3
    assert step(model, Number(1.0))[0] == -6.0


def test_a_long_gradient_is_cut_to_the_norm_and_a_short_one_is_not() -> None:
    model = Three()
    step(model, Number(2.0), clip=0.5)
    assert model.values() == pytest.approx([-0.5 / math.sqrt(3)] * 3, rel=1e-5)
    model = Three()
    step(model, Number(2.0), clip=100.0)
    assert model.values() == [-2.0] * 3


def test_the_forward_pass_has_the_precision_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulmfit.runtime.cpu_runs_bf16", lambda: True)  # nothing is multiplied
    seen: list[bool] = []

    def look(model: Three, result: StepResult, carry: Carry) -> None:
        seen.append(torch.is_autocast_enabled("cpu"))

    for precision in ("float32", "bf16"):
        model = Three()
        optimizer = make_optimizer(model.groups(), SGD)
        accelerator = make_accelerator(precision, cpu=True)
        loss = ToyLoss(model, look)
        train_step(loss, Number(), {}, [*model.parameters()], optimizer, accelerator, None)
    assert seen == [False, True]


def test_a_loss_that_is_no_number_leaves_the_weights_alone() -> None:
    model = Three()
    with torch.no_grad():
        model.parts[0].fill_(1.0)
    with pytest.raises(NotFinite, match=r"^loss is nan$"):
        step(model, Number(math.nan))
    assert model.values() == [1.0, 0.0, 0.0]
