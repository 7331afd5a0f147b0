"""A mixed model's equations, solved group by group and as one matrix."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.estimator.woodbury import WoodburyCovariance


@pytest.mark.parametrize(
    ("observations", "effects", "groups"), [(40, 3, 7), (12, 30, 12), (9, 2, 1), (0, 2, 1)]
)
def test_dividing_by_the_covariance_is_what_one_matrix_gives(observations, effects, groups):
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((observations, effects))
    of = rng.integers(groups, size=observations)
    noise, common = rng.uniform(0.1, 2, observations), rng.standard_normal(observations)

    def block(at):
        return common[at][:, :, None] * common[at][:, None, :] + [np.diag(n) for n in noise[at]]

    together = (of[:, None] == of) * np.outer(common, common)
    covariance = shared @ shared.T + together + np.diag(noise)
    values = rng.standard_normal(observations)
    found = WoodburyCovariance(shared, of, block).solve(values)
    np.testing.assert_allclose(found, np.linalg.solve(covariance, values), rtol=1e-8)
