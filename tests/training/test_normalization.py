import torch
from torch.nn import functional as F

from engine.model.normalization import GroupNorm


def test_the_fast_backward_is_the_gradient_of_group_norm() -> None:
    torch.manual_seed(0)
    norm = GroupNorm(4, 16, eps=1e-6).double()
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64, requires_grad=True)
    mix = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    wanted_of = [x, norm.weight, norm.bias]
    ours = torch.autograd.grad((norm(x) * mix).sum(), wanted_of)
    plain = F.group_norm(x, 4, norm.weight, norm.bias, 1e-6)
    theirs = torch.autograd.grad((plain * mix).sum(), wanted_of)
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, wanted)


def test_the_fast_backward_serves_channels_last_in_half_precision() -> None:
    torch.manual_seed(0)
    norm = GroupNorm(2, 8, eps=1e-6)
    x = torch.randn(3, 8, 6, 6).to(torch.bfloat16, memory_format=torch.channels_last)
    exact = x.double().requires_grad_()
    F.group_norm(exact, 2, eps=1e-6).square().mul(exact.detach()).sum().backward()
    rounded = x.clone().requires_grad_()
    norm(rounded).square().mul(x).sum().backward()
    assert exact.grad is not None and rounded.grad is not None
    error = (rounded.grad.double() - exact.grad).norm() / exact.grad.norm()
    assert error < 0.02
