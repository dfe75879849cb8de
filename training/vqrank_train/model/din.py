"""The sequence of a user's last events: the candidate attends to each of them."""

from __future__ import annotations

from torch import Tensor, nn

from vqrank_train.config import DinSequence
from vqrank_train.model.attention import Interests, attention_of


class Din(nn.Module):
    """attention.*, without the axis of codebooks; the tokens are the events' embeddings as they are."""

    def __init__(self, sequence: DinSequence, width: int, candidate_width: int, out_width: int | None) -> None:
        super().__init__()
        self.sequence = sequence
        self.attention = attention_of(sequence.attention, None, width, candidate_width, out_width)
        self.width = self.attention.out_width  # of the interest vector

    def forward(self, e: Tensor, present: Tensor, t: Tensor, asked: Tensor | None = None) -> Tensor:
        """e [B, M, D], at most the last `last` events of every state, in any place where present [B, M] says so;
        t [B, C, Dc] its candidates, `asked` [B, C] those that are not padding (default: all) -> interest vectors
        [B, C, width], zeros for states without events."""
        one = present[:, None]  # as of one codebook
        return self.attention(Interests(e[:, None], one.long(), one, present.sum(-1)), t, asked)
