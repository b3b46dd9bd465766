"""Low rank plus sparse, by the inexact augmented Lagrange multiplier method."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-7  # of the residual, relative to the data; Lin et al. 2010, section 4
START = 1.25  # of mu, times 1 / ||D||_2; the same
# Of mu, from step to step; with the 1.5 of the paper it ends further from the optimum.
GROWTH = 1.25


@dataclass(frozen=True)
class Decomposition:
    """D + motion = low_rank + sparse, float64 m x n each.

    steps[j]: float64 p, how far column j moved along the columns of its basis.
    """

    low_rank: np.ndarray
    sparse: np.ndarray
    steps: Mapping[int, np.ndarray]

    def objective(self, lam: float) -> float:
        """||L||_* + lam ||S||_1."""
        return float(np.linalg.norm(self.low_rank, "nuc") + lam * np.abs(self.sparse).sum())


def standard_weight(shape: tuple[int, int]) -> float:
    """1 / sqrt(max(m, n)), for which recovery is proven (Candes, Li, Ma and Wright 2011)."""
    return 1 / np.sqrt(max(shape))


def decompose(
    data: np.ndarray,
    lam: float,
    bases: Mapping[int, np.ndarray] | None = None,
    balance: Mapping[int, np.ndarray] | None = None,
    growth: float = GROWTH,
) -> Decomposition:
    """Minimise ||L||_* + lam ||S||_1 subject to D + sum_j Q_j step_j e_j^T = L + S.

    Without bases this is robust principal component analysis (Lin, Chen and Ma 2010, algorithm
    5); with them it is the inner problem of RASL (Peng et al. 2012, eq. 10 and 11).

    Args:
        data: D, m x n.
        lam: the weight of the sparse part, greater than 0; see `standard_weight`.
        bases: for columns that may move, by number: Q_j, m x p with orthonormal columns.
        balance: sum_j B_j step_j = 0 is kept, B_j of q x p by number of the column.
        growth: of the penalty from step to step, greater than 1; the smaller, the more steps and
            the nearer to the optimum.
    """
    bases = bases or {}
    largest = np.linalg.norm(data, 2)
    sparse, moved = np.zeros_like(data), data.copy()
    steps = {column: np.zeros(basis.shape[1]) for column, basis in bases.items()}
    if largest == 0:
        return Decomposition(np.zeros_like(data), sparse, steps)
    multiplier = data / max(largest, np.abs(data).max() / lam)
    penalty, residual, bound = START / largest, np.inf, TOLERANCE * np.linalg.norm(data)
    # The sparse part comes last: then |multiplier| <= lam, the residual is at most
    # 2 lam sqrt(mn) / penalty, and the growth of the penalty ends the loop.
    while residual > bound:
        low_rank = shrink_rank(moved - sparse + multiplier / penalty, 1 / penalty)
        wanted = low_rank + sparse - multiplier / penalty - data
        steps = {column: basis.T @ wanted[:, column] for column, basis in bases.items()}
        if balance is not None:
            steps = _balanced(steps, balance)
        for column, step in steps.items():
            moved[:, column] = data[:, column] + bases[column] @ step
        unexplained = moved - low_rank + multiplier / penalty
        sparse = shrink(unexplained, lam / penalty)
        difference = moved - low_rank - sparse
        multiplier = multiplier + penalty * difference
        residual = np.linalg.norm(difference)
        penalty *= growth
    return Decomposition(low_rank, sparse, steps)


def _balanced(
    steps: Mapping[int, np.ndarray], balance: Mapping[int, np.ndarray]
) -> dict[int, np.ndarray]:
    """The nearest steps of which sum_j B_j step_j = 0."""
    excess = sum(balance[column] @ step for column, step in steps.items())
    gram = sum(weights @ weights.T for weights in balance.values())
    # Directions in which no column moves are out of balance by nothing.
    pull = np.linalg.lstsq(gram, excess)[0]
    return {column: step - balance[column].T @ pull for column, step in steps.items()}


def shrink(values: np.ndarray, threshold: float) -> np.ndarray:
    """Move every entry towards 0 by `threshold`, at most to 0."""
    return values - values.clip(-threshold, threshold)


def shrink_rank(matrix: np.ndarray, threshold: float) -> np.ndarray:
    """Move every singular value towards 0 by `threshold`, at most to 0.

    From the eigenvectors of the smaller Gram matrix, several times faster than a singular value
    decomposition when m >> n; singular values below 1e-8 of the largest are lost in rounding.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return shrink_rank(matrix.T, threshold).T
    eigenvalues, vectors = np.linalg.eigh(matrix.T @ matrix)
    kept = eigenvalues > threshold**2
    vectors = vectors[:, kept]
    return (matrix @ vectors) * (1 - threshold / np.sqrt(eigenvalues[kept])) @ vectors.T
