import pytest
import torch
from torch import nn

from engine.training.critic import Critic, PatchDiscriminator
from engine.training.run import Processes

ALONE = Processes(0, 1, torch.device("cpu"))


def test_one_logit_a_patch_of_eight() -> None:
    assert PatchDiscriminator()(torch.zeros(2, 3, 64, 32)).shape == (2, 1, 8, 4)


def test_the_critic_learns_to_tell_stripes_from_grey() -> None:
    torch.manual_seed(0)
    critic = Critic(ALONE, bf16=False)
    stripes = torch.ones(4, 3, 32, 32)
    stripes[..., ::4] = -1
    grey = torch.zeros_like(stripes)
    losses = [critic.learn(stripes, grey) for _ in range(30)]
    assert losses[-1] < 0.2 < losses[0]
    assert critic.logits(stripes).mean() > critic.logits(grey).mean() + 1


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_adversarial_gradient_is_as_large_as_the_losses_at_the_last_layer(size: float) -> None:
    torch.manual_seed(0)
    critic = Critic(ALONE, bf16=False)
    last = nn.Conv2d(4, 3, 3, padding=1)
    decoded = last(torch.randn(2, 4, 32, 32))
    loss = size * decoded.square().mean()
    adversarial = critic.fooled(decoded, loss, last.weight)
    (mine,) = torch.autograd.grad(loss, last.weight, retain_graph=True)
    (its,) = torch.autograd.grad(adversarial, last.weight)
    assert its.norm() == pytest.approx(mine.norm().item(), rel=0.02)
    assert all(parameter.requires_grad for parameter in critic.network.parameters())
