"""In-place writes through views."""
import torch
from common import export


class Columns(torch.nn.Module):
    """Assignments to rows, columns and strided parts, and reads of views made before."""

    def forward(self, x):
        y = x.clone()
        row, turned = y[1], y.t()
        y[:, 0] = 7.0
        turned[2].mul_(2.0)
        y[::2, 1:3] += 1.0
        return y, row + 0.0, turned.reshape(-1)


if __name__ == "__main__":
    torch.manual_seed(0)
    export("views_columns", Columns(), (torch.randn(4, 5),))
