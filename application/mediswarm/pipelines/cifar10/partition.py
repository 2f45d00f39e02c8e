"""Dirichlet split of labelled cases over sites (Hsu, Qi and Brown, 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mediswarm.errors import JobError

Indices = np.ndarray[Any, np.dtype[np.int64]]
_FEWEST = 10
_DRAWS = 1000


def dirichlet_shares(
    labels: Indices, classes: int, sites: int, alpha: float, seed: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What share of each class goes to each site, [classes, sites]; rows sum to 1.

    Drawn anew until every site gets at least 10 of the cases that `labels` [n] describe.

    Raises:
        JobError: MS-J006 when a thousand draws give none such.
    """
    random = np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=classes)
    for _ in range(_DRAWS):
        shares = random.dirichlet(np.full(sites, alpha), size=classes)
        if (counts @ shares).min() >= _FEWEST:
            return shares
    raise JobError(
        "MS-J006",
        f"`config.alpha` {alpha:g} over {sites} sites leaves a site without {_FEWEST} cases in every draw",
        repair="Raise config.alpha, or declare fewer sites.",
    )


def sites_of(labels: Indices, shares: np.ndarray[Any, np.dtype[np.float64]], seed: int) -> Indices:
    """The site [n] of each case: every case is at one site, each class in proportion to `shares`."""
    random = np.random.default_rng([seed, 1])
    owner = np.zeros(len(labels), dtype=np.int64)
    for index, of_class in enumerate(shares):
        cases = random.permutation(np.flatnonzero(labels == index))
        ends = np.rint(np.cumsum(of_class)[:-1] * len(cases)).astype(np.int64)
        for site, part in enumerate(np.split(cases, ends)):
            owner[part] = site
    return owner
