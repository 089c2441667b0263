"""The one training loop: for fine-tuning, quantization-aware training, pruning that is learned, distillation.

All that is drawn at random in an epoch follows from the seed and the epoch's number alone, so a run that was stopped
after any epoch goes on from its checkpoint and ends in the same weights, bit for bit on the same machine.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils import _pytree as pytree

from microjoule.errors import DataError
from microjoule.execution.augment import Augment
from microjoule.execution.batches import Batches, batches
from microjoule.execution.data_facts import read_facts
from microjoule.execution.device import Device, move, returns
from microjoule.execution.distill import Lessons, Teacher
from microjoule.execution.evaluate import evaluate
from microjoule.execution.learning import Learning
from microjoule.execution.moving_average import MovingAverage
from microjoule.execution.optimizers import MakeOptimizer, find_optimizer, parameter_groups, warm_cosine
from microjoule.execution.progress import Progress
from microjoule.execution.run import outputs_and_values, to_device
from microjoule.execution.scoring import Metric
from microjoule.execution.train_settings import (
    PRECISIONS,
    AfterEpoch,
    AfterStep,
    Functions,
    Loss,
    Numbers,
    Penalty,
    Watch,
    as_teacher,
    find_loss,
    name_of,
)
from microjoule.execution.train_state import State, read_state, write_state
from microjoule.graph.network import Network, takes_network
from microjoule.jobs.identity import Identity, network_facts, option_facts
from microjoule.jobs.run_folder import RunFolder
from microjoule.records.trained import Trained


@takes_network
@returns
def train(
    network: Network,
    data: Any,
    *,
    epochs: int,
    learning_rate: float,
    loss: str | Loss = "cross_entropy",
    optimizer: str | MakeOptimizer = "sgd",
    weight_decay: float = 1e-4,
    factor: Callable[[str], float] | None = None,
    warmup: float = 0.0,
    batch_size: int = 32,
    teacher: Network | Teacher | None = None,
    ema: float | None = None,
    precision: str = "float32",
    augment: Augment | None = None,
    clip: float | None = None,
    penalty: Penalty | None = None,
    after_step: AfterStep | None = None,
    after_epoch: AfterEpoch | None = None,
    valid: Any = None,
    metric: Metric | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> Trained:
    """Train a network in place; the learning rate rises over the warm-up and falls to 0 along a cosine.

    Modules are in training mode meanwhile, and in their own mode again at the end. What a network knew about the
    statistics of its layers' outputs is forgotten, as it is no longer true. Weights that a quantizer holds stay.

    Args:
        network: what learns: all its parameters that require a gradient.
        data: in any form that `batches` takes, shuffled anew each epoch; a DataLoader or a list keeps its own order.
            Without targets, the teacher alone is learned from.
        epochs: how often to go through the data.
        learning_rate: the peak.
        loss: "cross_entropy" of logits (n, classes, ...), or a function of outputs and targets.
        optimizer: "sgd" (with Nesterov momentum), "adamw", or a function of parameter groups.
        weight_decay: of weights; biases and norms have none.
        factor: a parameter's name -> by what its learning rate is multiplied; 1 for all if None.
        warmup: how many epochs the learning rate rises; part of one is fine.
        batch_size: samples a batch, where the data does not come in batches.
        teacher: the network to learn from (its logits, with half the weight), or a `Teacher` that says what and how.
        ema: the decay of a moving average of weights and batch-norm statistics, which the network holds at the end.
        precision: "float32", or "bfloat16" for what torch's autocast runs in it.
        augment: changes each batch's first input at random, such as `flips_and_shifts()`.
        clip: the largest norm of all gradients together; larger ones are scaled down to it.
        penalty: what is added to the loss.
        after_step: called after each step.
        after_epoch: called after each epoch.
        valid: labelled data that `metric` scores after each epoch.
        metric: the score.
        seed: of the samples' order, of `augment`, and of all that draws from torch's own generator.
        folder: keeps the state after each epoch; the same call goes on from there.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        The record; the network keeps it in its history as well.

    Raises:
        DataError: if the data does not fit, or the loss or a parameter is not finite; the last state that was kept
            stays as it was. With a folder also if the data gives other values each time that it is gone through.
        FileError: if the folder holds another run, is in use, or cannot be written.
        GraphError: if the teacher has no such value, or no weight can learn, as in a network whose weights quantizers
            hold or round; the network is as it was then.
        SettingError: for a setting that cannot be, or one by which no parameter changes.
    """
    move(network, device)
    how = Numbers(epochs, learning_rate, warmup, weight_decay, batch_size, precision, clip, seed)
    watch = Watch(valid, metric, after_epoch)
    changing = Functions(find_loss(loss), augment, penalty, after_step)
    named: dict[str, Any] = {"loss": loss, "optimizer": optimizer, "ema": ema, "factor": factor}
    named |= {"augment": augment, "penalty": penalty, "after_step": after_step}
    groups = parameter_groups(
        network.module.named_parameters(), learning_rate=learning_rate, weight_decay=weight_decay, factor=factor
    )
    made = find_optimizer(optimizer)(groups)
    average = None if ema is None else MovingAverage(network.module, ema)
    lessons = None if teacher is None else Lessons(network, as_teacher(teacher, network))
    return _Training(network, data, how, changing, lessons).go((made, average), watch, folder, named)


# The run --------------------------------------------------------------------------------------------------------------


class _Training:
    """One run; see `train`."""

    def __init__(self, network: Network, data: Any, how: Numbers, changing: Functions, lessons: Lessons | None) -> None:
        self.network, self.data, self.how, self.changing, self.lessons = network, data, how, changing, lessons
        self.order, self.chance = Generator(), Generator()
        self.source = batches(data, network, batch_size=how.batch_size, shuffle=self.order)
        self.sizes: list[int] = []

    def go(
        self,
        moved_by: tuple[Optimizer, MovingAverage | None],
        watch: Watch,
        folder: str | Path | None,
        named: dict[str, Any],
    ) -> Trained:
        """Run all epochs that the folder does not hold already."""
        with ExitStack() as stack:
            kept = stack.enter_context(RunFolder(folder, partial(self._identity, watch, named)))
            self.steps, self.samples = self._counted()
            self.total = self.how.epochs * self.steps
            warm = partial(warm_cosine, steps=self.total, warmup=round(self.how.warmup * self.steps))
            self.state = State(moved_by[0], LambdaLR(moved_by[0], warm), moved_by[1])
            self.learning = Learning(self.network)
            read_state(kept, self.network, self.state)
            if self.lessons is not None:
                stack.enter_context(self.lessons.teaching())
            devices = [self.network.device] if self.network.device.type == "cuda" else []
            stack.enter_context(torch.random.fork_rng(devices))
            self._run(watch, kept)
        return self._finish(watch, named)

    def _run(self, watch: Watch, kept: RunFolder) -> None:
        modes, state = {module: module.training for module in self.network.module.modules()}, self.state
        try:
            with Progress("train", total=self.total, done=len(state.losses) * self.steps) as progress:
                for epoch in range(len(state.losses), self.how.epochs):
                    started = time.perf_counter()
                    self._seed(epoch)
                    state.losses.append(self._epoch(epoch, progress))
                    self.learning.see_finite(epoch + 1)
                    if epoch == 0:
                        self.learning.see_change(state.losses)
                    for module, training in modes.items():
                        module.training = training
                    self._look(watch)
                    state.seconds += time.perf_counter() - started
                    write_state(kept, self.network, state)
        finally:
            for module, training in modes.items():
                module.training = training
            state.optimizer.zero_grad(set_to_none=True)

    def _epoch(self, epoch: int, progress: Progress) -> float:
        """Go through the data once; returns the mean loss of its samples."""
        self.network.train()
        total, seen = 0.0, 0
        for step, (inputs, targets) in enumerate(self.source):
            done = epoch * self.steps + step
            loss = self._loss(inputs, targets, done / self.total)
            if not done:
                self.learning.see_loss(loss)
            value = float(loss.detach())
            if not math.isfinite(value):
                remedy = "lower learning_rate, give clip=1.0, or look for what the loss cannot take in the data"
                raise DataError(f"epoch {epoch + 1}, step {step + 1}", f"the loss is {value}", remedy=remedy)
            self._move(loss, done)
            total, seen = total + value * self.source.count(inputs), seen + self.source.count(inputs)
            progress.step(label=f"epoch {epoch + 1} of {self.how.epochs}: loss {total / seen:.4g}")
        return total / seen

    def _loss(self, inputs: tuple[Any, ...], targets: Any, done: float) -> Tensor:
        """The loss of one batch, ()."""
        device, dtype = self.network.device, PRECISIONS[self.how.precision]
        if self.changing.augment is not None:
            inputs = (self.changing.augment(inputs[0], self.chance), *inputs[1:])
        inputs, targets = to_device(inputs, device), to_device(targets, device)
        wanted = [] if self.lessons is None else self.lessons.wanted
        with nullcontext() if dtype is None else torch.autocast(device.type, dtype):
            outputs, values = outputs_and_values(self.network, inputs, wanted)
        outputs = pytree.tree_map_only(Tensor, lambda t: t.float() if t.is_floating_point() else t, outputs)
        if targets is None and self.lessons is None:
            raise DataError(self.source.name, "has no targets", remedy="give (inputs, targets), or a teacher")
        loss = None if targets is None else self.changing.loss(outputs, targets)
        if self.lessons is not None:
            loss = self.lessons.loss(outputs, values, inputs, loss)
        assert loss is not None
        return loss if self.changing.penalty is None else loss + self.changing.penalty(self.network, done)

    def _move(self, loss: Tensor, done: int) -> None:
        """One step of the optimizer, after so many."""
        optimizer = self.state.optimizer
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if not done:
            self.state.fixed = self.learning.see_gradients(float(loss.detach()))
        if self.how.clip is not None:
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.how.clip)
        optimizer.step()
        self.state.schedule.step()
        if self.changing.after_step is not None:
            self.changing.after_step(self.network, (done + 1) / self.total)
        if self.state.average is not None:
            self.state.average.update()

    def _seed(self, epoch: int) -> None:
        """Let all chance in an epoch follow from the seed and the epoch alone."""
        drawn = torch.randint(2**62, (epoch + 1, 3), generator=Generator().manual_seed(self.how.seed))
        order, chance, everything = drawn[epoch].tolist()
        self.order.manual_seed(order)
        self.chance.manual_seed(chance)
        torch.manual_seed(everything)

    def _look(self, watch: Watch) -> None:
        """Score the network as it would be if this epoch were the last."""
        value = None
        if watch.metric is not None:
            with nullcontext() if self.state.average is None else self.state.average.applied():
                size = self.how.batch_size
                value = evaluate(self.network.module, watch.valid, watch.metric, batch_size=size).value
            self.state.values.append(value)
        if watch.after_epoch is not None:
            watch.after_epoch(len(self.state.losses), self.state.losses[-1], value)

    def _finish(self, watch: Watch, named: dict[str, Any]) -> Trained:
        state, how, metric = self.state, self.how, watch.metric
        if state.average is not None:
            state.average.apply()
        self.network.preactivations.clear()
        record = Trained(
            data=self.source.name,
            samples=self.samples,
            epochs=how.epochs,
            steps=self.total,
            losses=tuple(state.losses),
            metric="" if metric is None else metric.name,
            unit="" if metric is None else metric.unit,
            values=tuple(state.values),
            optimizer=name_of(named["optimizer"]),
            learning_rate=how.learning_rate,
            seed=how.seed,
            teacher=self.lessons is not None,
            averaged=state.average is not None,
            seconds=state.seconds,
            fixed=state.fixed,
        )
        self.network.history.append(record)
        return record

    # What it depends on ---------------------------------------------------------------------------

    def _identity(self, watch: Watch, named: dict[str, Any]) -> Identity:
        """What tells this run from others: the network, all data, the teacher and all settings."""
        numbers = {field.name: getattr(self.how, field.name) for field in fields(self.how)}
        source = batches(self.data, self.network, batch_size=self.how.batch_size)
        values = read_facts(source, seed=self.how.seed, each=lambda inputs: self.sizes.append(source.count(inputs)))
        parts = [option_facts(numbers | named), network_facts(self.network), values]
        if self.lessons is not None:
            teacher = self.lessons.teacher
            settings = {f.name: getattr(teacher, f.name) for f in fields(teacher) if f.name != "network"}
            parts += [option_facts({"teacher": settings}), network_facts(teacher.network, "the teacher")]
        if watch.metric is not None:
            watch.metric.reset()
            valid = batches(watch.valid, self.network, batch_size=self.how.batch_size)
            parts += [option_facts({"metric": watch.metric}), read_facts(valid, "validation data", seed=self.how.seed)]
        return Identity.of(*parts)

    def _counted(self) -> tuple[int, int]:
        """How many batches and samples an epoch has; known, or found by going through them."""
        if self.source.samples is not None and not isinstance(self.data, Batches):
            return math.ceil(self.source.samples / self.how.batch_size), self.source.samples
        if not self.sizes:
            with torch.random.fork_rng(devices=[]):
                self.sizes = [self.source.count(inputs) for inputs, _ in self.source]
        return len(self.sizes), sum(self.sizes)
