"""Honest evaluation: from predictions to metrics with support and intervals, comparison and report."""

from mediswarm.evaluation.classification import evaluate_predictions
from mediswarm.evaluation.comparison import comparison_table, summarise, write_summary
from mediswarm.evaluation.paired import compare_predictions
from mediswarm.evaluation.report import write_report
from mediswarm.evaluation.result import FEDERATED, LOCAL, Difference, Result
from mediswarm.evaluation.roc import RocCurve, roc_curves
from mediswarm.evaluation.run_facts import ALL_SITES, ContributionLine, Point, RunFacts
from mediswarm.evaluation.run_folder import read_run
from mediswarm.evaluation.verdict import Verdict, verdict

__all__ = [
    "ALL_SITES",
    "FEDERATED",
    "LOCAL",
    "ContributionLine",
    "Difference",
    "Point",
    "Result",
    "RocCurve",
    "RunFacts",
    "Verdict",
    "compare_predictions",
    "comparison_table",
    "evaluate_predictions",
    "read_run",
    "roc_curves",
    "summarise",
    "verdict",
    "write_report",
    "write_summary",
]
