"""One optimizer step, the averaged weights, and evaluation."""

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from accelerate import Accelerator
from torch import nn

from botzoo.errors import ConfigError
from botzoo.models.preprocessing import Preprocessing, Size
from botzoo.tasks.classification import Evaluation
from botzoo.tasks.objective import Objective
from botzoo.training.autotune.batch_size import largest_micro_batch
from botzoo.training.steps.evaluation import evaluate
from botzoo.training.steps.optimizer import make_optimizer, param_groups
from botzoo.training.steps.schedule import Schedule
from botzoo.training.steps.trainer import Trainer
from botzoo.tricks.paper_augment import paper_augment
from botzoo.util.private import reset_precision

PREPROCESSING = Preprocessing(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 1.0, "bilinear")


def make_trainer(objective: Objective | None = None, **options: object) -> Trainer:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    optimizer = make_optimizer("sgd", param_groups(model, 1e-4, True), 0.1, 0.9)
    schedule = Schedule(0.1, 10)
    objective = objective or Objective(3)
    reset_precision()  # a run before this one may have chosen another precision
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    return Trainer(accelerator, model, optimizer, objective, PREPROCESSING, schedule, seed=0, **options)


def batch(n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator), torch.arange(n) % 3


def freeze_all_but_fc(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("fc"))


def test_a_step_colours_its_images_before_the_network_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, seen = make_trainer(), []
    trainer.start_epoch()
    monkeypatch.setattr(Objective, "prepare", lambda self, x, y, step: (seen.append(x), (x, torch.eye(3)[y]))[1])
    colour = torch.tensor([[0.7, 1.2, 0.9, 0.1, -0.1, 0.2]] * 4)
    trainer.step(0, [(*batch(), colour)])
    assert torch.equal(seen[0], paper_augment(batch()[0], colour, PREPROCESSING.mean, PREPROCESSING.std))


def test_a_network_that_is_wrapped_anew_keeps_its_precision() -> None:
    trainer = make_trainer()
    reset_precision()
    trainer.accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    for _ in range(3):
        trainer.start_epoch(anew=True)
    images = PREPROCESSING.normalise(batch()[0])
    with torch.autocast("cpu", torch.bfloat16):
        expected = trainer.model.forward_head(trainer.model.forward_features(images)).float()
    assert trainer.net is not None
    trained = trainer.net(images)
    reset_precision()
    assert torch.equal(trained, expected)


def test_frozen_batch_norm_keeps_its_statistics() -> None:
    trainer = make_trainer()
    before = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    freeze_all_but_fc(trainer.model)
    trainer.start_epoch()
    trainer.step(0, [batch()])
    assert all(torch.equal(buffer, before[name]) for name, buffer in trainer.model.named_buffers())


def test_batch_norm_that_is_trained_moves_its_statistics() -> None:
    trainer = make_trainer()
    trainer.start_epoch()
    before = trainer.model.bn1.running_mean.clone()
    trainer.step(0, [batch()])
    assert not torch.equal(trainer.model.bn1.running_mean, before)


def test_frozen_weights_do_not_change_and_the_others_do() -> None:
    trainer = make_trainer()
    freeze_all_but_fc(trainer.model)
    trainer.start_epoch()
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.step(0, [batch()])
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_the_gradient_is_clipped_to_the_norm() -> None:
    trainer = make_trainer(clip_grad=1e-3)
    trainer.start_epoch()
    before = torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters()])
    trainer.step(0, [batch()])
    after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    longest = trainer.schedule.lr(0) * (1 + 0.9) * (1e-3 + 1e-4 * before.norm())  # Nesterov, and the decay unclipped
    assert 0 < (after - before).norm() <= longest * 1.001


def test_averaged_weights_follow_the_warmed_up_decay() -> None:
    trainer = make_trainer(ema_decay=0.9998)
    trainer.start_epoch()
    for step in range(20):
        trainer.step(step, [batch()])
    start = make_trainer().model.fc.weight
    ema, now = trainer.evaluated.fc.weight, trainer.model.fc.weight
    assert (ema - now).norm() < 0.7 * (ema - start).norm()  # an unwarmed .9998 would still be at the start


def test_the_averaged_network_is_the_one_that_is_evaluated() -> None:
    trainer = make_trainer(ema_decay=0.99)
    assert trainer.evaluated is trainer.ema.module


def test_the_average_can_begin_anew() -> None:
    trainer = make_trainer(ema_decay=0.99)
    trainer.model.fc.bias.data.fill_(3.0)
    trainer.restart_average()
    assert torch.equal(trainer.evaluated.fc.bias, trainer.model.fc.bias)


def test_what_is_trained_may_change_from_epoch_to_epoch() -> None:
    trainer = make_trainer()
    freeze_all_but_fc(trainer.model)
    trainer.start_epoch()
    trainer.model.requires_grad_(True)
    trainer.start_epoch()
    before = trainer.model.conv1[0].weight.detach().clone()
    trainer.step(0, [batch()])
    assert trainer.model.bn1.training
    assert not torch.equal(trainer.model.conv1[0].weight, before)


def test_a_probe_leaves_no_trace() -> None:
    trainer = make_trainer()
    trainer.start_epoch()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.probe(batch())
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())
    assert all(p.grad is None for p in trainer.model.parameters())


def test_a_step_learns_from_what_the_teacher_says_to_the_mixed_images() -> None:
    objective, said = Objective(3, mixup_alpha=0.4), torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    asked: list[torch.Tensor] = []
    trainer = make_trainer(objective, teacher=lambda images: asked.append(images) or said)
    images, targets = objective.prepare(PREPROCESSING.normalise(batch()[0]), batch()[1], 5)
    trainer.start_epoch()
    expected = objective.loss(trainer.model(images), targets, said)
    loss = trainer.step(5, [batch()])
    assert torch.equal(asked[0], images)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-3, atol=1e-3)  # T squared enlarges rounding


def test_a_probe_asks_the_teacher_too() -> None:
    asked: list[torch.Tensor] = []
    trainer = make_trainer(teacher=lambda images: asked.append(images) or torch.zeros(4, 3))
    trainer.start_epoch()
    trainer.probe(batch())
    assert len(asked) == 1


def micro_batch_for(room: int, largest: int, say: Callable[[str], None] = lambda text: None) -> int:
    """Return the micro-batch found on a GPU that has memory for ``room`` images."""
    trainer = make_trainer()

    def probe(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        if len(batch[0]) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")

    trainer.probe = probe  # type: ignore[method-assign]
    return largest_micro_batch(trainer, largest, Size.of(8), say)


def test_micro_batches_are_halved_until_they_fit() -> None:
    said: list[str] = []
    assert micro_batch_for(20, 64, said.append) == 16
    assert len(said) == 2
    assert "32" in said[0]


def test_one_image_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ConfigError, match="one image"):
        micro_batch_for(0, 4)


def test_an_odd_micro_batch_falls_to_a_divisor() -> None:
    assert micro_batch_for(10, 75) == 5


class Echo(nn.Module):
    """Classifies an image by the brightness of its first pixel: red 1, green 2, else 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, 0, 0].roll(1, 1)


def test_evaluation_counts_what_is_right() -> None:
    images = torch.zeros(7, 3, 4, 4, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    for i, label in enumerate([0, 1, 2, 0, 1, 0, 1]):  # the last two are wrong
        images[i, (label - 1) % 3] = 255
    parts = [(images[:4], labels[:4]), (images[4:], labels[4:])]
    evaluation = evaluate(Accelerator(cpu=True), Echo(), parts, PREPROCESSING.normalise, 7)
    assert evaluation.correct == 5
    assert evaluation.labels.tolist() == labels.tolist()
    assert evaluation.log_p is None


def test_log_probabilities_are_kept_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [(torch.full((2, 3, 4, 4), 99, dtype=torch.uint8), torch.tensor([0, 1])) for _ in range(3)]
    evaluation = evaluate(Accelerator(cpu=True), Echo(), parts, PREPROCESSING.normalise, 6, everything=True)
    assert evaluation.log_p is not None
    assert (evaluation.log_p.shape, evaluation.log_p.dtype) == ((6, 3), np.float16)
    np.testing.assert_allclose(np.exp(evaluation.log_p.astype(float)).sum(1), 1, atol=2e-3)
    np.testing.assert_allclose(np.exp(evaluation.log_p.astype(float)).max(1), evaluation.confidence, atol=1e-3)
    monkeypatch.setattr("botzoo.training.steps.evaluation.KEPT", 20)
    assert evaluate(Accelerator(cpu=True), Echo(), parts, PREPROCESSING.normalise, 6, everything=True).log_p is None


def test_the_interval_is_wilsons() -> None:
    labels = np.zeros(100, np.int64)
    predicted = np.array([0] * 90 + [1] * 10)
    evaluation = Evaluation(labels, predicted, np.ones(100, bool), *(np.ones(100, np.float32) for _ in range(2)))
    n, p, z = 100, 0.9, 1.959964
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert evaluation.interval() == pytest.approx((100 * (centre - half), 100 * (centre + half)))
