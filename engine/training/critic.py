"""A patch discriminator for the decoder's last steps (Isola et al. 2017; Esser et al. 2021).

Pixel losses choose the average of all sharp answers, which is soft. The critic learns to tell real
patches from decoded ones, and the decoder to be taken for real; its weight follows the size of the
two gradients at the decoder's last layer, so that neither drowns the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.training.run import Processes

RATE = 4e-4
BETAS = (0.5, 0.9)
GREATEST_WEIGHT = 1e3  # of the adversarial loss, before the option's factor


class PatchDiscriminator(nn.Module):
    """(B, 3, H, W) in [-1, 1] to one logit a patch, (B, 1, H / 8, W / 8); high means real."""

    def __init__(self, width: int = 48):
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 4 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3, padding=1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.layers(pictures)
        return logits


class Critic:
    """The discriminator with its optimizer; every process holds the same one."""

    def __init__(self, group: Processes, *, bf16: bool):
        self.group, self.bf16 = group, bf16
        network = PatchDiscriminator().to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: PatchDiscriminator = network
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, betas=BETAS)

    def logits(self, pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=self.bf16):
            logits: Tensor = self.network(pictures)
        return logits.float()

    def fooled(self, decoded: Tensor, loss: Tensor, last: Tensor) -> Tensor:
        """The decoder's adversarial loss of `decoded` (B, 3, H, W), weighed against `loss`.

        `last` is the weight of the decoder's last layer, through which both losses go
        (Esser et al. 2021, equation 7).
        """
        self.network.requires_grad_(False)
        adversarial = -self.logits(decoded).mean()
        self.network.requires_grad_(True)
        (of_loss,) = torch.autograd.grad(loss, last, retain_graph=True)
        (of_adversarial,) = torch.autograd.grad(adversarial, last, retain_graph=True)
        weight = (of_loss.norm() / (of_adversarial.norm() + 1e-6)).clamp(max=GREATEST_WEIGHT)
        weighed: Tensor = adversarial * weight.detach()
        return weighed

    def learn(self, real: Tensor, decoded: Tensor) -> float:
        """One step on pictures and what the decoder made of them; returns the hinge loss."""
        logits = self.logits(torch.cat([real, decoded.detach()]))
        of_real, of_decoded = logits.chunk(2)
        loss = (F.relu(1 - of_real).mean() + F.relu(1 + of_decoded).mean()) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for parameter in self.network.parameters():
            assert parameter.grad is not None
            self.group.sum(parameter.grad).div_(self.group.world)
        self.optimizer.step()
        return float(loss.detach())

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
