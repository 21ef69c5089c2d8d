"""The rows of an embedding that some documents can change: those of the words that they have.

The row of any other word has no gradient, but a zero one, moments and a step of the optimiser cost
as much as for a word that is there. A few hundred documents have a tenth of the words. The other
rows stay those of the language model: weight decay does not reach them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ulmfit.data.rules import PAD_ID

Documents = Sequence[NDArray[np.integer]]


class UsedWords:
    """Words by ascending id, numbered anew from 0; padding keeps its id.

    Args:
        documents: word ids of every document that the model will read, held-out ones too.
        vocab_size: V.
    """

    def __init__(self, documents: Documents, vocab_size: int) -> None:
        used = np.zeros(vocab_size, dtype=bool)
        used[: PAD_ID + 1] = True
        for document in documents:
            used[document] = True
        self.ids = torch.from_numpy(np.flatnonzero(used))
        # A word that was not there has no row: a look-up of -1 fails.
        self._new = np.where(used, np.cumsum(used, dtype=np.int32) - 1, np.int32(-1))

    def __len__(self) -> int:
        return len(self.ids)

    def renumbered(self, documents: Documents) -> list[NDArray[np.int32]]:
        """The same documents in the new ids."""
        return [self._new[document] for document in documents]

    def rows_of(self, weight: Tensor) -> Tensor:
        """Their rows of an embedding, (V, E) -> (n, E)."""
        return weight[self.ids]

    def put_back(self, rows: Tensor, weight: Tensor) -> Tensor:
        """A copy of `weight`, (V, E), with these rows, (n, E), for theirs."""
        whole = weight.detach().clone()
        whole[self.ids] = rows.to(whole)
        return whole
