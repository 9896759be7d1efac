"""Fixtures of TorchScript: programs that are scripted or traced, with what PyTorch computes with the saved file.

Run with PyTorch 2.15: `python testdata/gen/pytorch/torchscript.py`.
"""
import io
import json
import warnings
from enum import Enum
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from common import ROOT, leaves, repack, write_npz


class Shade(Enum):
    LIGHT = 1
    DARK = 2


class Pair(NamedTuple):
    total: Tensor
    rest: Optional[Tensor]


@torch.jit.script
class Scale:
    def __init__(self, by: Tensor, times: int):
        self.by = by
        self.times = times

    def of(self, x: Tensor) -> Tensor:
        return x * self.by * self.times


class Steps(nn.Module):
    """A recurrent loop over steps, a list built in it, and modules that are iterated over."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x: Tensor, h: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        if h is None:
            h = torch.zeros(x.size(0), 4)
        out: List[Tensor] = []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            out.append(h)
        y = torch.stack(out, 1)
        for i, layer in enumerate(self.layers):
            y = torch.relu(layer(y)) + i
        return self.last(y), h


class Ways(nn.Module):
    """Early returns, breaks and continues, conditions on values, and a value that may be none."""

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        maybe: Optional[Tensor] = None
        if x.mean() > 0.5:
            maybe = x + 1
        y = x
        for i in range(4):
            if i == 1:
                continue
            y = y * 1.5
            if y.max() > 3:
                break
        n = 0
        while bool(y.abs().max() < 20):
            y = y * 2
            n += 1
        if maybe is not None:
            return {"y": maybe * 2, "n": torch.tensor(n)}
        if x.sum() > 0:
            return {"y": y - 1, "n": torch.tensor(n + 10)}
        return {"y": y, "n": torch.tensor(n)}


class Things(nn.Module):
    """Lists, dictionaries, texts, enumerations, classes, named tuples, and writes to views."""

    def __init__(self):
        super().__init__()
        self.names = ["a", "b"]
        self.sizes = {"a": 2, "b": 3}
        self.shade = Shade.DARK
        self.share = 0.25

    def forward(self, x: Tensor, flag: bool = True) -> Tuple[Dict[str, Tensor], Pair, List[Tensor]]:
        parts: Dict[str, Tensor] = {}
        for name, size in self.sizes.items():
            parts[name] = x[:, :size] * size
        if flag and "c" not in parts:
            parts["c"] = Scale(x, 3).of(x)
        y = x.clone()
        y[:, 0] = 7
        y[1] += self.share
        y[y > 6.5] = -1
        if self.shade == Shade.DARK:
            y = y - 0.5
        many = [v.sum() for v in parts.values()]
        many.insert(1, y.max())
        last = many.pop()
        text = "{}-{}".format(len(many), self.names[-1])
        if text == "3-b":
            y = torch.cat([y, y.flip([0])], dim=-1)[..., ::2]
        assert x.dim() == 2, f"got {x.dim()}"
        with torch.no_grad():
            last = last * 2
        return parts, Pair(y, None), many + [last]


class Kept(nn.Module):
    """State that is kept between calls: a buffer that is written, a number and a tensor that are set."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.calls = 0
        self.last = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.last) == 0:
            self.last = torch.zeros(2, x.size(1))
        self.mean.mul_(0.9).add_(x.mean(0) * 0.1)
        self.calls += 1
        y = torch.cat([self.last, x]) - self.mean
        self.last = x[-2:]
        return y * self.calls


class Rows(nn.Module):
    """Writes inside a loop of computed length, and conditions inside it."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        for i in range(y.size(0)):
            if y[i].sum() > 0:
                y[i] = 0.5
            else:
                y[i, 0] += 1
        return y


class Layers(nn.Module):
    """What vision and sequence models are made of."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU6(inplace=True), nn.MaxPool2d(2))
        self.lstm = nn.LSTM(4, 3, batch_first=True, bidirectional=True)
        layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, activation="gelu")
        self.mix = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y, _ = self.lstm(y.flatten(2).transpose(1, 2))
        return self.drop(self.mix(y)).mean(1)


def save(name, module, *calls, trace=False, freeze=False, expected=None, **meta):
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    module = module.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.trace(module, calls[0]) if trace else torch.jit.script(module)
        program = torch.jit.freeze(program) if freeze else program
    torch.jit.save(program, folder / "model.pt")
    saved = (folder / "model.pt").read_bytes()
    repack(folder / "model.pt")
    for i, args in enumerate(calls):
        ins = leaves(args)
        with torch.no_grad():
            loaded = torch.jit.load(io.BytesIO(saved))
            outs = leaves(loaded(*[a.clone() for a in args]))
        ins, outs = (ins, outs) if expected is None else expected(ins, outs, loaded)
        arrays = {f"in{k}": a for k, a in enumerate(ins)} | {f"out{k}": a for k, a in enumerate(outs)}
        write_npz(folder / ("io.npz" if i == 0 else f"io{i}.npz"), arrays)
    if meta:
        (folder / "meta.json").write_text(json.dumps(meta, sort_keys=True) + "\n")


def kept(ins, outs, program):
    """State before the first call and after it; `last` begins empty, which zeros stand for."""
    before = [torch.tensor(0), torch.zeros(2, 3), torch.zeros(3)]
    after = [torch.tensor(program.calls), program.last, program.mean]
    return ins + leaves(before), outs + leaves(after)


if __name__ == "__main__":
    torch.manual_seed(0)
    rand = torch.randn
    save("ts_steps", Steps(), (rand(2, 5, 3),), (rand(3, 2, 3),), shapes={"x": ["N", "T", 3]})
    save("ts_steps_frozen", Steps(), (rand(2, 5, 3),), freeze=True, shapes={"x": [2, 5, 3]})
    save("ts_ways", Ways(), (rand(3, 4) + 1,), (rand(2, 2) * 0.1,), (-rand(2, 5).abs(),), (rand(3, 4) * 0.1 + 0.2,))
    save("ts_things", Things(), (rand(3, 4),), outputs=[
        "output_0_a", "output_0_b", "output_0_c", "output_1_total", "output_2_0", "output_2_1", "output_2_2", "output_2_3"])
    save("ts_kept", Kept(), (rand(4, 3),), expected=kept, inputs=["x", "calls", "last", "mean"],
         outputs=["output", "calls.next", "last.next", "mean.next"])
    save("ts_rows", Rows(), (rand(4, 3),), (rand(2, 3),), shapes={"x": ["N", 3]})
    save("ts_layers", Layers(), (rand(2, 2, 4, 4),), (rand(1, 2, 6, 4),))
    save("ts_layers_traced", Layers(), (rand(2, 2, 4, 4),), trace=True)
    save("ts_layers_frozen", Layers(), (rand(2, 2, 4, 4),), freeze=True, shapes={"x": [2, 2, 4, 4]})
