"""Special functions in single and double precision, with poles, infinities and what is no number."""
import torch
from common import export

S = torch.special
UNARY = [
    S.i0, S.i0e, S.i1, S.i1e, S.bessel_j0, S.bessel_j1, S.bessel_y0, S.bessel_y1, S.modified_bessel_i0, S.modified_bessel_i1,
    S.modified_bessel_k0, S.modified_bessel_k1, S.scaled_modified_bessel_k0, S.scaled_modified_bessel_k1, S.spherical_bessel_j0,
    S.airy_ai, S.erf, S.erfc, S.erfcx, S.ndtr, S.log_ndtr, S.entr, S.gammaln, S.psi,
]
POLYNOMIALS = [
    S.chebyshev_polynomial_t, S.chebyshev_polynomial_u, S.chebyshev_polynomial_v, S.chebyshev_polynomial_w,
    S.shifted_chebyshev_polynomial_t, S.shifted_chebyshev_polynomial_u, S.shifted_chebyshev_polynomial_v,
    S.shifted_chebyshev_polynomial_w, S.hermite_polynomial_h, S.hermite_polynomial_he, S.laguerre_polynomial_l,
    S.legendre_polynomial_p,
]


class Functions(torch.nn.Module):
    """Functions of one tensor, `x` anywhere and `p` between 0 and 1."""

    def forward(self, x, p):
        orders = [torch.polygamma(n, x) for n in range(4)]
        return [f(x) for f in UNARY] + orders + [S.ndtri(p), S.erfinv(2 * p - 1), torch.mvlgamma(x.abs() + 2, 3), *torch.frexp(x)]


class Pairs(torch.nn.Module):
    """Functions of two tensors, `n` the degree of polynomials."""

    def forward(self, a, x, y, n):
        series = [S.zeta(a + 1, x), torch.igamma(a, x.abs()), torch.igammac(a, x.abs()), torch.nextafter(x, y), S.xlog1py(a, x.abs())]
        return series + [f(y, n) for f in POLYNOMIALS] + [torch.hash_tensor(x), torch.hash_tensor(y.reshape(2, -1), dim=1)]


class Doubles(torch.nn.Module):
    """Elementary functions in double precision, for which runtimes lack kernels."""

    def forward(self, x, u):
        f = torch.nn.functional
        wide = [torch.tan(x), torch.sinh(x), torch.cosh(x), torch.atan(x), torch.asinh(x), torch.erf(x), f.softplus(x), f.elu(x), f.selu(x)]
        wide += [f.hardswish(x), f.hardsigmoid(x), f.celu(x, 0.7), f.leaky_relu(x), torch.acosh(x.abs() + 1), torch.atan2(x, u)]
        return wide + [torch.asin(u), torch.acos(u), torch.atanh(u)]


def places(dtype):
    inf = float("inf")
    edges = torch.tensor([0.0, 1.0, -1.5, 2.0, 0.5, -0.5, 8.0, inf, -inf, float("nan"), 3.25, -2.25, 100.0, 1e-3], dtype=dtype)
    return torch.cat([edges, torch.linspace(-12.3, 12.7, 26, dtype=dtype)])


if __name__ == "__main__":
    torch.manual_seed(0)
    for dtype, name in [(torch.float32, "single"), (torch.float64, "double")]:
        x = places(dtype)
        p = torch.cat([torch.tensor([0.0, 1.0, 0.5, 1e-6], dtype=dtype), torch.rand(36, dtype=dtype)])
        # The kernels of Bessel functions that PyTorch has are good to seven digits next to 5.
        export(f"special_{name}", Functions(), (x, p), rtol=2e-5, atol=2e-6)
        a = torch.rand(40, dtype=dtype) * 9 + 0.25
        y = torch.rand(40, dtype=dtype) * 3 - 1.5
        n = torch.randint(-1, 12, (40,)).to(dtype)
        export(f"special_pairs_{name}", Pairs(), (a, x, y, n), rtol=5e-5, atol=2e-6)
    x = places(torch.float64)
    export("double_precision", Doubles(), (x, torch.rand(40, dtype=torch.float64) * 2 - 1), rtol=1e-9, atol=1e-12)
