"""Branches, loops, scans, and autocast regions."""
import torch
from common import export
from torch._higher_order_ops.map import map as map_over
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop

DYNAMIC = torch.export.Dim.DYNAMIC


class Branches(torch.nn.Module):
    """Conditions on values and on sizes, nested, with weights inside and several results."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)

    def forward(self, x, y):
        def inner(x, y):
            return torch.cond(y.sum() > x.sum(), lambda x, y: x * 2, lambda x, y: y - 1, (x, y))

        a, b = torch.cond(x.sum() > 0, lambda x, y: (self.linear(x), x + y), lambda x, y: (x - 1, inner(x, y)), (x, y))
        c = torch.cond(x.shape[0] > 2, lambda x: x.cos(), lambda x: x.sin() + 1, (x,))
        return a, b, c


class Loops(torch.nn.Module):
    """A loop whose number of turns depends on values, with several carried tensors."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)

    def forward(self, x, n):
        def go_on(i, y, s):
            return (i < n) & (s < 50.0)

        def body(i, y, s):
            z = torch.tanh(self.linear(y)) + x
            return i + 1, z, s + z.abs().sum()

        return while_loop(go_on, body, (torch.zeros((), dtype=torch.int64), x, torch.zeros(())))


class Scans(torch.nn.Module):
    """Scans forward and backward, and a map."""

    def forward(self, start, xs, y):
        total, (each, more) = scan(lambda c, x: (c * 0.5 + x, (c * x, x + y)), start, xs, dim=0)
        back, products = scan(lambda c, x: (c + x, c * x), start, xs, dim=0, reverse=True)
        return total, each, more, back, products, map_over(lambda x, y: x.sin() + y, xs, y)


class Autocast(torch.nn.Module):
    """Regions with autocast on and off."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            a = self.linear(x)
            b = torch.cat([a, x]) + 1
            c = torch.nn.functional.mse_loss(a, y)
        with torch.autocast("cpu", enabled=False):
            d = x @ y
        with torch.no_grad():
            e = d * 2
        return a.float(), b, c, d, e


if __name__ == "__main__":
    torch.manual_seed(0)
    pair = lambda n, sign: (torch.rand(n, 3) * sign, torch.randn(n, 3))
    more = [pair(2, -1), pair(1, 1)]
    for name, decompose in (("control_branches", False), ("control_branches_core", True)):
        dynamic = ({0: DYNAMIC}, {0: DYNAMIC})
        export(name, Branches(), pair(4, 1), dynamic=dynamic, more=more, decompose=decompose)
    count = lambda n: (torch.randn(2, 3), torch.tensor(n))
    export("control_loops", Loops(), count(3), more=[count(0), count(100)])
    for name, decompose in (("control_scans", False), ("control_scans_core", True)):
        args = (torch.randn(3), torch.randn(4, 3), torch.randn(3))
        export(name, Scans(), args, decompose=decompose)
    export("control_autocast", Autocast(), (torch.randn(4, 4), torch.randn(4, 4)), rtol=1e-2, atol=1e-2)
    export("control_autocast_core", Autocast(), (torch.randn(4, 4), torch.randn(4, 4)), decompose=True, rtol=1e-2, atol=1e-2)
