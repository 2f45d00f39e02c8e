"""The contract test finds each way in which a pipeline can break the interface."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from mediswarm.preflight.pipeline_contract import RULES, check_pipeline
from mediswarm.spec.catalogue import JOBS

CODE = (JOBS / "minimal_training_pytorch_cnn" / "pipeline.py").read_text(encoding="utf-8")
HEAD = "class Minimal(ClassificationPipeline[MinimalConfig]):\n    Config = MinimalConfig\n"


class Broken(NamedTuple):
    """`old` replaced by `new` in the minimal pipeline, the rule that fails, and a part of the message."""

    old: str
    new: str
    rule: str
    message: str


def method(body: str) -> str:
    """The head of the class with a further method."""
    return f"{HEAD}\n{body}"


BROKEN = {
    "contract that changes": Broken(
        '"input_shape": [',
        '"when": id(object()) + torch.seed(), "input_shape": [',
        "data contract",
        "same values",
    ),
    "metric named twice": Broken(
        HEAD,
        method("    @property\n    def reported(self):\n        return ('auroc_macro', 'auroc_macro')\n"),
        "metric names",
        "each metric once",
    ),
    "ids given twice": Broken(
        "Cases.of(images, labels)", "Cases.of(images, labels, ['x'] * count)", "site data", "ids of their own"
    ),
    "cases in two splits": Broken(
        "Cases.of(images, labels)",
        "Cases.of(images, labels, [f'case-{i}' for i in range(count)])",
        "site data",
        "are in both train and validation",
    ),
    "ids that do not fit the cases": Broken(
        "Cases.of(images, labels)", "Cases.of(images, labels, ['x'])", "site data", "1 ids were given for 60"
    ),
    "a check that fails": Broken(
        HEAD,
        method(
            "    def check(self, site):\n"
            "        from mediswarm.data.findings import Finding\n"
            "        return [Finding('FAIL', 'ward', 'the ward is closed', 'MS-D001', 'Open it.')]\n"
        ),
        "site check",
        "the ward is closed",
    ),
    "a check that says nothing": Broken(
        HEAD, method("    def check(self, site):\n        return []\n"), "site check", "neither good nor bad"
    ),
    "a check that gives texts": Broken(
        HEAD,
        method("    def check(self, site):\n        return ['fine']\n"),
        "site check",
        "list of Findings",
    ),
    "no validation cases": Broken("(2, 4, 4)", "(2, 999, 4)", "site data", "training and validation cases"),
    "data that fail": Broken("(2, 4, 4)", "(2, 0, 4)", "site data", "ZeroDivisionError"),
    "random reading": Broken(
        "        return Cases.of(images, labels)",
        "        class Random(torch.utils.data.Dataset):\n"
        "            def __getitem__(self, index):\n"
        "                return images[index] + torch.randn(()), labels[index]\n"
        "        return Cases(Random(), [str(i) for i in range(count)])",
        "reading",
        "augment()",
    ),
    "statistics that cannot be summed": Broken(
        HEAD,
        method("    def statistics(self, data):\n        return {'names': ['a', 'b']}\n"),
        "statistics",
        "lists of numbers",
    ),
    "model with a generator of its own": Broken(
        "        width = self.config.channels\n",
        "        width = self.config.channels\n        torch.seed()\n",
        "model",
        "global generator and nothing else",
    ),
    "model without parameters": Broken(
        "        return nn.Sequential(",
        "        return nn.Flatten()\n        return nn.Sequential(",
        "model",
        "trainable",
    ),
    "model that needs the totals": Broken(
        "        width = self.config.channels\n",
        "        width = self.config.channels + len(self.totals)\n",
        "model",
        "before the sites have agreed",
    ),
    "judgement that is random": Broken(
        HEAD,
        method("    def predict(self, output):\n        return torch.rand_like(output).softmax(1)\n"),
        "judgement",
        "same answers each time",
    ),
    "columns that do not fit": Broken(
        HEAD,
        method("    def prediction_columns(self):\n        return ['p']\n"),
        "judgement",
        "must name 3 columns",
    ),
    "metric that is not given": Broken(
        HEAD,
        method("    @property\n    def reported(self):\n        return (*super().reported, 'f1')\n"),
        "judgement",
        "exactly the metrics",
    ),
    "metrics that need two classes": Broken(
        HEAD,
        method(
            "    def count(self, predictions, targets):\n"
            "        assert len(set(targets.tolist())) > 1, 'two classes'\n"
            "        return super().count(predictions, targets)\n"
        ),
        "judgement",
        "two classes",
    ),
    "loss that is no number": Broken(
        HEAD,
        method("    def loss(self, output, target):\n        return super().loss(output, target) / 0\n"),
        "a federated round",
        "finite",
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_rule_is_found_and_named(broken: Broken, make_job: Any) -> None:
    assert CODE.count(broken.old) == 1
    findings = check_pipeline(make_job(code=CODE.replace(broken.old, broken.new)))
    *passed, failed = findings
    assert (failed.status, failed.subject) == ("FAIL", broken.rule)
    assert broken.message in failed.message
    assert failed.code
    assert failed.repair
    assert [finding.subject for finding in passed] == list(RULES)[: len(passed)]
    assert {finding.status for finding in passed} <= {"PASS"}


def test_the_minimal_pipeline_keeps_every_rule(make_job: Any) -> None:
    findings = check_pipeline(make_job())
    assert [(finding.subject, finding.status) for finding in findings] == [(rule, "PASS") for rule in RULES]
