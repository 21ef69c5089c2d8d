from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_goes_on_encoding() -> None:
    script = """
import os, threading, time
from ulmfit.data.tokenizer import Tokenizer

texts = [f"word{i} other{i % 7}" for i in range(20000)]
tokenizer = Tokenizer.train(texts, min_freq=1)
expected = [ids.tolist() for ids in tokenizer.encode_batch(texts[:50])]
busy = threading.Thread(target=tokenizer.encode_batch, args=(texts,))
busy.start()
time.sleep(0.01)  # the fork happens while the other thread holds the lock
child = os.fork()
if child == 0:
    got = [ids.tolist() for ids in tokenizer.encode_batch(texts[:50])]
    os._exit(0 if got == expected else 3)
busy.join()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=120, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_training_and_encoding_never_import_torch() -> None:
    script = (
        "import sys; from ulmfit.data.tokenizer import Tokenizer; import ulmfit.data.corpus; "
        "Tokenizer.train(['a b'], min_freq=1).encode('a'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
