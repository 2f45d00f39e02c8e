"""What is declared: the job. The only package that reads YAML."""

from mediswarm.spec.digest import canonical_json, sha256_of_file, sha256_of_json
from mediswarm.spec.job import Job
from mediswarm.spec.load import load_job
from mediswarm.spec.selection import Selection
from mediswarm.spec.strict import Strict
from mediswarm.spec.training import LocalWork, Optimizer, Schedule, Training
from mediswarm.spec.workflow import (
    Cyclic,
    FedAvg,
    FedOpt,
    Scaffold,
    ServerOptimizer,
    Swarm,
    Workflow,
)

__all__ = [
    "Cyclic",
    "FedAvg",
    "FedOpt",
    "Job",
    "LocalWork",
    "Optimizer",
    "Scaffold",
    "Schedule",
    "Selection",
    "ServerOptimizer",
    "Strict",
    "Swarm",
    "Training",
    "Workflow",
    "canonical_json",
    "load_job",
    "sha256_of_file",
    "sha256_of_json",
]
