"""Recurrent networks: torch's layers in all forms, and cells in a loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

FEATURES, HIDDEN, CLASSES = 3, 6, 4


class Recurrent(nn.Module):
    """One of torch's recurrent layers, read at the last step or at all."""

    def __init__(self, kind: type[nn.RNNBase], *, every_step: bool = False, **settings) -> None:
        super().__init__()
        self.rnn = kind(FEATURES, HIDDEN, **{"batch_first": True, **settings})  # type: ignore[arg-type]
        size = settings.get("proj_size") or HIDDEN
        self.head = nn.Linear(size * (2 if settings.get("bidirectional") else 1), CLASSES)
        self.every_step, self.axis = every_step, int(self.rnn.batch_first)

    def forward(self, x):
        outputs, _ = self.rnn(x)
        return self.head(outputs if self.every_step else outputs.select(self.axis, -1))


class DeepHead(Recurrent):
    """Two more layers above the recurrence, which are not what the question is about."""

    def __init__(self) -> None:
        super().__init__(nn.LSTM)
        self.head = nn.Sequential(nn.Linear(HIDDEN, 8), nn.ReLU(), nn.Linear(8, CLASSES))  # type: ignore[assignment]


class Stacked(nn.Module):
    """Two recurrent layers as modules of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x):
        return self.head(self.upper(self.lower(x)[0])[0][:, -1])


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        return self.head(hidden[-1])


class CellLoop(nn.Module):
    """One of torch's cells in a loop; the state starts at zero."""

    def __init__(self, kind: type[nn.RNNCellBase], *, every_step: bool = False) -> None:
        super().__init__()
        self.cell = kind(FEATURES, HIDDEN)  # type: ignore[call-arg]
        self.head = nn.Linear(HIDDEN, CLASSES)
        self.every_step = every_step

    def forward(self, x):
        state: Tensor | tuple[Tensor, Tensor] = torch.zeros(len(x), HIDDEN)
        if isinstance(self.cell, nn.LSTMCell):
            state = (torch.zeros(len(x), HIDDEN), torch.zeros(len(x), HIDDEN))
        outputs = []
        for step in x.unbind(1):
            state = self.cell(step, state)
            outputs.append(self.head(state[0] if isinstance(state, tuple) else state))
        return torch.stack(outputs, 1) if self.every_step else outputs[-1]


class OwnCell(nn.Module):
    """An LSTM cell written out."""

    def __init__(self) -> None:
        super().__init__()
        self.x2h, self.h2h = nn.Linear(FEATURES, 4 * HIDDEN), nn.Linear(HIDDEN, 4 * HIDDEN)

    def forward(self, x, state):
        h, c = state
        i, f, g, o = (self.x2h(x) + self.h2h(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class OwnCellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = OwnCell(), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x):
        state = (torch.zeros(len(x), HIDDEN), torch.zeros(len(x), HIDDEN))
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0])


class Seq2Seq(nn.Module):
    """The decoder is fed its own output, one step a call."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.decoder = nn.LSTM(CLASSES, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x):
        _, state = self.encoder(x)
        step = torch.zeros(len(x), 1, CLASSES)
        for _ in range(4):
            output, state = self.decoder(step, state)
            step = self.head(output)
        return step[:, 0]
