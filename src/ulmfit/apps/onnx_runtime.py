"""An exported classifier in use: onnxruntime, tokenizers and numpy are all it needs, no torch.

::

    from ulmfit.apps.onnx_runtime import OnnxClassifier

    classifier = OnnxClassifier.load("exported/")
    classifier.predict(["What a film!"]), classifier.predict_proba(["What a film!"])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ulmfit.apps.decisions import most_probable, require_confidence, with_abstention
from ulmfit.apps.onnx_folder import OnnxSettings, read_settings
from ulmfit.apps.text_blocks import text_blocks
from ulmfit.artifacts import NGRAMS, TOKENIZER, FolderContents, read_folder
from ulmfit.data.batches import backwards, length_groups, pad
from ulmfit.data.tokenizer import Tokenizer
from ulmfit.errors import ModelFolderError, SettingsError
from ulmfit.runtime import cpu_count
from ulmfit.stages.ensemble import average_scores, probabilities
from ulmfit.stages.ngrams import NGrams, blend, told_apart

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Probabilities = NDArray[np.float32]

# Tokens in one call of the graph: 64 documents of 70 tokens, as in training. In layers of 1,150
# units, the products of all their gates take 80 MB.
STEP_TOKENS = 4_480
# A document alone goes in longer chunks, as in `train.evaluate`: fewer calls, the same answer.
ALONE_CHUNK = 512

_COPY_AGAIN = "Copy the whole folder again from where it came from, or export again."


class OnnxClassifier:
    """The classifier in an exported folder; answers as `Predictor` does.

    Answers do not depend on which texts are asked for together: within 1e-5 in fp32. In int8 the
    runtime chooses the scale of the activations by the batch, so that they may differ by as much as
    int8 differs from fp32. Several threads may ask at once.

    Args:
        contents: the folder, as `artifacts.read_folder` gives it.
        threads: CPU threads; None for all processors.

    Raises:
        ModelFolderError: it is not an exported classifier, or its files do not fit together.
        SettingsError: onnxruntime is not installed.
    """

    def __init__(self, contents: FolderContents, threads: int | None = None) -> None:
        self.settings = read_settings(contents)
        self.min_confidence: float | None = None  # `abstaining` sets it, on its copy
        self._tokenizer = _read_tokenizer(contents)
        self._sessions = {
            direction: _session(contents, f"{direction}.onnx", self.settings, threads)
            for direction in self.settings.directions
        }
        self._ngrams = _read_ngrams(contents, self.settings)

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None) -> OnnxClassifier:
        """Read and verify an exported folder; see the class for arguments and errors."""
        return cls(read_folder(Path(path)), threads)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of `predict_proba`."""
        return self.settings.labels

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""
        return self.settings.multi_label

    def predict(self, texts: Iterable[str]) -> list[str] | list[tuple[str, ...]]:
        """The label of each text, in order; a tuple of labels each where there may be several."""
        return self.decide(self.predict_proba(texts))

    def predict_proba(self, texts: Iterable[str]) -> Probabilities:
        """Probability of each class, (N, C): rows add up to one unless multi-label.

        Raises:
            InputError: one bare string, or a text that is no string.
        """
        blocks = list(self.stream(texts))
        return np.concatenate(blocks) if blocks else np.zeros((0, len(self.labels)), np.float32)

    def stream(self, texts: Iterable[str]) -> Iterator[Probabilities]:
        """`predict_proba` block by block, for inputs that do not fit in memory."""
        return map(self._predict_block, text_blocks(texts))

    def members_alone(
        self, texts: Sequence[str], probabilities: Probabilities
    ) -> dict[str, Probabilities]:
        """As `Predictor.members_alone`."""
        if self._ngrams is None or not texts:
            return {}
        documents, settings = self._tokenizer.encode_batch(texts), self.settings
        return told_apart(
            probabilities,
            self._ngrams,
            documents,
            settings.temperature,
            multi_label=settings.multi_label,
        )

    def decide(self, probabilities: Probabilities) -> list[str] | list[tuple[str, ...]]:
        """The most probable class of each row; for multi-label all classes over the threshold."""
        return most_probable(
            probabilities,
            self.labels,
            multi_label=self.multi_label,
            threshold=self.settings.threshold,
        )

    def answers(
        self, probabilities: Probabilities
    ) -> Sequence[str | None] | Sequence[tuple[str, ...] | None]:
        """`decide`, with None for rows that are less sure than `abstaining` asks for."""
        return with_abstention(
            self.decide(probabilities),
            probabilities,
            self.min_confidence,
            multi_label=self.multi_label,
        )

    def abstaining(self, min_confidence: float | None) -> OnnxClassifier:
        """The same classifier, whose `answers` leave out what is less sure; None: answer all.

        Raises:
            SettingsError: no probability.
        """
        require_confidence(min_confidence)
        same = copy(self)  # the sessions are shared
        same.min_confidence = min_confidence
        return same

    def predict_documents(self, documents: Sequence[NDArray[np.integer]]) -> Probabilities:
        """Probabilities of documents that are token ids, each of at least one, (N, C)."""
        logits = [
            self._run(session, backwards(documents) if name == "backward" else documents)
            for name, session in self._sessions.items()
        ]
        scores = average_scores(logits, multi_label=self.multi_label)
        if self._ngrams is not None:
            scores = blend(scores, self._ngrams, documents, multi_label=self.multi_label)
        temperature = self.settings.temperature
        return probabilities(scores, multi_label=self.multi_label, temperature=temperature)

    def _predict_block(self, texts: Sequence[str]) -> Probabilities:
        return self.predict_documents(self._tokenizer.encode_batch(texts))

    def _run(
        self, session: InferenceSession, documents: Sequence[NDArray[np.integer]]
    ) -> NDArray[np.float32]:
        """One direction's logits, (N, C), in the order of the documents."""
        answers = np.empty((len(documents), len(self.labels)), dtype=np.float32)
        lengths = np.array([len(document) for document in documents], dtype=np.int64)
        for rows in length_groups(lengths, STEP_TOKENS, chunk=self.settings.chunk):
            batch = pad(documents, rows)
            answers[rows] = self._run_group(session, batch.tokens, batch.lengths)
        return answers

    def _run_group(
        self, session: InferenceSession, tokens: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Logits of documents side by side, the longest first: chunk by chunk.

        Rows whose document has ended leave the batch.
        """
        settings = self.settings
        alone = len(lengths) == 1 and settings.pool_tokens is None
        chunk = max(settings.chunk, ALONE_CHUNK) if alone else settings.chunk
        answers = np.empty((len(lengths), len(self.labels)), dtype=np.float32)
        state = {n: np.zeros((len(lengths), size), np.float32) for n, size in settings.state}
        for start in range(0, tokens.shape[1], chunk):
            remaining = lengths - start
            active = int((remaining > 0).sum())
            feed = {
                "tokens": tokens[:active, start : start + chunk],
                "remaining": remaining[:active],
                **{name: value[:active] for name, value in state.items()},
            }
            answers[:active], *after = session.run(settings.outputs, feed)
            state = {name: value for (name, _), value in zip(settings.state, after, strict=True)}
        return answers


def _session(
    contents: FolderContents, name: str, settings: OnnxSettings, threads: int | None
) -> InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        raise SettingsError(
            "an exported model needs onnxruntime, which is not installed",
            hint="Install with: pip install onnxruntime",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cpu_count()
    options.inter_op_num_threads = 1  # the graph is a chain: there is nothing to run side by side
    options.log_severity_level = 3  # errors
    content = contents.require(name)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # what it raises depends on where the file is wrong
        raise ModelFolderError(
            f"model folder '{contents.path}': {name} does not load ({error})",
            expected="a graph that the installed onnxruntime runs",
            hint=f"Update onnxruntime. If that does not help: {_COPY_AGAIN}",
        ) from error
    fault = _misfit(session, settings)
    if fault is not None:
        raise ModelFolderError(
            f"model folder '{contents.path}' is broken: {name}: {fault}", hint=_COPY_AGAIN
        )
    return session


def _misfit(session: InferenceSession, settings: OnnxSettings) -> str | None:
    """What `config.json` says of a graph and is not so."""

    def widths(values: Iterable[Any]) -> dict[str, Any]:
        return {value.name: value.shape[-1] for value in values}

    inputs, outputs = widths(session.get_inputs()), widths(session.get_outputs())
    wanted_inputs = {"tokens": "time", "remaining": "batch", **dict(settings.state)}
    wanted_outputs = dict.fromkeys(("logits", "probabilities"), len(settings.labels))
    wanted_outputs |= {f"next_{name}": size for name, size in settings.state}
    if inputs != wanted_inputs:
        return f"its inputs are {inputs}, not {wanted_inputs}"
    if outputs != wanted_outputs:
        return f"its outputs are {outputs}, not {wanted_outputs}"
    return None


def _read_ngrams(contents: FolderContents, settings: OnnxSettings) -> NGrams | None:
    if settings.terms is None:
        return None
    sizes = {"terms": settings.terms, "n_classes": len(settings.labels)}
    try:
        return NGrams.from_bytes(contents.require(NGRAMS), **sizes, share=settings.share)
    except ValueError as error:
        raise ModelFolderError(
            f"model folder '{contents.path}' is broken: {NGRAMS}: {error}", hint=_COPY_AGAIN
        ) from error


def _read_tokenizer(contents: FolderContents) -> Tokenizer:
    try:
        return Tokenizer.from_json(contents.require(TOKENIZER).decode())
    except (ModelFolderError, UnicodeDecodeError) as error:
        reason = error.problem if isinstance(error, ModelFolderError) else str(error)
        raise ModelFolderError(
            f"model folder '{contents.path}' is broken: {reason}", hint=_COPY_AGAIN
        ) from error
