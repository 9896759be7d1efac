"""Writes parsers/src/pytorch/lift/aten/special/tables.rs: polynomials that special functions are computed with.

Each is the near-minimax fit (Chebyshev interpolation) of a function that is smooth on an interval, in single and in double precision:
as few terms as reach a relative (or, where marked, absolute) error below 2e-8 and 2e-16. Run: `python testdata/gen/special_tables.py`
(needs mpmath).
"""
import pathlib

import mpmath as mp

mp.mp.dps = 40
OUT = pathlib.Path(__file__).resolve().parents[2] / "parsers/src/pytorch/lift/aten/special/tables.rs"
pi, sqrt, exp, log = mp.pi, mp.sqrt, mp.exp, mp.log


def amplitudes(n, x):
    """P and x Q / 8 of J_n = sqrt(2 / (pi x)) (P cos c - Q sin c), Y_n likewise, with c = x - (2 n + 1) pi / 4."""
    c = x - (2 * n + 1) * pi / 4
    k = sqrt(pi * x / 2)
    j, y = mp.besselj(n, x), mp.bessely(n, x)
    return k * (j * mp.cos(c) + y * mp.sin(c)), k * (y * mp.cos(c) - j * mp.sin(c)) * x / 8


def airy_amplitudes(z):
    """P and z Q of Ai(-x) = x^(-1/4) / sqrt(pi) (P cos c + Q sin c) at z = 2/3 x^(3/2), with c = z - pi / 4."""
    x = (mp.mpf(3) / 2 * z) ** (mp.mpf(2) / 3)
    c = z - pi / 4
    k = sqrt(pi) * x ** mp.mpf("0.25")
    a, b = mp.airyai(-x), mp.airybi(-x)
    return k * (a * mp.cos(c) - b * mp.sin(c)), k * (a * mp.sin(c) + b * mp.cos(c)) * z


def airy_decay(z):
    x = (mp.mpf(3) / 2 * z) ** (mp.mpf(2) / 3)
    return mp.airyai(x) * exp(z) * x ** mp.mpf("0.25")


def upper_quantile(p):
    """The positive x whose upper tail of the normal distribution is p."""
    s = sqrt(-2 * log(p))
    x = s
    for _ in range(60):
        t = mp.erfc(x / sqrt(2)) / 2
        d = (t - p) / (exp(-x * x / 2) / sqrt(2 * pi))
        d = d / (1 - x * d / 2)
        x += d
        if abs(d) < mp.mpf(10) ** -36 * (1 + abs(x)):
            break
    return x


def quantile_rest(r):
    """s (s - log(s) / s - x) of the tail with s = sqrt(-2 log p) = 1 / r."""
    s = 1 / r
    x = upper_quantile(exp(-s * s / 2))
    return s * (s - log(s) / s - x)


def sqrt_of(f):
    return lambda z: f(sqrt(max(z, mp.mpf(10) ** -20)))


TINY = mp.mpf(10) ** -20
J, Y, I, K = mp.besselj, mp.bessely, mp.besseli, mp.besselk
far = lambda f, c: (lambda r: f(c / max(r, mp.mpf(10) ** -4)))  # r = c / x in 0..1
FITS = [
    # name, what, low, high, function, absolute error
    ("I0_LOW", "`exp(-x) I0(x)`, of `x`", 0, 8, lambda x: exp(-x) * I(0, x), 0),
    ("I0_HIGH", "`exp(-x) I0(x) sqrt(x)`, of `8 / x`", 0, 1, far(lambda x: exp(-x) * I(0, x) * sqrt(x), 8), 0),
    ("I1_LOW", "`exp(-x) I1(x) / x`, of `x`", 0, 8, lambda x: mp.mpf("0.5") if x < TINY else exp(-x) * I(1, x) / x, 0),
    ("I1_HIGH", "`exp(-x) I1(x) sqrt(x)`, of `8 / x`", 0, 1, far(lambda x: exp(-x) * I(1, x) * sqrt(x), 8), 0),
    ("I0_SQUARE", "`I0(x)`, of `x^2`", 0, 4, sqrt_of(lambda x: I(0, x)), 0),
    ("I1_SQUARE", "`I1(x) / x`, of `x^2`", 0, 4, sqrt_of(lambda x: I(1, x) / x), 0),
    ("K0_LOW", "`K0(x) + log(x / 2) I0(x)`, of `x^2`", 0, 4, sqrt_of(lambda x: K(0, x) + log(x / 2) * I(0, x)), 1),
    ("K0_HIGH", "`exp(x) K0(x) sqrt(x)`, of `2 / x`", 0, 1, far(lambda x: exp(x) * K(0, x) * sqrt(x), 2), 0),
    ("K1_LOW", "`x (K1(x) - log(x / 2) I1(x))`, of `x^2`", 0, 4, sqrt_of(lambda x: x * (K(1, x) - log(x / 2) * I(1, x))), 1),
    ("K1_HIGH", "`exp(x) K1(x) sqrt(x)`, of `2 / x`", 0, 1, far(lambda x: exp(x) * K(1, x) * sqrt(x), 2), 0),
    ("J0_LOW", "`J0(x)`, of `x^2`", 0, 64, sqrt_of(lambda x: J(0, x)), 1),
    ("J1_LOW", "`J1(x) / x`, of `x^2`", 0, 64, sqrt_of(lambda x: J(1, x) / x), 1),
    ("Y0_LOW", "`Y0(x) - 2/pi log(x) J0(x)`, of `x^2`", 0, 64, sqrt_of(lambda x: Y(0, x) - 2 / pi * log(x) * J(0, x)), 1),
    ("Y1_LOW", "`(Y1(x) - 2/pi (log(x) J1(x) - 1/x)) / x`, of `x^2`", 0, 64,
     sqrt_of(lambda x: (Y(1, x) - 2 / pi * (log(x) * J(1, x) - 1 / x)) / x), 1),
    ("P0", "amplitude `P` of order 0, of `(8 / x)^2`", 0, 1, sqrt_of(far(lambda x: amplitudes(0, x)[0], 8)), 0),
    ("Q0", "amplitude `Q x / 8` of order 0, of `(8 / x)^2`", 0, 1, sqrt_of(far(lambda x: amplitudes(0, x)[1], 8)), 0),
    ("P1", "amplitude `P` of order 1, of `(8 / x)^2`", 0, 1, sqrt_of(far(lambda x: amplitudes(1, x)[0], 8)), 0),
    ("Q1", "amplitude `Q x / 8` of order 1, of `(8 / x)^2`", 0, 1, sqrt_of(far(lambda x: amplitudes(1, x)[1], 8)), 0),
    ("ERFCX", "`erfcx(x) / t`, of `t = 3 / (3 + x)`", 0, 1,
     lambda t: 1 / (3 * sqrt(pi)) if t < TINY else (lambda x: (exp(x * x) * mp.erfc(x) if x < 60 else 1 / (x * sqrt(pi)) * mp.nsum(lambda k: (-1) ** int(k) * mp.fac2(2 * int(k) - 1) / (2 * x * x) ** int(k), [0, 12])) / t)(3 / t - 3), 0),
    ("ERF", "`erf(x) / x`, of `x^2`", 0, 1, sqrt_of(lambda x: mp.erf(x) / x), 0),
    ("ERFINV", "`erfinv(u) / u`, of `u^2`", 0, mp.mpf("0.36"), sqrt_of(lambda u: mp.erfinv(u) / u), 0),
    ("TAIL_NEAR", "`s^2 - log(s) - s x` of the normal quantile `x`, of `1 / s` with `s = sqrt(-2 log p)`", mp.mpf(1) / 6, mp.mpf("0.56"),
     quantile_rest, 1),
    ("TAIL_FAR", "the same far out", mp.mpf(1) / 40, mp.mpf(1) / 6, quantile_rest, 1),
    ("LGAMMA_TWO", "`lgamma(2 + v) / v`, of `v`", mp.mpf("-0.5"), mp.mpf("0.5"),
     lambda v: 1 - mp.euler if abs(v) < TINY else mp.loggamma(2 + v) / v, 0),
    ("STIRLING", "`x (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2)`, of `(8 / x)^2`", 0, 1,
     sqrt_of(far(lambda x: x * (mp.loggamma(x) - (x - mp.mpf("0.5")) * log(x) + x - log(2 * pi) / 2), 8)), 0),
    ("DIGAMMA_FAR", "`x^2 (digamma(x) - log(x) + 1 / (2 x))`, of `(8 / x)^2`", 0, 1,
     sqrt_of(far(lambda x: x * x * (mp.digamma(x) - log(x) + 1 / (2 * x)), 8)), 0),
    ("TRIGAMMA_FAR", "`x^3 (trigamma(x) - 1 / x - 1 / (2 x^2))`, of `(8 / x)^2`", 0, 1,
     sqrt_of(far(lambda x: x ** 3 * (mp.psi(1, x) - 1 / x - 1 / (2 * x * x)), 8)), 0),
    ("AIRY_LOW", "`Ai(x)`, of `x`", -4, 2, lambda x: mp.airyai(x), 1),
    ("AIRY_HIGH", "`Ai(x) exp(z) x^(1/4)`, of `1.5 / z` with `z = 2/3 x^(3/2)`", 0, 1, far(airy_decay, mp.mpf("1.5")), 0),
    ("ATAN", "`atan(x) / x`, of `x^2`", 0, mp.mpf("0.1716"), sqrt_of(lambda x: mp.atan(x) / x), 0),
    ("AIRY_P", "amplitude `P` of `Ai(-x)`, of `(5 / z)^2`", 0, 1, sqrt_of(far(lambda z: airy_amplitudes(z)[0], 5)), 0),
    ("AIRY_Q", "amplitude `z Q` of `Ai(-x)`, of `(5 / z)^2`", 0, 1, sqrt_of(far(lambda z: airy_amplitudes(z)[1], 5)), 0),
]


def chebyshev(f, low, high, n):
    """Coefficients in Chebyshev polynomials of the interpolant at n nodes."""
    nodes = [mp.cos(pi * (k + mp.mpf("0.5")) / n) for k in range(n)]
    values = [f((low + high) / 2 + (high - low) / 2 * u) for u in nodes]
    c = []
    for j in range(n):
        c.append(2 * mp.fsum(v * mp.cos(pi * j * (k + mp.mpf("0.5")) / n) for k, v in enumerate(values)) / n)
    c[0] /= 2
    return c, values


def monomials(c):
    """The same polynomial in powers, lowest first."""
    out = [mp.mpf(0)] * len(c)
    a, b = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
    for j, k in enumerate(c):
        for i, v in enumerate(a):
            out[i] += k * v
        nxt = [mp.mpf(0)] + [2 * v for v in b]
        for i, v in enumerate(a):
            nxt[i] -= v
        a, b = b, nxt
    return out


def literal(v):
    text = repr(float(v))
    return text


def main():
    lines = [
        "//! Polynomials that special functions are computed with. Written by `testdata/gen/special_tables.py`.",
        "use super::helpers::Fit;",
    ]
    for name, what, low, high, f, absolute in FITS:
        low, high = mp.mpf(low), mp.mpf(high)
        c, values = chebyshev(f, low, high, 44)
        scale = max(map(abs, values)) if absolute else min(map(abs, values))
        found = []
        for bound in (mp.mpf("2e-8"), mp.mpf("2e-16")):
            n = next((n for n in range(2, 44) if mp.fsum(map(abs, c[n:])) < bound * scale), 43)
            found.append((n, mp.fsum(map(abs, c[n:])) / scale))
        print(name, [(n, mp.nstr(e, 3)) for n, e in found])
        lines += ["", f"/// {what}.", f"pub(super) const {name}: Fit = Fit {{"]
        lines += [f"    low: {literal(low)},", f"    high: {literal(high)},"]
        for key, (n, _) in zip(("single", "double"), found):
            body = [literal(v) for v in reversed(monomials(c[:n]))]
            lines.append(f"    {key}: &[" + ", ".join(body) + "],")
        lines.append("};")
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
