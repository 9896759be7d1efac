"""Recurrent networks: every kind, stacked, both ways, without biases, with projections, packed, and single cells."""
import io
import zipfile

import torch
from common import ROOT, export, leaves, repack, write_npz
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

BATCH = torch.export.Dim("batch", min=1)


class Networks(torch.nn.Module):
    """One layer of each kind and the variants of their arguments."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True, dropout=0.5)
        self.bare = torch.nn.LSTM(8, 2, bias=False)
        self.gru = torch.nn.GRU(8, 3, num_layers=2, bidirectional=True)
        self.narrow = torch.nn.GRU(3, 3, bias=False, batch_first=True)
        self.tanh = torch.nn.RNN(3, 3, bidirectional=True, batch_first=True)
        self.relu = torch.nn.RNN(6, 2, nonlinearity="relu", batch_first=True)

    def forward(self, x, h, c):
        y, (h1, c1) = self.lstm(x, (h, c))
        turned = y.transpose(0, 1)
        z, (h2, c2) = self.bare(turned)
        g, h3 = self.gru(turned)
        n, h4 = self.narrow(x)
        r, h5 = self.tanh(n)
        r, h6 = self.relu(r)
        return y, h1, c1, z, h2, c2, g, h3, h4, h5, r, h6


class Projections(torch.nn.Module):
    """LSTMs whose hidden state is narrower than the cell state."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2, batch_first=True)
        self.second = torch.nn.LSTM(4, 3, proj_size=2, bias=False, batch_first=True)

    def forward(self, x, h, c):
        y, (h1, c1) = self.first(x, (h, c))
        z, (h2, c2) = self.second(y)
        return y, h1, c1, z, h2, c2


class Cells(torch.nn.Module):
    """Single steps, batched and not."""

    def __init__(self):
        super().__init__()
        self.lstm, self.gru = torch.nn.LSTMCell(3, 4), torch.nn.GRUCell(4, 3)
        self.tanh, self.relu = torch.nn.RNNCell(3, 2), torch.nn.RNNCell(2, 2, bias=False, nonlinearity="relu")

    def forward(self, x, h, c):
        h, c = self.lstm(x, (h, c))
        g = self.gru(h)
        t = self.tanh(g)
        return h, c, g, t, self.relu(t), self.gru(h[0], g[0])


class Unbatched(torch.nn.Module):
    """One sequence without a batch axis."""

    def __init__(self):
        super().__init__()
        self.lstm, self.gru = torch.nn.LSTM(3, 4), torch.nn.GRU(4, 3, bidirectional=True)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        return y, h, c, *self.gru(y)


# torch.export does not trace packing, which TorchScript does. Stand-ins with the same arguments are exported and named as the operators.
STAND_INS = {
    "pack": ("_pack_padded_sequence.default", "(Tensor input, Tensor lengths, bool batch_first) -> (Tensor, Tensor)"),
    "pad": (
        "_pad_packed_sequence.default",
        "(Tensor data, Tensor batch_sizes, bool batch_first, Scalar padding_value, int total_length) -> (Tensor, Tensor)",
    ),
    "lstm": (
        "lstm.data",
        "(Tensor data, Tensor batch_sizes, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, "
        "bool train, bool bidirectional) -> (Tensor, Tensor, Tensor)",
    ),
    "gru": (
        "gru.data",
        "(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, "
        "bool train, bool bidirectional) -> (Tensor, Tensor)",
    ),
}


def define_stand_ins():
    def size():
        return torch.library.get_ctx().new_dynamic_size()

    fakes = {
        "pack": lambda x, n, first: (x.new_empty(size(), *x.shape[2:]), n.new_empty(size())),
        "pad": lambda d, n, first, value, total: (d.new_empty(size(), size(), *d.shape[1:]), n.new_empty(size())),
        "lstm": lambda d, n, hx, p, b, layers, drop, train, both: (
            d.new_empty(d.shape[0], (2 if both else 1) * hx[0].shape[2]),
            torch.empty_like(hx[0]),
            torch.empty_like(hx[1]),
        ),
        "gru": lambda d, n, hx, p, b, layers, drop, train, both: (
            d.new_empty(d.shape[0], (2 if both else 1) * hx.shape[2]),
            torch.empty_like(hx),
        ),
    }
    for name, (_, schema) in STAND_INS.items():
        torch.library.define(f"stand_in::{name}", schema)
        torch.library.register_fake(f"stand_in::{name}", fakes[name])


class Packed(torch.nn.Module):
    """Packs, runs an LSTM with projections and a GRU, and pads again; `real` runs PyTorch's own modules."""

    real = False

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.gru = torch.nn.GRU(8, 3)
        self.projected = torch.nn.LSTM(3, 4, bidirectional=True, proj_size=2)

    def forward(self, x, n, h, c):
        if self.real:
            p = pack_padded_sequence(x, n, batch_first=True)
            y, (h1, c1) = self.lstm(p)
            g, h2 = self.gru(y)
            q, (h3, c3) = self.projected(p, (h, c))
            z, m = pad_packed_sequence(g, batch_first=True, padding_value=-1.0)
            w, _ = pad_packed_sequence(q, total_length=7)
            return p.data, p.batch_sizes, y.data, h1, c1, h2, h3, c3, z, m, w
        ops = torch.ops.stand_in
        data, sizes = ops.pack(x, n, True)
        zeros = x.new_zeros(4, x.shape[0], 4)
        y, h1, c1 = ops.lstm(data, sizes, [zeros, zeros], self.lstm._flat_weights, True, 2, 0.0, False, True)
        g, h2 = ops.gru(y, sizes, x.new_zeros(1, x.shape[0], 3), self.gru._flat_weights, True, 1, 0.0, False, False)
        q, h3, c3 = ops.lstm(data, sizes, [h, c], self.projected._flat_weights, True, 1, 0.0, False, True)
        z, m = ops.pad(g, sizes, True, -1.0, 0)
        w, _ = ops.pad(q, sizes, False, 0.0, 7)
        return data, sizes, y, h1, c1, h2, h3, c3, z, m, w


def packed(name):
    define_stand_ins()
    model, folder = Packed().eval(), ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    args = (torch.randn(3, 5, 3), torch.tensor([5, 3, 1]), torch.randn(2, 3, 2), torch.randn(2, 3, 4))
    torch.export.save(torch.export.export(model, args, strict=False), folder / "model.pt2")
    with zipfile.ZipFile(folder / "model.pt2") as old:
        entries = [(i.filename, old.read(i)) for i in old.infolist()]
    with zipfile.ZipFile(folder / "model.pt2", "w") as new:
        for path, data in entries:
            for stand_in, (target, _) in STAND_INS.items():
                data = data.replace(f"torch.ops.stand_in.{stand_in}.default".encode(), f"torch.ops.aten.{target}".encode())
            new.writestr(path, data)
    repack(folder / "model.pt2")
    model.real = True
    with torch.no_grad():
        outs = leaves(model(*args))
    arrays = {f"in{i}": a for i, a in enumerate(leaves(args))} | {f"out{i}": a for i, a in enumerate(outs)}
    write_npz(folder / "io.npz", arrays)


def states(layers, batch, *widths):
    return tuple(torch.randn(layers, batch, w) for w in widths)


if __name__ == "__main__":
    torch.manual_seed(0)
    export("rnn_networks", Networks(), (torch.randn(2, 5, 3), *states(4, 2, 4, 4)))
    export(
        "rnn_networks_dynamic",
        Networks(),
        (torch.randn(2, 5, 3), *states(4, 2, 4, 4)),
        dynamic=({0: BATCH}, {1: BATCH}, {1: BATCH}),
        more=[(torch.randn(3, 5, 3), *states(4, 3, 4, 4))],
    )
    export("rnn_projections", Projections(), (torch.randn(2, 4, 3), *states(4, 2, 2, 5)))
    export("rnn_cells", Cells(), (torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 4)))
    export("rnn_unbatched", Unbatched(), (torch.randn(5, 3),))
    export("rnn_decomposed", Unbatched(), (torch.randn(4, 3),), decompose=True)
    packed("rnn_packed")
