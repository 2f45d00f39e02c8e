"""A learner on scikit-learn: SAGA for L1-penalised (multinomial) logistic regression."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from typing_extensions import override

from mediswarm.errors import PipelineError
from mediswarm.pipelines.base import Cases, SiteData
from mediswarm.pipelines.learner import Learner, Predictions, RoundPlan, RoundResult, Weights, load_state
from mediswarm.spec import Training

if TYPE_CHECKING:
    from mediswarm.pipelines.linear.pipeline import Linear

_BINARY = 2


class SagaLearner(Learner):
    """Minimises mean loss + l1 · ‖coef‖₁ by SAGA (Defazio, Bach and Lacoste-Julien, 2014).

    A round is `training.local.epochs` passes from the received weights on. SAGA
    finds its own step size and uses one case a step, so that the rest of
    `training:` does not apply and is refused where it is set.
    """

    def __init__(self, pipeline: Linear, data: SiteData, training: Training) -> None:
        """Raises PipelineError MS-P004 for a setting under `training:` that SAGA does not have."""
        self.pipeline, self.data = pipeline, data
        self.epochs = _epochs(training)
        self.model = pipeline.model()
        pipeline.localise(self.model, data)

    @override
    def load(self, weights: Weights) -> None:
        load_state(self.model, weights)

    @override
    def weights(self) -> Weights:
        return {name: value.detach() for name, value in self.model.state_dict().items()}

    @override
    def train(self, plan: RoundPlan) -> RoundResult:
        """One round; raises PipelineError MS-P004 when the plan asks for FedProx or SCAFFOLD."""
        for asked, what in ((plan.proximal_mu, "workflow.proximal_mu"), (plan.control, "workflow scaffold")):
            if asked:
                raise PipelineError(
                    "MS-P004",
                    f"{what} changes gradients, which the pipeline `linear` leaves to scikit-learn",
                    repair="Use a workflow without it (such as plain fedavg), or the pipeline `tabular`.",
                )
        inputs, targets = self.pipeline.tensors(self.data.train)
        steps = 0
        if not plan.stop():
            self._fit(inputs, targets.numpy(), plan.seed)
            steps = self.epochs * len(targets)
        return RoundResult(steps=steps, cases=len(targets), loss=self.predict(self.data.train).loss)

    @override
    @torch.no_grad()
    def predict(self, cases: Cases) -> Predictions:
        inputs, targets = self.pipeline.tensors(cases)
        logits = self.model(inputs)
        return Predictions(self.pipeline.predict(logits), targets, float(self.pipeline.loss(logits, targets)))

    @torch.no_grad()
    def _fit(self, inputs: torch.Tensor, targets: np.ndarray[Any, Any], seed: int) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        model, classes = self.model, len(self.pipeline.classes)
        # A row of zeros without weight for each class: a class that this site lacks keeps its
        # place in the model, and the loss is unchanged.
        rows = np.vstack([model.standardise(inputs).double().numpy(), np.zeros((classes, inputs.shape[1]))])
        labels = np.concatenate([targets, np.arange(classes)])
        balance = self.pipeline.class_weights()
        of_class = np.ones(classes) if balance is None else balance.double().numpy()
        of_case = np.concatenate([of_class[targets], np.zeros(classes)])
        # SAGA's step size assumes weights of at most 1; a common factor belongs into C.
        largest = of_case.max()
        solver = LogisticRegression(
            **_l1(), C=largest / (self.pipeline.config.l1 * len(targets)), solver="saga", tol=0.0,
            max_iter=self.epochs, warm_start=True, random_state=seed,
        )  # fmt: skip
        coef, intercept = model.coef.double().numpy(), model.intercept.double().numpy()
        if classes == _BINARY:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        solver.coef_, solver.intercept_ = coef.copy(), intercept.copy()
        with warnings.catch_warnings():
            # a round ends after its epochs, not when it has converged
            warnings.simplefilter("ignore", ConvergenceWarning)
            solver.fit(rows, labels, sample_weight=of_case / largest)
        first = classes - len(solver.coef_)  # 1 for two classes: the reference class stays 0
        model.coef.zero_()[first:] = torch.from_numpy(solver.coef_)
        model.intercept.zero_()[first:] = torch.from_numpy(solver.intercept_)


def _l1() -> dict[str, Any]:
    """The L1 penalty in the words of the installed scikit-learn, which changed them in 1.8."""
    from sklearn.linear_model import LogisticRegression

    return {"l1_ratio": 1.0} if LogisticRegression().penalty == "deprecated" else {"penalty": "l1"}


def _epochs(training: Training) -> int:
    applicable = Training(local=training.local, seed=training.seed)
    refused = [key for key in Training.model_fields if getattr(training, key) != getattr(applicable, key)]
    if training.local.epochs is None:
        refused.append("local (other than epochs)")
    if training.local.epochs is None or refused:
        raise PipelineError(
            "MS-P004",
            f"training.{', training.'.join(refused)} has no meaning for SAGA, by which `linear` trains",
            repair="Under `training:`, give only `local: {epochs: N}` and `seed`.",
        )
    return training.local.epochs
