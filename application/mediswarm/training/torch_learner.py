"""The learner for PyTorch models."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from mediswarm.errors import HostError, JobError, RunFailed
from mediswarm.pipelines.base import Cases, Pipeline, SiteData
from mediswarm.pipelines.learner import Learner, Predictions, RoundPlan, RoundResult, Weights, load_state
from mediswarm.spec import Optimizer, Training
from mediswarm.training.batches import ordered_batches, training_batches
from mediswarm.training.channels_last import channels_last
from mediswarm.training.pace import batches_per_round, learning_rate_factor, steps_per_round
from mediswarm.training.seeds import seed_everything
from mediswarm.training.transfer import freeze, parameter_groups, train_mode

_ONE_VALUE = "Expected more than 1 value per channel when training"
"""What PyTorch's batch normalisations say of a batch that has no variance."""
_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchLearner(Learner):
    """Trains `pipeline.model()` on one device with a torch.optim optimizer.

    The optimizer lives as long as the learner, so that its moments stay at the
    site from round to round unless the job resets them.
    """

    def __init__(
        self, pipeline: Pipeline[Any], data: SiteData, training: Training, device: str = "cpu"
    ) -> None:
        """Raises HostError MS-H002 when `device` is not there, JobError MS-J015 as :mod:`.transfer`."""
        self.pipeline, self.data, self.training = pipeline, data, training
        self.device = _device(device)
        self.model: nn.Module = pipeline.model()
        freeze(self.model, training.freeze)
        pipeline.localise(self.model, data)
        self.model.to(self.device)
        self.optimizer = _optimizer(self.model, training.optimizer)
        self.autocast = _AUTOCAST.get(training.precision) if self.device.type == "cuda" else None
        if self.autocast is not None:
            channels_last(self.model)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.autocast is torch.float16)

    def load(self, weights: Weights) -> None:
        load_state(self.model, weights)

    def weights(self) -> Weights:
        state = self.model.state_dict()
        return {name: value.detach().cpu().contiguous() for name, value in state.items()}

    def train(self, plan: RoundPlan) -> RoundResult:
        seed_everything(plan.seed)
        generator = torch.Generator().manual_seed(plan.seed)
        if self.training.optimizer.state == "reset":
            self.optimizer = _optimizer(self.model, self.training.optimizer)
        cases = len(self.data.train)
        steps = steps_per_round(self.training, cases)
        pull = _Pull(self.model, plan, self.device)
        size, count = self.training.batch_size, batches_per_round(self.training, cases)
        batches = iter(training_batches(self.data.train, size, count, generator, self.device))
        train_mode(self.model)
        # summed on the device: reading the loss at every step would make a GPU wait
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        seen, lr_sum, done = 0, 0.0, 0
        for step in range(steps):
            if plan.stop():
                break
            rate = self._set_rate((plan.round + step / steps) / plan.rounds)
            group = [batch for _, batch in zip(range(self.training.accumulate), batches, strict=False)]
            together = sum(len(targets) for _, targets in group)
            for inputs, targets in group:
                loss = self._backward(inputs, targets, generator, len(targets) / together)
                loss_sum += loss * len(targets)
            seen += together
            self._step(pull)
            lr_sum, done = lr_sum + rate, done + 1
        mean_loss = float(loss_sum) / max(seen, 1)
        if not math.isfinite(mean_loss):
            raise self._not_finite(mean_loss, plan.round)
        return RoundResult(steps=done, cases=cases, loss=mean_loss, lr_sum=lr_sum)

    @torch.inference_mode()
    def predict(self, cases: Cases) -> Predictions:
        self.model.eval()
        at_once = self.pipeline.judged_at_once
        outputs, answers, kept, loss_sum = [], [], [], 0.0
        for inputs, targets in ordered_batches(cases, at_once or self.training.batch_size, self.device):
            here = _move(targets, self.device)
            with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                output = self.model(_move(inputs, self.device))
            if at_once is None:
                loss_sum += float(self.pipeline.loss(output, here)) * len(targets)
            else:
                kept.append(output)
            outputs.append(self.pipeline.predict(output).float().cpu())
            answers.append(targets)
        truth = torch.cat(answers)
        if kept:
            loss_sum = float(self.pipeline.loss(torch.cat(kept), _move(truth, self.device))) * len(cases)
        return Predictions(torch.cat(outputs), truth, loss_sum / len(cases))

    def state(self) -> Weights:
        if self.training.optimizer.state == "reset":
            return {}
        state = {
            f"{index}.{name}": value
            for index, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
            if isinstance(value, torch.Tensor)
        }
        if self.scaler.is_enabled():
            state["scale"] = torch.tensor(self.scaler.get_scale())
        return state

    def restore(self, state: Weights) -> None:
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in state.items():
            index, _, name = key.partition(".")
            if name:
                moments.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        if "scale" in state and self.scaler.is_enabled():
            self.scaler.load_state_dict(self.scaler.state_dict() | {"scale": float(state["scale"])})

    def _not_finite(self, loss: float, round_: int) -> RunFailed:
        """What a loss that is no finite number comes from: the data, or else the training."""
        bad = sum(
            not (_finite(inputs) and _finite(targets))
            for inputs, targets in ordered_batches(self.data.train, 1, self.device)
        )
        message, repair = f"the training loss became {loss} in round {round_}", None
        if bad:
            message += f": {bad} of {len(self.data.train)} training cases hold NaN or infinity"
            repair = "Check the site's data and how the pipeline reads and scales them."
        return RunFailed("MS-R004", message, repair=repair)

    def _set_rate(self, progress: float) -> float:
        rate = self.training.optimizer.lr * learning_rate_factor(self.training.schedule, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        return rate

    def _backward(self, inputs: Any, targets: Any, generator: torch.Generator, share: float) -> torch.Tensor:
        inputs, targets = _move(inputs, self.device), _move(targets, self.device)
        inputs, targets = self.pipeline.augment(inputs, targets, generator)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            loss = self.pipeline.loss(self._outputs(inputs), targets)
        torch.autograd.backward(self.scaler.scale(loss * share))
        return loss.detach()

    def _outputs(self, inputs: Any) -> Any:
        try:
            return self.model(inputs)
        except ValueError as error:
            if not str(error).startswith(_ONE_VALUE):
                raise
            raise JobError(
                "MS-J016",
                f"{len(self.data.train)} training cases in batches of {self.training.batch_size} leave a "
                "batch of one, in which a batch normalisation of the model sees one value of each feature",
            ) from error

    def _step(self, pull: _Pull) -> None:
        self.scaler.unscale_(self.optimizer)
        pull.add_to_gradients()
        if self.training.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.training.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)


class _Pull:
    """What a workflow adds to each gradient.

    FedProx: mu · (weights − received weights), the gradient of its proximal
    term (Li et al., 2020). SCAFFOLD: the control variates' difference.
    """

    def __init__(self, model: nn.Module, plan: RoundPlan, device: torch.device) -> None:
        self.mu = plan.proximal_mu
        self.parameters = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
        self.received = [value.detach().clone() for _, value in self.parameters] if self.mu else []
        self.control = {name: value.to(device) for name, value in (plan.control or {}).items()}

    @torch.no_grad()
    def add_to_gradients(self) -> None:
        for index, (name, value) in enumerate(self.parameters):
            if value.grad is None:
                continue
            if self.mu:
                value.grad.add_(value - self.received[index], alpha=self.mu)
            if name in self.control:
                value.grad.add_(self.control[name])


def _device(name: str) -> torch.device:
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise HostError("MS-H002", f"device {name} was asked for, but torch finds no CUDA device")
    return torch.device(name)


def _optimizer(model: nn.Module, spec: Optimizer) -> torch.optim.Optimizer:
    trainable = parameter_groups(model, spec.lr_groups)
    if spec.name == "sgd":
        return torch.optim.SGD(trainable, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    return kind(trainable, lr=spec.lr, weight_decay=spec.weight_decay)


def _finite(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    return not isinstance(value, list | tuple) or all(_finite(item) for item in value)


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: _move(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_move(item, device) for item in value)
    return value
