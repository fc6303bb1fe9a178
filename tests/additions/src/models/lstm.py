"""A recurrent network that reads a text from both ends."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ..data.text import TextSpec
from ..rules import Checked, PositiveInt
from .base import Model


@dataclass(frozen=True)
class LSTMConfig(Checked, section="model"):
    """The settings of the network."""

    name: str = "lstm"
    """This file."""
    width: PositiveInt = 16
    """Of the embedding and of each direction."""


class LSTM(Model):
    """The mean of a bidirectional LSTM's outputs under a linear layer."""

    settings: ClassVar = LSTMConfig

    def __init__(self, config: LSTMConfig, spec: TextSpec, num_outputs: int) -> None:
        super().__init__(config, spec, num_outputs)
        self.embedding = nn.Embedding(spec.num_embeddings, config.width, padding_idx=0)
        self.lstm = nn.LSTM(config.width, config.width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.width, num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs [batch, num_outputs] of token ids [batch, length], where 0 is padding."""
        lengths = (inputs != 0).sum(dim=1).clamp(min=1)
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(inputs), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        hidden, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.head(hidden.sum(dim=1) / lengths.unsqueeze(-1))
