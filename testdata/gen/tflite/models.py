#!/usr/bin/env python3
"""Writes the models on which TFLite output is measured: full-size vision networks, transformers, audio and detector networks.

    models.py FOLDER [NAME...]

FOLDER/static/NAME and FOLDER/dynamic/NAME get `model.onnx`, `model.pt2` and `io.npz` (in0.., out0.. as PyTorch computes them); a dynamic model
has symbolic dimensions and further `io1.npz`, `io2.npz` at other sizes. Weights are random with a fixed seed. Batch norms are calibrated on random
images and then disturbed, so that a statistic that is left out or swapped shows in the outputs; linear maps of transformers are drawn wide enough for
attention to differ from a mean.

Made with: pip install torch==2.15.0 torchvision==0.29.2 timm==1.0.31 transformers==5.23.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2 numpy==2.4.6
"""
import pathlib
import sys
import warnings

import numpy as np
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

SEED = 5
OPSET = 18  # The newest that all converters compared here read.


def image(batch=1, size=224, width=None, channels=3):
    return (torch.randn(batch, channels, size, width or size),)


def tokens(batch, length, vocabulary=1000):
    """Token ids, and a mask that leaves out the end of every sequence but the first."""
    ids = torch.randint(0, vocabulary, (batch, length))
    kept = torch.tensor([max(1, length - 3 * i) for i in range(batch)])
    return ids, (torch.arange(length)[None] < kept[:, None]).long()


def calibrated(model, args):
    """`model` with statistics of its batch norms as `args` and disturbances give them."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for m in norms:
            m.reset_running_stats()
            m.momentum = None
            with torch.no_grad():
                m.weight.uniform_(0.8, 1.2)
                m.bias.normal_(0, 0.1)
        model.train()
        with torch.no_grad():
            model(*[torch.randn(4, *a.shape[1:]) if a.is_floating_point() else a for a in args])
        for m in norms:
            m.running_mean += 0.1 * torch.randn_like(m.running_mean) * m.running_var.sqrt()
            m.running_var *= torch.empty_like(m.running_var).uniform_(0.8, 1.25)
    return model.eval()


def widened(model):
    """`model` with linear maps drawn at the scale that keeps the variance of their inputs."""
    for m in model.modules():
        if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D":
            nn.init.xavier_normal_(m.weight)
            if m.bias is not None:
                nn.init.normal_(m.bias, 0, 0.05)
        if isinstance(m, nn.LayerNorm):
            nn.init.uniform_(m.weight, 0.8, 1.2)
            nn.init.normal_(m.bias, 0, 0.05)
    return model.eval()


class UNet(nn.Module):
    """Two levels down and up: a transposed convolution, a bilinear resize, and concatenations with what went down."""

    def __init__(self, c=16):
        super().__init__()
        block = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())
        self.a, self.b, self.c = block(3, c), block(c, 2 * c), block(2 * c, 4 * c)
        self.up = nn.ConvTranspose2d(4 * c, 2 * c, 2, 2)
        self.d, self.e, self.head = block(4 * c, 2 * c), block(3 * c, c), nn.Conv2d(c, 4, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        c = self.c(F.max_pool2d(b, 2))
        d = self.d(torch.cat([b, self.up(c)], 1))
        up = F.interpolate(d, scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(self.e(torch.cat([a, up], 1))).softmax(1)


class Detector(nn.Module):
    """Two scales of a detector with one stage: SiLU blocks, a pyramid of pools, nearest upsampling, and boxes and scores over all cells."""

    def __init__(self, classes=20, bins=8):
        super().__init__()
        conv = lambda i, o, k=1, s=1: nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o), nn.SiLU())
        self.stem = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), conv(32, 64, 3, 2))
        self.split, self.inner, self.join = conv(64, 64), conv(32, 32, 3), conv(96, 64)
        self.down, self.narrow, self.wide = conv(64, 128, 3, 2), conv(128, 64), conv(256, 128)
        self.lateral = conv(192, 64)
        self.boxes = nn.ModuleList([nn.Conv2d(64, 4 * bins, 1), nn.Conv2d(128, 4 * bins, 1)])
        self.scores = nn.ModuleList([nn.Conv2d(64, classes, 1), nn.Conv2d(128, classes, 1)])
        self.bins = bins
        self.register_buffer("steps", torch.arange(bins, dtype=torch.float32))

    def forward(self, x):
        x = self.split(self.stem(x))
        p, q = x.chunk(2, 1)
        fine = self.join(torch.cat([p, q, self.inner(q)], 1))
        y = self.narrow(self.down(fine))
        pools = [y]
        for _ in range(3):
            pools.append(F.max_pool2d(pools[-1], 5, 1, 2))
        coarse = self.wide(torch.cat(pools, 1))
        fine = self.lateral(torch.cat([F.interpolate(coarse, scale_factor=2.0, mode="nearest"), fine], 1))
        flat = [torch.cat([b(v), s(v)], 1).flatten(2) for v, b, s in zip((fine, coarse), self.boxes, self.scores)]
        boxes, scores = torch.cat(flat, 2).split([4 * self.bins, 20], 1)
        n, _, cells = boxes.shape
        distances = (boxes.view(n, 4, self.bins, cells).softmax(2) * self.steps[None, None, :, None]).sum(2)
        near, far = distances.chunk(2, 1)
        return torch.cat([(far - near) / 2, near + far, scores.sigmoid()], 1)


class Audio(nn.Module):
    """One-dimensional convolutions with stride, dilation and groups over a waveform, a pool and a mean over time."""

    def __init__(self, pool=True):
        super().__init__()
        block = lambda i, o, k, s, d=1, g=1: nn.Sequential(nn.Conv1d(i, o, k, s, d * (k // 2), d, g, bias=False), nn.BatchNorm1d(o), nn.GELU())
        self.body = nn.Sequential(block(1, 32, 10, 5), block(32, 64, 3, 2), block(64, 64, 3, 1, 2), block(64, 64, 5, 1, 1, 64), block(64, 128, 3, 2), *[nn.MaxPool1d(2)] * pool)
        self.head = nn.Linear(128, 35)

    def forward(self, x):
        return self.head(self.body(x).mean(2)).log_softmax(-1)


class Tagger(nn.Module):
    """A label for every token: embedding, bidirectional LSTM, GRU."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(1000, 48)
        self.lstm = nn.LSTM(48, 64, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(128, 64, batch_first=True)
        self.head = nn.Linear(64, 12)

    def forward(self, ids):
        x, _ = self.lstm(self.words(ids))
        x, _ = self.gru(x)
        return self.head(x)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(40, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 5))

    def forward(self, x):
        return self.body(x).softmax(-1)


class First(nn.Module):
    """The tensors of `inner`'s outcome that `take` gives, called with a mask where it has one."""

    def __init__(self, inner, take):
        super().__init__()
        self.inner, self.take = inner, take

    def forward(self, input_ids, attention_mask):
        return self.take(self.inner(input_ids=input_ids, attention_mask=attention_mask))


class Causal(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, input_ids):
        return self.inner(input_ids=input_ids, use_cache=False).logits


def vision(name):
    def build():
        import torchvision

        return getattr(torchvision.models, name)(weights=None)

    return build


def timm(name, **kwargs):
    def build():
        import timm

        model = timm.create_model(name, pretrained=False, exportable=True, **kwargs)
        return widened(model) if name.startswith(("vit", "swin", "mobilevit")) else model

    return build


def bert():
    import transformers

    config = transformers.BertConfig(vocab_size=1000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    return First(widened(transformers.BertModel(config)), lambda o: (o.last_hidden_state, o.pooler_output))


def distilbert():
    import transformers

    config = transformers.DistilBertConfig(vocab_size=1000, dim=192, n_layers=3, n_heads=4, hidden_dim=768)
    return First(widened(transformers.DistilBertForSequenceClassification(config)), lambda o: o.logits)


def gpt2():
    import transformers

    config = transformers.GPT2Config(vocab_size=1000, n_embd=192, n_layer=3, n_head=4, n_positions=256)
    return Causal(widened(transformers.GPT2LMHeadModel(config)))


torch.manual_seed(SEED)
IDS = lambda batch, length: (tokens(batch, length)[0],)
WAVE = lambda batch, length: (torch.randn(batch, 1, length),)
STATIC = {
    "mobilenet_v2": (vision("mobilenet_v2"), image()),
    "mobilenet_v3_small": (vision("mobilenet_v3_small"), image()),
    "mobilenet_v3_large": (vision("mobilenet_v3_large"), image()),
    "resnet18": (vision("resnet18"), image()),
    "resnet50": (vision("resnet50"), image()),
    "efficientnet_b0": (vision("efficientnet_b0"), image()),
    "shufflenet_v2_x1_0": (vision("shufflenet_v2_x1_0"), image()),
    "mobilevit_xxs": (timm("mobilevit_xxs"), image(1, 256)),
    "convnext_atto": (timm("convnext_atto"), image()),
    "vit_tiny": (timm("vit_tiny_patch16_224"), image()),
    "swin_tiny": (timm("swin_tiny_patch4_window7_224"), image()),
    "bert": (bert, tokens(1, 128)),
    "distilbert": (distilbert, tokens(2, 64)),
    "gpt2": (gpt2, IDS(1, 64)),
    "unet": (UNet, image(1, 128)),
    "detector": (Detector, image(1, 256)),
    "audio": (Audio, WAVE(1, 16000)),
    "tagger": (Tagger, IDS(2, 24)),
}
N, T = Dim("batch", min=1, max=64), Dim("length", min=2, max=256)
H, W = Dim("rows", min=4, max=128), Dim("columns", min=4, max=128)
S = Dim("samples", min=400, max=64000)
# torch.export unrolls recurrences over a length: these are traced where it is dynamic, and have no `model.pt2`.
TRACED = (Tagger,)
# Model, dynamic dimensions by input, and arguments at three sizes.
DYNAMIC = {
    "mobilenet_v2": (vision("mobilenet_v2"), ({0: N},), [image(n, 96) for n in (2, 1, 5)]),
    "mobilenet_v3_small": (vision("mobilenet_v3_small"), ({0: N},), [image(n, 96) for n in (2, 1, 5)]),
    "resnet18": (vision("resnet18"), ({0: N},), [image(n, 96) for n in (2, 1, 4)]),
    "shufflenet_v2_x0_5": (vision("shufflenet_v2_x0_5"), ({0: N},), [image(n, 96) for n in (2, 1, 3)]),
    "efficientnet_b0": (vision("efficientnet_b0"), ({0: N},), [image(n, 96) for n in (2, 1, 3)]),
    "vit_tiny": (timm("vit_tiny_patch16_224", img_size=96), ({0: N},), [image(n, 96) for n in (2, 1, 3)]),
    "bert": (bert, ({0: N, 1: T}, {0: N, 1: T}), [tokens(n, t) for n, t in ((2, 17), (1, 64), (3, 128))]),
    "distilbert": (distilbert, ({0: N, 1: T}, {0: N, 1: T}), [tokens(n, t) for n, t in ((2, 17), (1, 64), (3, 100))]),
    "gpt2": (gpt2, ({0: N, 1: T},), [IDS(n, t) for n, t in ((2, 12), (1, 64), (3, 33))]),
    "tagger": (Tagger, ({0: N, 1: T},), [IDS(n, t) for n, t in ((2, 9), (1, 24), (3, 50))]),
    "unet": (UNet, ({0: N, 2: 4 * H, 3: 4 * W},), [image(n, h, w) for n, h, w in ((2, 64, 48), (1, 128, 128), (3, 32, 96))]),
    "detector": (Detector, ({0: N},), [image(n, 128) for n in (2, 1, 3)]),
    "audio": (lambda: Audio(pool=False), ({0: N, 2: S},), [WAVE(n, s) for n, s in ((2, 4000), (1, 16000), (3, 7123))]),
    "mlp": (Mlp, ({0: N},), [(torch.randn(n, 40),) for n in (2, 1, 33)]),
}


def arrays(model, args):
    outs = model(*args)
    outs = outs if isinstance(outs, (tuple, list)) else (outs,)
    return {f"in{i}": a.numpy() for i, a in enumerate(args)} | {f"out{i}": a.numpy() for i, a in enumerate(outs)}


def write(folder, build, sizes, dims=None):
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    model = calibrated(build(), sizes[0])
    path = str(folder / "model.onnx")
    if dims and build in TRACED:
        names = ["in%d" % i for i in range(len(dims))]
        axes = {n: {axis: d.__name__ for axis, d in by.items()} for n, by in zip(names, dims)}
        torch.onnx.export(model, sizes[0], path, dynamo=False, opset_version=OPSET, input_names=names, dynamic_axes=axes)
    else:
        torch.export.save(torch.export.export(model, sizes[0], dynamic_shapes=dims), folder / "model.pt2")
        torch.onnx.export(model, sizes[0], path, dynamo=True, dynamic_shapes=dims, opset_version=OPSET, external_data=False, verbose=False)
    for i, args in enumerate(sizes):
        np.savez_compressed(folder / ("io.npz" if i == 0 else f"io{i}.npz"), **arrays(model, args))


def main(folder, only):
    warnings.filterwarnings("ignore")
    with torch.no_grad():
        for kind, table in (("static", STATIC), ("dynamic", DYNAMIC)):
            for name, entry in table.items():
                if only and name not in only and f"{kind}/{name}" not in only:
                    continue
                build, dims, sizes = entry if kind == "dynamic" else (entry[0], None, [entry[1]])
                write(pathlib.Path(folder) / kind / name, build, sizes, dims)
                print(kind, name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
