import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from engine.errors import CheckpointError
from engine.model.attention import sdpa
from engine.model.spec import VARSpec
from engine.model.var.transformer import VAR
from engine.training.code_head import CodeHead, folded
from engine.training.data import open_pictures
from engine.training.photos import Split
from engine.training.run import Budget, Log, processes
from engine.training.tokens import BLOCK, TokenStore
from engine.training.var import VARTrainer, train_var
from engine.training.var_objective import (
    Objective,
    VAROptions,
    batched_products,
    go_on_from,
    initialise,
    random_window,
)
from engine.training.vqvae import load_trained_vqvae, train_vqvae
from engine.training.vqvae_objective import VQVAEOptions
from engine.weights.checkpoint import load_pair, load_var
from engine.weights.saving import save_model

from .conftest import TINY

OPTIONS = VAROptions(
    depth=1, width=64, batch=4, warmup=2, held_out=8, evaluate_every=1000, tokens_at_once=60
)
SIX = Budget(steps=6)


@pytest.fixture(scope="session")
def vqvae_checkpoint(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vqvae")
    options = VQVAEOptions(batch=2, start_pictures=40, held_out=8)
    train_vqvae(picture_folder, out, spec=TINY, budget=Budget(steps=1), options=options)
    return out / "checkpoint.pt"


def tiny_var() -> VAR:
    torch.manual_seed(0)
    var = VAR(VARSpec(depth=2, width=64, scales=(1, 2, 4), num_classes=3, codebook_size=48,
                      latent_channels=8))  # fmt: skip
    initialise(var)
    return var.eval()


@torch.no_grad()
def test_the_loss_of_a_prefix_is_that_of_the_whole_run() -> None:
    objective = Objective(tiny_var(), OPTIONS, bf16=False)
    ids = torch.randint(48, (2, 21))
    inputs, labels = torch.randn(2, 20, 8), torch.tensor([0, 3])
    whole = objective(inputs, ids, labels, None, 3)
    prefix = objective(inputs[:, :4], ids[:, :5], labels, None, 2)
    torch.testing.assert_close(prefix, whole[:, :5])
    logits = objective.var(inputs, labels)
    torch.testing.assert_close(whole[0, 7], F.cross_entropy(logits[0, 7], ids[0, 7]))


@torch.no_grad()
def test_a_window_over_the_whole_scale_changes_nothing() -> None:
    objective = Objective(tiny_var(), OPTIONS, bf16=False)
    ids = torch.randint(48, (2, 21))
    inputs, labels = torch.randn(2, 20, 8), torch.tensor([0, 3])
    whole = objective(inputs, ids, labels, None, 3)
    torch.testing.assert_close(objective(inputs, ids, labels, torch.arange(16), 3), whole)
    part = objective(inputs, ids, labels, torch.tensor([5, 6, 9, 10]), 3)
    assert part.shape == (2, 5 + 4)
    torch.testing.assert_close(part[:, :5], whole[:, :5])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_blocks_are_trained_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dynamo's part of it; what C++ a compiler makes of it is PyTorch's business."""
    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda run, **settings: compiled(run, backend="eager", **settings)
    )
    ids, labels = torch.randint(48, (2, 21)), torch.tensor([0, 3])
    inputs, window = torch.randn(2, 20, 8), torch.tensor([5, 6, 9, 10])
    found = []
    for options in (OPTIONS, replace(OPTIONS, compile=True)):
        objective = Objective(tiny_var(), options, bf16=False).train()
        for scales, some in ((2, None), (3, window), (3, None)):
            end = [1, 5, 21][scales - 1]
            objective(inputs[:, : end - 1], ids[:, :end], labels, some, scales).sum().backward()
        found.append([p.grad for p in objective.parameters() if p.grad is not None])
    for plain, fast in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain)


def test_a_new_model_goes_on_from_another_by_the_names_of_its_labels(tmp_path: Path) -> None:
    old = tiny_var()
    save_model(tmp_path, None, old, labels=["bird", "boat", "owl"], about="")
    new = VAR(replace(old.spec, num_classes=4))
    initialise(new)
    names, members = ("bird", "owl", "duck", "cloud"), {"bird": ("owl", "duck")}
    go_on_from(new, names, members, tmp_path / "var.safetensors")
    had, has = old.class_emb.weight, new.class_emb.weight
    close = {"atol": 1e-3, "rtol": 0}  # a file is in half precision
    torch.testing.assert_close(has[[0, 1, 4]], had[[0, 2, 3]], **close)
    assert 0 < (has[2] - had[0]).std() < had.std()  # a thing that is new starts near its class
    assert (has[3] - had[:3].mean(0)).std() < had.std()
    torch.testing.assert_close(new.head.weight, old.head.weight, **close)
    foreseeing = VAR(replace(new.spec, foresight=True))
    go_on_from(foreseeing, names, members, tmp_path / "var.safetensors")
    assert not foreseeing.known_embed.any()
    torch.testing.assert_close(foreseeing.word_embed.weight, old.word_embed.weight, **close)
    wider = VAR(replace(old.spec, width=128))
    with pytest.raises(CheckpointError, match="another shape"):
        go_on_from(wider, names, members, tmp_path / "var.safetensors")


@torch.no_grad()
def test_a_code_head_starts_as_the_head_and_folds_into_one() -> None:
    var, x = tiny_var(), torch.randn(2, 5, 64)
    codebook = torch.randn(48, 8)
    head = CodeHead(var.head, codebook)
    torch.testing.assert_close(head(x), var.head(x))
    for parameter in head.parameters():
        parameter.normal_(generator=torch.Generator().manual_seed(3))
    plain = {f"head.{name}": value for name, value in head.state_dict().items()}
    weights = folded(plain | {"pos_start": torch.zeros(1)})
    assert set(weights) == {"head.weight", "head.bias", "pos_start"}
    torch.testing.assert_close(F.linear(x, weights["head.weight"], weights["head.bias"]), head(x))
    assert folded(weights) == weights


@torch.no_grad()
def test_a_code_head_can_say_the_nearest_code() -> None:
    codebook, wanted = torch.randn(48, 8), torch.randn(20, 8)
    head = CodeHead(nn.Linear(8, 48), codebook)
    for parameter in (head.weight, head.bias):
        parameter.zero_()
    head.by_code[:8] = 2 * torch.eye(8)
    head.bias_by_code[8] = -codebook.square().sum(1).mean()
    nearest = torch.cdist(wanted, codebook).argmin(1)
    assert torch.equal(head(wanted).argmax(1), nearest)


def test_attention_by_batched_products_is_attention() -> None:
    q, k, v = torch.randn(2, 5, 3, 8), torch.randn(2, 7, 3, 8), torch.randn(2, 7, 3, 8)
    torch.testing.assert_close(batched_products(q, k, v, 0.3), sdpa(q, k, v, 0.3))


def test_a_window_is_a_square_inside_the_map() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(50):
        window = random_window(4, 2, generator)
        rows, columns = window // 4, window % 4
        assert rows.tolist() == [rows[0], rows[0], rows[0] + 1, rows[0] + 1]
        assert columns.tolist() == [columns[0], columns[0] + 1] * 2
        seen.add(int(window[0]))
    assert seen == {0, 1, 2, 4, 5, 6, 8, 9, 10}


def test_tokens_are_the_same_whoever_makes_them(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path
) -> None:
    vqvae = load_trained_vqvae(vqvae_checkpoint)
    pictures = open_pictures(picture_folder, side=32, split="train")
    first, second = (
        TokenStore(tmp_path / name, pictures, vqvae, name="train") for name in ("a", "b")
    )
    second.make(1)  # made ahead
    across = BLOCK - 3
    for mine, its in zip(first.rows(across, 6), second.rows(across, 6), strict=True):
        assert torch.equal(mine, its)
    ids, labels = first.rows(0, 2)
    assert ids.shape == (2, 21)
    assert labels.tolist() == [pictures[0][1], pictures[1][1]]


def test_tokens_of_data_that_changed_are_made_anew(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path
) -> None:
    vqvae, data = load_trained_vqvae(vqvae_checkpoint), tmp_path / "data"

    def store(split: Split = "train") -> TokenStore:
        pictures = open_pictures(data, side=32, split=split)
        return TokenStore(tmp_path / "tokens", pictures, vqvae, name=split)

    shutil.copytree(picture_folder, data)
    first = store().make(0)
    assert store().path(0) == first and store("val").folder == first.parent
    shutil.copytree(data, tmp_path / "moved")
    shutil.rmtree(data)
    (tmp_path / "moved").rename(data)
    assert store().path(0) == first  # the same files in the same place, made later
    shutil.copy(data / "red/0.png", data / "red/9.png")
    one_more = store().path(0)
    assert one_more != first and not one_more.exists()
    with (data / "red/9.png").open("ab") as file:
        file.write(b"another size")
    assert store().path(0) not in (first, one_more)
    (data / "red/9.png").unlink()
    assert store().path(0) == first and first.exists()


def test_scales_are_trained_coarse_to_fine(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path
) -> None:
    vqvae = load_trained_vqvae(vqvae_checkpoint)
    with processes() as group:
        trainer = VARTrainer(picture_folder, vqvae, tmp_path, SIX, OPTIONS, group)
    assert [trainer.phase(p) for p in (0.0, 0.49, 0.5, 0.84, 0.9)] == [
        (2, False), (2, False), (3, True), (3, True), (3, False),
    ]  # fmt: skip


def test_an_evaluation_knows_no_smoothing_and_no_compiled_blocks(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("compiled blocks are for training")

    monkeypatch.setattr(torch, "compile", lambda run, **_: refused)
    vqvae, losses = load_trained_vqvae(vqvae_checkpoint), []
    for options in (OPTIONS, replace(OPTIONS, label_smoothing=0.4, compile=True)):
        with processes() as group:
            trainer = VARTrainer(picture_folder, vqvae, tmp_path, SIX, options, group)
        losses.append(trainer._evaluate(Log(tmp_path, "var", enabled=False)))
        assert trainer.objective.training and trainer.var.training
    assert losses[0] == losses[1]


def test_a_run_that_has_ended_is_evaluated_and_exported_again(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path
) -> None:
    exported, models, logged = tmp_path / "model/var.safetensors", [], []
    for _ in range(2):
        train_var(
            picture_folder, tmp_path, vqvae=vqvae_checkpoint, budget=Budget(steps=2),
            options=OPTIONS,
        )  # fmt: skip
        models.append(load_var(exported).state_dict())
        exported.unlink()
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        logged.append(json.loads(lines[-1]))
    before, after = logged
    assert len(lines) == 2 and after == before and "val/4x4" in after
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())


def test_a_resumed_run_equals_an_uninterrupted_one_and_its_model_opens(
    picture_folder: Path, vqvae_checkpoint: Path, tmp_path: Path
) -> None:
    class Stopping(VARTrainer):
        def after_update(self) -> dict[str, float]:
            if self.step == 3:
                caught.append(15)
            return super().after_update()

    whole = train_var(
        picture_folder, tmp_path / "whole", vqvae=vqvae_checkpoint, budget=SIX, options=OPTIONS
    )
    caught: list[int] = []
    out = tmp_path / "parts"
    vqvae = load_trained_vqvae(vqvae_checkpoint)
    with processes() as group:
        Stopping(picture_folder, vqvae, out, SIX, OPTIONS, group).run(caught)
    resumed = train_var(picture_folder, out, vqvae=vqvae_checkpoint, budget=SIX, options=OPTIONS)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name

    loaded = load_pair(out / "model/vqvae.safetensors", out / "model/var.safetensors")
    assert loaded.labels == ("blue", "green", "red")
    assert loaded.model.var.spec == resumed.spec
    assert list((out / "samples").glob("samples-*.png"))

    wider = replace(OPTIONS, width=128)
    with pytest.raises(CheckpointError, match="holds another model"):
        train_var(picture_folder, out, vqvae=vqvae_checkpoint, budget=SIX, options=wider)
