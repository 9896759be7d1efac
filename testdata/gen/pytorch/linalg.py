"""Linear algebra: factorisations, systems of equations, eigenvalues and singular values. Results that are not unique are compared by what
they compose to."""
import torch
from common import export

L = torch.linalg
STACK = torch.export.Dim("stack", min=1, max=64)
ROWS, COLUMNS, SIDE = (torch.export.Dim(n, min=2, max=64) for n in ("rows", "columns", "side"))


def definite(a):
    return a @ a.mT + torch.eye(a.shape[-1], dtype=a.dtype)


class Factors(torch.nn.Module):
    """Of rectangular matrices, those that are unique: with the pivots and signs of LAPACK."""

    def __init__(self, extremes=True):
        super().__init__()
        self.extremes = extremes

    def forward(self, a):
        data, pivots, info = L.lu_factor_ex(a)
        u, s, v = L.svd(a, full_matrices=False)
        whole_u, whole_s, whole_v = L.svd(a)
        return (
            *L.lu(a), data, pivots, info, *torch.lu_unpack(data, pivots), *L.qr(a), *L.qr(a, "complete"), L.qr(a, "r")[1],
            L.svdvals(a), (u * s.unsqueeze(-2)) @ v, u.mT @ u, v @ v.mT, whole_u @ whole_u.mT, whole_s, whole_v.mT @ whole_v,
            L.pinv(a), L.matrix_rank(a), L.norm(a, "nuc", dim=(-2, -1)),
            *([L.matrix_norm(a, 2), L.matrix_norm(a, -2)] if self.extremes else []),
        )


class Reflections(torch.nn.Module):
    """Reflections as they are stored, and their products from both sides."""

    def forward(self, a, c):
        packed, tau = torch.geqrf(a)
        q = L.householder_product(packed, tau)
        both = [torch.ormqr(packed, tau, c, left=left, transpose=t) for left in (True, False) for t in (True, False)]
        return packed, tau, q, *both


class Symmetric(torch.nn.Module):
    """Factors, eigenvalues and roots of symmetric matrices; the triangle that is not named is not read."""

    def forward(self, a, b):
        spd, both = definite(a), a + a.mT
        lower, info = L.cholesky_ex(spd)
        bad, failed = L.cholesky_ex(-spd.triu())
        values, vectors = L.eigh(a)
        other, turned = L.eigh(a, UPLO="U")
        ld, pivots, code = L.ldl_factor_ex(both)
        return (
            lower, info, failed, L.cholesky(spd.triu(), upper=True), torch.cholesky_solve(b, lower),
            torch.cholesky_inverse(lower.mT, upper=True), values, other, L.eigvalsh(a, UPLO="U"), vectors.mT @ vectors,
            (vectors * values.unsqueeze(-2)) @ vectors.mT, (turned * other.unsqueeze(-2)) @ turned.mT,
            ld, pivots, code, L.ldl_solve(ld, pivots, b), L.matrix_sqrth(spd), L.pinv(a, hermitian=True),
            L.matrix_rank(both, atol=1.5, hermitian=True),
            # Many equal eigenvalues.
            L.matrix_sqrth(torch.ones(28, 28) + 2 * torch.eye(28)), torch.linalg.pinv(torch.ones(5, 5), hermitian=True),
        )


class Systems(torch.nn.Module):
    """Systems of equations from both sides, with broadcast stacks and singular matrices."""

    def forward(self, a, b, v):
        lu, pivots = L.lu_factor(a)
        c = b.mT.contiguous()
        x, info = L.solve_ex(a, b)
        flat = torch.ones(3, 3)
        _, code = L.inv_ex(flat)
        return (
            x, info, code, L.solve(a[0], b), L.solve(a, c, left=False), L.solve(a[0], v), L.lu_solve(lu, pivots, b, adjoint=True),
            L.lu_solve(lu, pivots, c, left=False), b.lu_solve(lu, pivots), L.inv(a), torch.inverse(a),
            L.solve_triangular(a, b, upper=True), L.solve_triangular(a[0], b, upper=False, unitriangular=True),
            L.solve_triangular(a, c, upper=False, left=False), *torch.triangular_solve(b, a, transpose=True),
            L.det(a), *L.slogdet(a), torch.logdet(a), L.det(flat), *L.slogdet(flat), torch.logdet(-flat @ flat),
            L.tensorinv(a[0].reshape(4, 2, 2), ind=1), L.tensorsolve(a[0].reshape(2, 2, 4), v.reshape(2, 2)),
        )


class Functions(torch.nn.Module):
    """Powers, exponentials, condition numbers, norms over chosen axes, polar factors, and tolerances of every kind."""

    def forward(self, a, w, k):
        some = torch.tensor([0.5, 2.0])
        return (
            L.matrix_exp(a), L.matrix_exp(3 * a), L.matrix_power(a, 0), L.matrix_power(a, 5), L.matrix_power(a, -3),
            L.matrix_power(k, 3), *(L.cond(a, p) for p in (None, -2, 1, -1, float("inf"), "fro", "nuc")), L.cond(torch.ones(2, 2), 1),
            *(L.matrix_norm(w, p, dim=(2, 0), keepdim=True) for p in ("fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf"))),
            L.norm(w[0], 2), L.norm(w, "fro", dim=(0, 1), dtype=torch.float64), L.norm(w[0, 0], 3), *L.polar(w[0].mT),
            L.matrix_rank(w, atol=some, rtol=some / 4), L.matrix_rank(w, tol=1.0), L.pinv(w, rcond=0.4), L.pinv(w, atol=some),
            torch.pinverse(w), L.pinv(w, rtol=0.3),
        )


class Signs(torch.nn.Module):
    """Vectors of small matrices, whose signs are LAPACK's."""

    def forward(self, a, b):
        return *L.svd(a), *L.svd(a.mT), *torch.svd(b), *L.eigh(b), *L.eigh(b, UPLO="U"), *L.svd(a[:, :, :1]), *L.eigh(torch.zeros(2, 2))


class Empty(torch.nn.Module):
    """Matrices without rows or columns, and stacks of none."""

    def forward(self, a, b, c):
        return (
            L.det(a), *L.slogdet(a), L.inv(a), *L.qr(b, "complete"), *L.lu(b), *L.svd(b), L.pinv(b), L.matrix_rank(b),
            L.matrix_norm(b, 1), *L.lu_factor_ex(c), *L.qr(c), *L.svd(c), *L.eigh(c), L.cholesky(c), L.solve(c, c), L.matrix_exp(c),
            *L.ldl_factor(c), L.cond(c), L.matrix_rank(c),
        )


def matrices(*sizes, dtype=torch.float32):
    return torch.randn(*sizes, dtype=torch.float64).to(dtype)


if __name__ == "__main__":
    torch.manual_seed(0)
    export("linalg_factors_tall", Factors(), (matrices(2, 5, 3),))
    export("linalg_factors_wide", Factors(), (matrices(3, 5, dtype=torch.float64),))
    export(
        "linalg_factors_dynamic",
        Factors(extremes=False),
        (matrices(2, 4, 6),),
        dynamic=({0: STACK, 1: ROWS, 2: COLUMNS},),
        more=[(matrices(1, 7, 3),)],
    )
    export("linalg_reflections", Reflections(), (matrices(2, 4, 4), matrices(2, 4, 4)))
    export(
        "linalg_symmetric",
        Symmetric(),
        (matrices(2, 6, 6), matrices(2, 6, 2)),
        dynamic=({0: STACK, 1: SIDE, 2: SIDE}, {0: STACK, 1: SIDE}),
        more=[(matrices(1, 9, 9), matrices(1, 9, 2))],
    )
    export("linalg_systems", Systems(), (matrices(2, 4, 4), matrices(2, 4, 3), matrices(4)), rtol=1e-3)
    whole = torch.randint(-3, 4, (2, 3, 3))
    export("linalg_functions", Functions(), (matrices(2, 4, 4), matrices(2, 3, 4), whole), rtol=1e-3, atol=1e-4)
    export("linalg_signs", Signs(), (matrices(2, 4, 3), matrices(2, 4, 4)), rtol=1e-3, atol=1e-4)
    export("linalg_empty", Empty(), (matrices(0, 0), matrices(3, 0), matrices(0, 2, 2)))
