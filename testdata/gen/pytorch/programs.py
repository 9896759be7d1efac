"""Whole programs: writes through views, symbolic sizes, state, names of inputs and outputs."""
import torch
from common import ROOT, array, export, write_npz
from torch import nn

BATCH, SEQ = torch.export.Dim("batch", min=1), torch.export.Dim("seq", min=4)


class Writes(nn.Module):
    """In-place operators on views, chains of views, and views read before and after."""

    def forward(self, x, i):
        y = x.clone()
        before = y[1:3]
        kept = before * 1.0
        y[:, 0] = 5.0
        y[0].add_(x[1])
        y.t()[1:3].copy_(x.t()[0:2])
        y.view(-1)[::3].mul_(2.0)
        a, b = y.chunk(2, dim=1)
        a.sub_(1.0)
        b[:, 1:].fill_(0.25)
        for row in y.unbind(0)[:2]:
            row.neg_()
        p, q = y.split([1, 3], dim=0)
        q.masked_fill_(q > 2.0, 9.0)
        z = x.clone().unsqueeze_(0).transpose_(1, 2).squeeze_(0)
        z.index_put_((i,), torch.zeros(6 - 2))
        z[1:].scatter_(1, i.view(2, 1), 3.0)
        w = x.clone()
        w.index_copy_(0, i, x[:2])
        w.diagonal().zero_()
        w[i, 1] = 7.0
        w[..., -1:] = x[..., :1]
        v = x.clone()
        v[None, :, None][0, ::2, 0, 1::2] += 10.0
        v.permute(1, 0)[2] = 0.0
        out = torch.empty_like(x)
        torch.add(x, 1.0, out=out)
        torch.mul(x, 2.0, out=out[0:4])
        return kept, before, y, p, z, w, v, out


class Chains(nn.Module):
    """Writes through further kinds of views, and scatters into views."""

    def forward(self, x, i):
        y = x.clone()
        y.narrow(0, 1, 2).mul_(3)
        y.unfold(1, 2, 2)[0].add_(1)
        y.movedim(0, 1)[1].clamp_(-0.5, 0.5)
        y.unflatten(1, (2, 2))[:, 1, 0].neg_()
        y.flatten()[2:5].exp_()
        y.tensor_split(3, 0)[1].zero_()
        y.t_()
        y.fill_diagonal_(4.0)
        y.index_fill_(0, i, 9.0)
        y.scatter_add_(0, i.view(1, 2), torch.ones(1, 2))
        z = x.clone()
        z[z > 0] = 0.5
        z[1:, 1:][z[1:, 1:] < -0.5] = 2.0
        z[i] = x[:2]
        z[i, :2] += 1
        z[:, i] = z[:, i] * 2
        z[i, i] = torch.tensor([7.0, 8.0])
        z.index_put_((i,), x[:2], accumulate=True)
        w = torch.zeros(4, 4, dtype=torch.int64)
        w[1:3] = x[:2]
        w[..., None][3, :, 0] = i[0]
        v = x.clone()
        nn.functional.relu(v[0:2], inplace=True)
        v[:, 1].cumsum_(0)
        v.addcmul_(x, x, value=0.1)
        v.select(0, 1).copy_(torch.arange(4))
        torch.as_strided(v, (2, 3), (4, 1), 1).add_(100)
        d = v.diagonal(1)
        d *= 2
        c = torch.complex(x, x)
        c.real[0] = 5.0
        torch.view_as_real(c)[1, ..., 1] = 2.0
        values, indices = torch.empty(4, 4), torch.empty(4, 4, dtype=torch.int64)
        torch.sort(x, 1, out=(values, indices))
        grown = torch.empty(0)
        torch.add(x, 1, out=grown)
        return y, z, w, v, torch.view_as_real(c), values, indices, grown


class Overlap(nn.Module):
    """A write to elements that share places."""

    def forward(self, x):
        torch.as_strided(x, (3, 2), (1, 1), 0).mul_(2)
        return x + 1


class Halves(nn.Module):
    """Writes to parts whose sizes are symbolic."""

    def forward(self, x):
        y = x.clone()
        n = x.shape[0]
        y[:, 0] = 1
        y[: n // 2] += 2
        y.view(-1)[1:].mul_(2)
        y[-1] = 0
        y.t()[1].neg_()
        y[n - 2 :, 1:] *= 3
        y[::2, ::2] = 9
        y.chunk(2, 1)[0].add_(1)
        return y, y.reshape(n * 2, -1)[1], y[1:].flatten()


class Aliases(nn.Module):
    """Results that are arguments, constants, duplicates and views of each other; writes to arguments through views."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(4.0))

    def forward(self, x, y):
        z = x + y
        view = z[0]
        view += 1.0
        y[1].mul_(3.0)
        return {"x": x, "z": z, "again": z, "row": view, "y": y, "nothing": None, "table": self.table, "seven": 7}


class Keywords(nn.Module):
    """Nested arguments and keyword arguments, some of them Python numbers or absent."""

    def forward(self, pair, *, options=None, scale: float = 1.0, flip: bool = False, steps: int = 1):
        a, b = pair
        y = a * scale + (options["bias"] if options else 0.0)
        for _ in range(steps):
            y = y - b
        y = y.flip(0) if flip else y
        return {"first": y, "rest": (y * 2, [y + 1, None]), "deep": {"a": {"b": y.sum()}}}


class Sizes(nn.Module):
    """Arithmetic on symbolic sizes."""

    def forward(self, x, y):
        b, s, d = x.shape
        positions = torch.arange(s, device=x.device)
        mask = positions[None, :] <= positions[:, None]
        x = x.masked_fill(~mask[:, :1].expand(s, d), 0.5)
        half = s // 2
        left, right = x[:, :half], x[:, half:]
        odd = s % 2
        padded = torch.nn.functional.pad(x, (0, 0, 0, odd))
        pairs = padded.reshape(b, (s + odd) // 2, 2, d)
        joined = torch.cat([x, y], dim=1).reshape(b * 2, -1)
        torch._check(s >= 2)
        n = torch.sym_max(s - 3, 1)
        m = torch.sym_min(s, 4)
        ones = torch.ones(n, m, dtype=x.dtype)
        mean = x.sum(1) / s
        scaled = x * (d**-0.5) * (s + 0.5)
        full = torch.full((b, s * 2 - 1), s, dtype=torch.int64)
        return left, right, pairs, joined, ones, mean, scaled, full, x.flatten(0, 1), s, x.numel()


class Unbacked(nn.Module):
    """Sizes that depend on values."""

    def forward(self, x, n):
        positive = x[x > 0]
        at = torch.nonzero(x > 0.5)
        k = n.item()
        torch._check(k >= 0)
        torch._check(k <= 4)
        rows = x[:k]
        zeros = torch.zeros(k, 3) + positive.sum()
        return positive * 2, at, rows, zeros, torch.arange(k) + 1


class Numbers(nn.Module):
    """Python numbers as arguments that stay arguments."""

    def forward(self, x, k: int):
        y = x[:, :k] * k
        return y, x.sum() + k / 2, torch.arange(k)


class Counter(nn.Module):
    """A cache that is written at a position, a running value, and a count that nothing reads."""

    def __init__(self):
        super().__init__()
        self.register_buffer("cache", torch.zeros(2, 4, 3), persistent=False)
        self.register_buffer("mean", torch.full((3,), 0.5))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x, at):
        self.calls.add_(1)
        self.cache.index_copy_(1, at, x)
        self.mean.mul_(0.9).add_(0.1 * x.mean((0, 1)))
        return (self.cache * self.mean).sum(1)


class Training(nn.Module):
    """Batch normalization by batch statistics, whose running ones nothing reads."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x)


def state(name, decompose, **meta):
    """A stateful model: state inputs follow the arguments, state outputs the results."""
    model = Counter().eval()
    args = (torch.randn(2, 1, 3), torch.tensor([2]))
    export(name, model, args, decompose=decompose, **meta)
    names = [] if meta.get("state") == "frozen" else ["cache", "mean"]
    names += ["calls"] if meta.get("state") == "all" else []
    order = [n for n in ("cache", "mean", "calls") if n in names]
    for k in range(2):
        before = Counter()
        if k == 1 and names:
            with torch.no_grad():
                for n in names:
                    old = getattr(before, n)
                    old.copy_(torch.full_like(old, 3) if n == "calls" else torch.randn(old.shape))
        ins = [*args, *[getattr(before, n).clone() for n in order]]
        outs = [before(*args), *[getattr(before, n) for n in order]]
        arrays = {f"in{i}": array(v).copy() for i, v in enumerate(ins)} | {f"out{i}": array(v) for i, v in enumerate(outs)}
        write_npz(ROOT / name / ("io.npz" if k == 0 else "io1.npz"), arrays)


if __name__ == "__main__":
    torch.manual_seed(0)
    export("program_writes", Writes(), (torch.randn(4, 4), torch.tensor([2, 0])))
    export("program_writes_core", Writes(), (torch.randn(4, 4), torch.tensor([2, 0])), decompose=True)
    export("program_chains", Chains(), (torch.randn(4, 4), torch.tensor([2, 0])))
    rows = ({0: torch.export.Dim.DYNAMIC},)
    for name, decompose in (("program_halves", False), ("program_halves_core", True)):
        more = [(torch.randn(6, 4),), (torch.randn(3, 4),)]
        export(name, Halves(), (torch.randn(4, 4),), dynamic=rows, more=more, decompose=decompose, defer=True)
    export("program_overlap", Overlap(), (torch.randn(4, 4),), refused="share places in memory")
    names = ["x", "z", "again", "row", "y_1", "table", "seven"]
    export("program_aliases", Aliases(), (torch.randn(3, 4), torch.randn(3, 4)), outputs=names)
    export("program_aliases_core", Aliases(), (torch.randn(3, 4), torch.randn(3, 4)), decompose=True, outputs=names)
    export(
        "program_keywords",
        Keywords(),
        ((torch.randn(2, 3), torch.randn(2, 3)),),
        {"options": {"bias": torch.randn(3), "unused": None}, "scale": 0.5, "flip": True, "steps": 2},
        inputs=["pair_0", "pair_1", "options_bias"],
        outputs=["first", "rest_0", "rest_1_0", "deep_a_b"],
        constants=3,
    )
    dynamic = ({0: BATCH, 1: SEQ}, {0: BATCH, 1: SEQ})
    pair = lambda b, s: (torch.randn(b, s, 3), torch.randn(b, s, 3))
    for name, decompose in (("program_sizes", False), ("program_sizes_core", True)):
        export(name, Sizes(), pair(2, 5), dynamic=dynamic, more=[pair(3, 4), pair(1, 4), pair(2, 9)], decompose=decompose, defer=True)
    n = lambda k: torch.tensor(k)
    export("program_unbacked", Unbacked(), (torch.randn(4, 3), n(2)), more=[(torch.randn(4, 3), n(4)), (torch.rand(4, 3) - 2, n(0))])
    export("program_numbers", Numbers(), (torch.randn(2, 6), 3), dynamic=(None, torch.export.Dim.DYNAMIC), more=[(torch.randn(2, 6), 5)])
    state("state_explicit", False, outputs=["output", "cache.next", "mean.next"])
    state("state_core", True)
    state("state_frozen", False, state="frozen")
    state("state_all", False, state="all")
    export("state_training", Training(), (torch.randn(5, 3),), eval=False, inputs=["x"])
