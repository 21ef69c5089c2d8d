from __future__ import annotations

from tests import tiny
from tests.stages.test_pretrain import settings
from ulmfit.runtime import make_accelerator
from ulmfit.stages import lm_speed
from ulmfit.stages.lm_speed import measure_speed


def test_a_larger_model_is_slower_and_the_measuring_ends() -> None:
    words = tiny.tokenizer()
    train, valid = tiny.corpus(words, 300), tiny.corpus(words, 40, seed=8)
    speeds = [
        measure_speed(
            settings(emb_size=size, hidden_size=size, batch_size=16),
            words.vocab_size,
            train,
            valid,
            make_accelerator(cpu=True),
            seconds=0.0,
        )
        for size in (4, 512)
    ]
    assert speeds[0].training > 2 * speeds[1].training > 0
    assert speeds[0].scoring > speeds[1].scoring > 0
    assert lm_speed.LEAST_STEPS > 0
