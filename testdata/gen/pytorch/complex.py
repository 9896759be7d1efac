"""Complex numbers inside programs whose inputs and outputs are real."""
import torch
from common import export
from torch.export import Dim

B, T = Dim("b", min=1, max=16), Dim("t", min=1, max=32)


def of(x):
    return torch.view_as_complex(x)


def pairs(*zs):
    return tuple(torch.view_as_real(z.resolve_conj()) if z.is_complex() else z for z in zs)


class Rotary(torch.nn.Module):
    """Queries turned by a table of complex phases, as Llama-style code does."""

    def __init__(self):
        super().__init__()
        f = torch.outer(torch.arange(32.0), 1.0 / 100.0 ** (torch.arange(0, 8, 2) / 8))
        self.register_buffer("phases", torch.polar(torch.ones_like(f), f))

    def forward(self, x):
        b, t, _ = x.shape
        z = of(x.float().reshape(b, t, 3, -1, 2))
        y = z * self.phases[:t].view(1, t, 1, 4)
        return torch.view_as_real(y).flatten(3).type_as(x)


class Arithmetic(torch.nn.Module):
    """Operators on two complex tensors, real ones and numbers."""

    def forward(self, x, y, r):
        a, b = of(x), of(y)
        yield_ = [a + b, a - b * 2, a * b, a / b, a * r, r - a, a / 3, 2j * a, (1 + 2j) - b, r / b, a.reciprocal()]
        yield_ += [-a, a**2, a**-3, a**0.5, a**b, a ** (0.5 + 1j), r.abs() ** a, torch.addcmul(a, a, b, value=0.5 - 1j)]
        yield_ += [torch.rsub(a, b, alpha=2j), a == b, a != a, torch.isclose(a, a + 1e-7), a.to(torch.complex128) * b]
        yield_ += [torch.lerp(a, b, 0.25), torch.lerp(a, b, 0.5 + 1j), a.conj() * b, torch.vdot(a[0], b[0]), torch.dot(a[0], b[0])]
        return pairs(*yield_)


class Functions(torch.nn.Module):
    """Elementwise functions, on both sides of their branch cuts."""

    def forward(self, x):
        z = of(x)
        fs = [torch.abs, torch.angle, torch.sgn, torch.exp, torch.expm1, torch.log, torch.log2, torch.log10, torch.log1p]
        fs += [torch.sqrt, torch.rsqrt, torch.sin, torch.cos, torch.tan, torch.sinh, torch.cosh, torch.tanh]
        fs += [torch.asin, torch.acos, torch.atan, torch.asinh, torch.acosh, torch.atanh, torch.sigmoid, torch.square]
        fs += [torch.nn.functional.silu, torch.isnan, torch.isinf, torch.isfinite, torch.isreal, torch.exp2, torch.sinc]
        return pairs(*[f(z) for f in fs])


class Reductions(torch.nn.Module):
    def forward(self, x):
        z = of(x)
        ys = [z.sum(), z.sum(1), z.mean(0, keepdim=True), z.prod(), z.prod(1), z.cumsum(0), z.cumprod(1), z.var(), z.std(1)]
        ys += [*torch.var_mean(z, 0, correction=0), *torch.std_mean(z), torch.linalg.vector_norm(z), z.norm(1, dim=1)]
        ys += [torch.linalg.vector_norm(z, float("inf"), dim=0), z.any(1), z.all(), torch.count_nonzero(z), z[0, 0].sum()]
        return pairs(*ys)


class Products(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(5, 4, dtype=torch.cfloat))
        self.bias = torch.nn.Parameter(torch.randn(5, dtype=torch.cfloat))
        self.kernel = torch.nn.Parameter(torch.randn(2, 3, 2, dtype=torch.cfloat))

    def forward(self, x, y):
        a, b = of(x), of(y)
        c = a @ b
        ys = [c, torch.nn.functional.linear(c, self.w, self.bias), c[0] @ self.w.mT, torch.bmm(a, b), a[0] @ b[0, :, 0]]
        ys += [torch.einsum("bij,bjk->bik", a, b), torch.einsum("bij,bjk,kl->bil", a, b, self.w.mH), a.mH, a.adjoint() * 2]
        ys += [torch.conv1d(a, self.kernel, self.bias[:2]), torch.outer(a[0, 0], b[0, 0]), torch.addmm(c[0], a[0], b[0], beta=2j)]
        ys += [torch.baddbmm(c, a, b, alpha=0.5), torch.kron(a[0], b[1]), torch.linalg.vecdot(a, a)]
        return pairs(*ys)


class Movement(torch.nn.Module):
    """Views, joins and picks of complex tensors, and writes through views."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def forward(self, x, at):
        z = of(x)
        ys = [z.mT, z.reshape(-1), z[:, 1:3], z[1], z[..., None], z.flip(0), z.roll(1, 1), torch.cat([z, z * 2], 1)]
        ys += [torch.stack([z, x[..., 0]]), z.unflatten(1, (2, 2)), z.expand(2, 3, 4), z.repeat(1, 2), z.index_select(0, at)]
        ys += [z[at], z.gather(1, at.view(1, 2).expand(3, 2)), torch.where(x[..., 0] > 0, z, 1j), z.tril(), z.diagonal()]
        ys += [*z.split(2, 1), *z.unbind(1), z.masked_fill(x[..., 1] < 0, 2 - 1j), torch.nn.functional.pad(z, (1, 2), value=3.0)]
        ys += [z.squeeze(), z.unfold(1, 2, 1), torch.meshgrid(z[0], z[:, 0], indexing="ij")[0], z.to(torch.complex128), z.real.sum()]
        w = z.clone()
        w[0] = 1j
        w[:, 1::2] += 1
        torch.view_as_real(w)[1, 1, 1] = 7
        if self.parts:
            w.conj()[2, 2] = 5 - 2j
            w.real.mul_(2)
            w.imag[2] = z.real[0]
        ys += [w, w.scatter(1, at.view(1, 2), z[:1, :2]), w.index_add(0, at, z[:2]), torch.zeros(2, 3, dtype=torch.cfloat) + z[:2, :3]]
        ys += [torch.full((2,), 1 + 2j), torch.complex(x[0, 0, 0], x[..., 1]), torch.polar(x[..., 0].abs(), x[..., 1])]
        return pairs(*ys)


class Out(torch.nn.Module):
    def forward(self, x):
        return of(x) * 2


class In(torch.nn.Module):
    def forward(self, z):
        return z.abs()


class Undefined(torch.nn.Module):
    def forward(self, x):
        return torch.logcumsumexp(of(x), 0).real


def points(*shape, seed=0):
    return torch.randn(*shape, 2, generator=torch.Generator().manual_seed(seed))


torch.manual_seed(0)
edges = torch.tensor([[2.0, 0.5], [-2.0, 0.0], [-2.0, -0.0], [0.5, -0.0], [0.0, 3.0], [-0.0, -3.0], [1e-4, 1e-4], [30.0, 2.0], [-0.3, 0.7]])
for core in (False, True):
    tail = "_core" if core else ""
    more = [(points(1, 9, 12).flatten(2),)]
    export("complex_rotary" + tail, Rotary(), (points(2, 5, 12).flatten(2),), dynamic=({0: B, 1: T},), more=more, decompose=core)
    three = (points(2, 3), points(2, 3, seed=1), points(2, 3, seed=2)[..., 0])
    export("complex_arithmetic" + tail, Arithmetic(), three, decompose=core, rtol=1e-3)
    export("complex_movement" + tail, Movement(not core), (points(3, 4), torch.tensor([2, 0])), decompose=core)
export("complex_functions", Functions(), (edges,), rtol=1e-3)
export("complex_reductions", Reductions(), (points(3, 4),))
export("complex_products", Products(), (points(2, 3, 3), points(2, 3, 4, seed=1)))
export("complex_double", Functions(), (edges[:2].double(),), rtol=1e-10, atol=1e-12)
export("complex_output", Out(), (points(2),), refused="is complex; models have real inputs and outputs")
export("complex_input", In(), (of(points(2)),), refused="is complex; models have real inputs and outputs")
export("complex_refused", Undefined(), (points(2),), refused="`logcumsumexp` of complex numbers is not supported")
