//! Linear algebra: factorisations, systems of equations, eigenvalues and singular values.
//!
//! Algorithms are loops whose bodies do not grow with the matrices, over whole stacks at once. All are computed in 64 bits and rounded
//! once to the type of the program. Complex matrices are refused.
mod bidiagonal;
mod cholesky;
mod eigh;
mod golub;
mod jacobi;
mod ldl;
mod loops;
mod lu;
mod matrix;
mod pair;
mod places;
mod power;
mod ql;
mod qr;
mod solve;
mod spectral;
mod svd;
mod tensor;
mod tridiagonal;

pub(super) use spectral::as_matrix_norm;

pub(super) const TABLE: super::Table = &[
    ("linalg_cholesky", cholesky::cholesky),
    ("cholesky", cholesky::cholesky),
    ("linalg_cholesky_ex", cholesky::cholesky_ex),
    ("cholesky_solve", cholesky::cholesky_solve),
    ("_cholesky_solve_helper", cholesky::cholesky_solve),
    ("cholesky_inverse", cholesky::cholesky_inverse),
    ("linalg_lu", lu::lu),
    ("linalg_lu_factor", lu::lu_factor),
    ("linalg_lu_factor_ex", lu::lu_factor_ex),
    ("_lu_with_info", lu::lu_with_info),
    ("lu_unpack", lu::lu_unpack),
    ("linalg_lu_solve", solve::lu_solve),
    ("lu_solve", solve::legacy_lu_solve),
    ("linalg_solve_triangular", solve::solve_triangular),
    ("triangular_solve", solve::legacy_triangular_solve),
    ("linalg_solve", solve::solve),
    ("linalg_solve_ex", solve::solve_ex),
    ("_linalg_solve_ex", solve::solve_with_factors),
    ("linalg_inv", solve::inv),
    ("linalg_inv_ex", solve::inv_ex),
    ("inverse", solve::legacy_inverse),
    ("_linalg_check_errors", solve::check_errors),
    ("linalg_det", solve::det),
    ("det", solve::det),
    ("_linalg_det", solve::det_with_factors),
    ("linalg_slogdet", solve::slogdet),
    ("slogdet", solve::slogdet),
    ("_linalg_slogdet", solve::slogdet_with_factors),
    ("logdet", solve::logdet),
    ("linalg_qr", qr::qr),
    ("qr", qr::legacy_qr),
    ("geqrf", qr::geqrf),
    ("linalg_householder_product", qr::householder_product),
    ("orgqr", qr::householder_product),
    ("ormqr", qr::ormqr),
    ("linalg_ldl_factor", ldl::ldl_factor),
    ("linalg_ldl_factor_ex", ldl::ldl_factor_ex),
    ("linalg_ldl_solve", ldl::ldl_solve),
    ("linalg_eigh", eigh::eigh),
    ("_linalg_eigh", eigh::eigh),
    ("linalg_eigvalsh", eigh::eigvalsh),
    ("linalg_matrix_sqrth", eigh::matrix_sqrth),
    ("linalg_svd", svd::svd),
    ("_linalg_svd", svd::internal_svd),
    ("svd", svd::legacy_svd),
    ("linalg_svdvals", svd::svdvals),
    ("linalg_polar", svd::polar),
    ("linalg_pinv", spectral::pinv),
    ("pinverse", spectral::legacy_pinverse),
    ("linalg_matrix_rank", spectral::matrix_rank),
    ("linalg_cond", spectral::cond),
    ("linalg_matrix_norm", spectral::matrix_norm),
    ("nuclear_norm", spectral::nuclear_norm),
    ("linalg_lstsq", spectral::lstsq),
    ("matrix_exp", power::matrix_exp),
    ("linalg_matrix_exp", power::matrix_exp),
    ("matrix_power", power::matrix_power),
    ("linalg_matrix_power", power::matrix_power),
    ("linalg_tensorinv", tensor::tensorinv),
    ("linalg_tensorsolve", tensor::tensorsolve),
];
