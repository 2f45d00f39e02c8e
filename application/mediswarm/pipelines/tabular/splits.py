"""Which rows train, validate and test: read from a column or drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mediswarm.data.findings import Finding
from mediswarm.pipelines.tabular.config import SPLITS, TableConfig
from mediswarm.pipelines.tabular.rows import Rows, counted, listed, texts

Splits = np.ndarray[Any, np.dtype[np.object_]]


def splits_of(
    table: pd.DataFrame,
    config: TableConfig,
    targets: np.ndarray[Any, np.dtype[np.int64]],
    rows: Rows,
) -> tuple[Splits, list[Finding]]:
    """The split of each row [n], and what is wrong with it.

    Findings: MS-D209 a text that is no split, MS-D210 a patient in two splits (D1),
    MS-D003 no row to train or validate on.
    """
    patients = texts(table, config.patient) if config.patient else np.array(rows.ids, dtype=object)
    findings = []
    if config.split.column is None:
        splits = draw_splits(list(patients), targets, config.split.fractions, config.split.seed)
    else:
        splits = texts(table, config.split.column)
        unknown = ~np.isin(splits.astype(str), SPLITS)
        if unknown.any():
            findings.append(
                rows.finding(
                    "FAIL",
                    "MS-D209",
                    "splits",
                    f"{counted(int(unknown.sum()), 'row')} in column {config.split.column!r} "
                    f"{'names' if unknown.sum() == 1 else 'name'} no split",
                    f"Write one of {listed(list(SPLITS))}.",
                    unknown,
                )
            )
        findings += _across(patients, splits, rows)
    for split in SPLITS[:2]:
        if not (splits == split).any():
            findings.append(
                Finding("FAIL", "splits", f"the table has no {split} rows", "MS-D003", file=str(rows.file))
            )
    return splits, findings


def draw_splits(
    patients: Sequence[str],
    targets: np.ndarray[Any, np.dtype[np.int64]],
    fractions: Sequence[float],
    seed: int,
) -> Splits:
    """Split by patient, stratified by each patient's highest class.

    The order within a class is that of a hash of seed and patient, so that it does
    not depend on the rows' order in the file. Each patient goes where most is
    lacking to the declared fractions so far.

    Args:
        patients: the patient of each row [n].
        targets: the class index of each row [n].
        fractions: shares of train, validation and test.
        seed: another seed, another draw.
    """
    stratum: dict[str, int] = {}
    for patient, target in zip(patients, targets, strict=True):
        stratum[patient] = max(stratum.get(patient, -1), int(target))
    order = sorted(stratum, key=lambda patient: (stratum[patient], _hash(seed, patient)))
    given = np.zeros(len(SPLITS))
    shares = np.array(fractions)
    split_of: dict[str, str] = {}
    for seen, patient in enumerate(order, start=1):
        chosen = int(np.argmax(shares * seen - given))
        given[chosen] += 1
        split_of[patient] = SPLITS[chosen]
    return np.array([split_of[patient] for patient in patients], dtype=object)


def _hash(seed: int, patient: str) -> bytes:
    return hashlib.sha256(f"{seed}/{patient}".encode()).digest()


def _across(patients: np.ndarray[Any, Any], splits: Splits, rows: Rows) -> list[Finding]:
    per_patient = pd.DataFrame({"patient": patients, "split": splits}).groupby("patient")["split"].nunique()
    leaking = set(per_patient[per_patient > 1].index) - {""}
    if not leaking:
        return []
    return [
        rows.finding(
            "FAIL",
            "MS-D210",
            "splits",
            f"{counted(len(leaking), 'patient')} {'stands' if len(leaking) == 1 else 'stand'} "
            "in more than one split",
            "Give all rows of a patient the same split; a model tested on patients it has trained on "
            "looks better than it is.",
            np.isin(patients.astype(str), list(leaking)),
        )
    ]
