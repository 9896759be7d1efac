"""What vision networks are made of, for images of any size: adaptive pooling, blocks, borders, parts of axes, normalizations."""
import torch
import torch.nn.functional as F
import torchvision
from common import export
from torch.export import Dim

ANY_IMAGE = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)


class Adaptive(torch.nn.Module):
    """Windows that overlap, of one element, of everything; equal elements among the maxima."""

    def forward(self, x):
        best, at = F.adaptive_max_pool2d(x.round(), (3, 5), return_indices=True)
        line = x[:, :, 0]
        longest, where = F.adaptive_max_pool1d(line, 4, return_indices=True)
        return (F.adaptive_avg_pool2d(x, (3, 5)), F.adaptive_avg_pool2d(x, (None, 1)), F.adaptive_avg_pool1d(line, 6),
                F.adaptive_avg_pool3d(x, (2, 1, 3)), best, at, longest, where)


class Pieces(torch.nn.Module):
    """Blocks as columns, circular borders, chunks, space to channels, dropout in place."""

    def forward(self, x):
        rows = x.mean((2, 3), keepdim=True).as_strided((x.shape[0], 3, 1, 1), (3, 1, 3, 3))
        blocks = F.unfold(x, (3, 2), dilation=(2, 1), padding=(1, 0), stride=(2, 3))
        first, second, third = x.chunk(3, 3)
        y = F.dropout(x + 1, 0.5, False, True)
        unset = torch.empty_permuted((x.shape[0], 3, 4), (2, 0, 1)).copy_(x[:, :3, :4, 0])
        return blocks, F.pad(x, (2, 1, 1, 3), mode="circular"), third, first * 2, second, y * 2, unset, rows


class Norms(torch.nn.Module):
    """Each normalization with and without parameters, and GELU in both forms."""

    def __init__(self):
        super().__init__()
        self.w, self.b = torch.nn.Parameter(torch.randn(6)), torch.nn.Parameter(torch.randn(6))

    def forward(self, x):
        last = x.movedim(1, -1)
        return (F.group_norm(x, 3, self.w, self.b), F.group_norm(x, 2, eps=1e-2), F.group_norm(x[:, :, 0, 0], 2, self.w), F.instance_norm(x, weight=self.w, bias=self.b),
                F.layer_norm(last, (6,), self.w, self.b), F.layer_norm(last, (6,)), F.rms_norm(last, (6,), self.w), F.rms_norm(last, (6,), eps=0.1),
                F.gelu(x * 2), F.gelu(x * 2, approximate="tanh"))


class Detection(torch.nn.Module):
    """Regions with and without the half pixel, suppression of boxes, convolutions at moved places."""

    def __init__(self):
        super().__init__()
        self.w, self.b = torch.nn.Parameter(torch.randn(6, 2, 3, 3)), torch.nn.Parameter(torch.randn(6))

    def forward(self, x, rois, scores, offset, mask):
        conv = torchvision.ops.deform_conv2d
        return (torchvision.ops.roi_align(x, rois, (3, 4), 0.5, 2, True), torchvision.ops.roi_align(x, rois, (3, 4), 1.0, -1, False), torchvision.ops.nms(rois[:, 1:], scores, 0.4),
                conv(x, offset, self.w, self.b, stride=2, padding=1, mask=mask), conv(x, offset, self.w, None, stride=2, padding=1))


def detection_args():
    corner = torch.rand(9, 2) * 6
    rois = torch.cat([torch.arange(9)[:, None] % 2, corner, corner + 2 + torch.rand(9, 2) * 5], 1)
    return torch.randn(2, 4, 12, 14), rois, torch.randn(9), torch.randn(2, 36, 6, 7), torch.rand(2, 18, 6, 7)


class Attention(torch.nn.Module):
    """Masks of truth values and numbers, a row that sees nothing, grouped and stretched heads, other ranks."""

    def forward(self, q, k, v, mask):
        f = F.scaled_dot_product_attention
        numbers = mask.to(q.dtype) * 0.5
        return (f(q, k, v), f(q, k, v, is_causal=True), f(q, k, v, mask), f(q, k, v, mask[:, :, :1]), f(q, k, v, numbers), f(q, k[:, :2], v[:, :2], enable_gqa=True, scale=0.3),
                f(q, k[:, :1], v[:, :1]), f(q[:, 0], k[:, 1], v[:, 2], mask[:, 0]), f(q[0, 0], k[0, 0], v[0, 0]), f(q[:, None], k[:, None], v[:, None]),
                f(q.double(), k.double(), v.double()))


def attention_args(batch, queries, keys):
    mask = torch.rand(batch, 1, queries, keys) > 0.4
    mask[0, 0, 1] = False
    return torch.randn(batch, 4, queries, 8), torch.randn(batch, 4, keys, 8), torch.randn(batch, 4, keys, 8), mask


def main():
    torch.manual_seed(0)
    image = lambda *sizes: (torch.randn(*sizes),)
    export("blocks_adaptive", Adaptive(), image(2, 3, 7, 11), dynamic=ANY_IMAGE, more=[image(3, 3, 13, 6)])
    export("blocks_pieces", Pieces(), image(2, 3, 9, 8), dynamic=ANY_IMAGE, more=[image(3, 3, 13, 11)])
    export("blocks_norms", Norms(), image(2, 6, 5, 7), dynamic=ANY_IMAGE, more=[image(3, 6, 8, 9)])
    export("blocks_norms_core", Norms(), image(2, 6, 5, 7), decompose=True)
    export("blocks_detection", Detection(), detection_args())
    any_length = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    export("blocks_attention", Attention(), attention_args(2, 5, 7), dynamic=(any_length, any_length, any_length, {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}), more=[attention_args(3, 6, 9)])
    export("blocks_attention_fixed", Attention(), attention_args(2, 5, 7))


if __name__ == "__main__":
    main()
