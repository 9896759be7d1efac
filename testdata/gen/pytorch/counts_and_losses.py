"""Histograms, segments, differences, margin losses, windows, and what stands beside them."""
import torch
import torch.nn.functional as f
from common import export


class Counts(torch.nn.Module):
    """Histograms and segments."""

    def forward(self, x, w, lengths):
        h, e = torch.histogram(x, 5, range=(-1.0, 1.5), weight=w, density=True)
        g, d = torch.histogram(x, 4)
        many, edges = torch.histogramdd(x.reshape(-1, 2), [2, 3])
        data = x.reshape(-1, 2)
        segments = [torch.segment_reduce(data, r, lengths=lengths, initial=i) for r, i in
                    [("sum", 1.0), ("mean", None), ("max", None), ("min", 0.5), ("prod", 2.0)]]
        return h, e, g, d, many, edges, segments


class Differences(torch.nn.Module):
    """Gradients with all kinds of spacing, a trace, computed repetitions."""

    def forward(self, x, at, k):
        even = torch.gradient(x, spacing=0.5) + torch.gradient(x, spacing=[2.0, 0.3], edge_order=2)
        uneven = torch.gradient(x, spacing=(at,), dim=1) + torch.gradient(x, spacing=(at,), dim=1, edge_order=2)
        return even, uneven, torch.trace(x), torch.repeat_interleave(x, k, dim=1)


class Losses(torch.nn.Module):
    """Losses that compare classes and pairs, and count events."""

    def forward(self, x, t, many, sign):
        multi = [f.multi_margin_loss(x, t, p=p, margin=0.7, reduction=r) for p, r in [(1, "mean"), (2, "none")]]
        label = [f.multilabel_margin_loss(x, many, reduction=r) for r in ("none", "sum")]
        pairs = [f.hinge_embedding_loss(x, sign, margin=0.5), f.margin_ranking_loss(x, x.roll(1, 0), sign, margin=0.1)]
        events = [f.poisson_nll_loss(x, many.abs().float(), full=True), f.poisson_nll_loss(x.abs(), many.abs().float(), log_input=False)]
        return multi, label, pairs, events


class Windows(torch.nn.Module):
    """Constant windows."""

    def forward(self, x):
        flat = [torch.hann_window(7), torch.hamming_window(7, periodic=False), torch.blackman_window(7), torch.bartlett_window(7, False)]
        return [x * w for w in [*flat, torch.kaiser_window(7, True, 9.0)]]


if __name__ == "__main__":
    torch.manual_seed(0)
    export("histograms_and_segments", Counts(), (torch.randn(12), torch.rand(12), torch.tensor([2, 0, 1, 3])))
    export("differences", Differences(), (torch.randn(4, 6), torch.tensor([0.0, 0.5, 1.5, 1.75, 3.0, 4.0]), torch.tensor([2, 0, 1, 3, 1, 1])))
    x = torch.randn(3, 4)
    many = torch.tensor([[1, 3, -1, 0], [0, -1, 2, 2], [2, 1, 0, 3]])
    sign = torch.tensor([[1.0, -1.0, 1.0, 1.0]] * 3)
    args = (x, torch.tensor([0, 3, 2]), many, sign)
    export("losses_of_classes", Losses(), args)
    export("windows", Windows(), (torch.randn(7),))
