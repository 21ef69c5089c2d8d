"""ULMFiT: language-model pretraining and fine-tuning for text classification.

``from ulmfit import TextClassifier`` is the whole interface most people need. Importing the
package itself is cheap: torch is imported with the first name that needs it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# Torch asks once, at its first allocation, whether large blocks may use huge pages. On Linux they
# make training 1.2 to 1.6 times as fast on a CPU (docs/log.md, "where does a training step of a
# small LM spend its time on a CPU?"): most tensors of a step are fresh memory, and faulting it in
# page by page costs a fifth of the time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from ulmfit.apps.text_classifier import TextClassifier

    __version__: str

__all__ = ["TextClassifier", "__version__"]


if not TYPE_CHECKING:  # type checkers see the names above, and no others

    def __getattr__(name: str) -> object:
        """Import ``TextClassifier`` and look up ``__version__`` only when somebody asks."""
        if name == "TextClassifier":
            from ulmfit.apps.text_classifier import TextClassifier

            return TextClassifier
        if name == "__version__":
            from importlib.metadata import version

            return version("ulmfit")
        raise AttributeError(f"module 'ulmfit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
