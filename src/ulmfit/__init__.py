"""ULMFiT: language-model pretraining and fine-tuning for text classification.

``from ulmfit import TextClassifier`` is the whole interface most people need. Importing the
package itself is cheap: torch is imported with the first name that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
