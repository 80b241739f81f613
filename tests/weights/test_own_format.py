"""Our own format: what is saved comes back, whole."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.errors import CheckpointError, RequestError
from engine.model.var.transformer import VAR
from engine.model.var.vqvae import VQVAE
from engine.plan.rules import decide
from engine.request.options import EditOptions, Situation
from engine.weights.checkpoint import inspect, load_pair, load_var, load_vqvae
from engine.weights.metadata import DRAWS_FILE
from engine.weights.saving import EXACT, VAR_FILE, VQVAE_FILE, save_model
from tests.official import official_state
from tests.weights.nets import LABELS, OWN_VAR, OWN_VQVAE, PLAIN_VAR, same


def test_own_format_round_trips_specs_labels_text_and_weights(own):
    loaded = load_pair(own / VQVAE_FILE, own / VAR_FILE)
    assert loaded.model.vqvae.spec == OWN_VQVAE
    assert loaded.model.var.spec == OWN_VAR
    assert loaded.labels == tuple(LABELS)
    assert loaded.about == "Ours, MIT"
    torch.manual_seed(1)
    vqvae, var = VQVAE(OWN_VQVAE), VAR(OWN_VAR)
    assert torch.equal(loaded.model.scheme.codebook, vqvae.quantize.codebook)
    assert same(loaded.model.var, {k: v if v.dtype == torch.int64 else v.half()
                             for k, v in var.state_dict().items()})


def test_saving_what_was_loaded_gives_the_same_bytes(own, tmp_path):
    loaded = load_pair(own / VQVAE_FILE, own / VAR_FILE)
    save_model(tmp_path, loaded.model.vqvae, loaded.model.var, labels=LABELS, about="Ours, MIT")
    for name in (VQVAE_FILE, VAR_FILE):
        first, second = (load_file(folder / name) for folder in (own, tmp_path))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_a_class_stands_for_comes_back(own, tmp_path):
    members = {"hen": ["école"]}
    save_model(tmp_path, None, VAR(OWN_VAR), labels=LABELS, members=members, about="")
    own_vqvae = own / VQVAE_FILE
    with safe_open(tmp_path / VAR_FILE, "pt") as file:
        assert "codebook" not in file.metadata()
    assert load_pair(own_vqvae, tmp_path / VAR_FILE).members == members
    assert load_pair(own_vqvae, own / VAR_FILE).members == {}


def test_which_members_a_class_draws_is_said_beside_the_model(own, tmp_path):
    name, *others = LABELS
    save_model(tmp_path, None, VAR(OWN_VAR), labels=LABELS, members={name: others}, about="")
    own_vqvae, var, beside = own / VQVAE_FILE, tmp_path / VAR_FILE, tmp_path / DRAWS_FILE
    assert load_pair(own_vqvae, var).draws == {}
    beside.write_text(json.dumps({name: others[:1]}, ensure_ascii=False), encoding="utf-8")
    assert load_pair(own_vqvae, var).draws == {name: others[:1]}
    foreign = [{name: ["griffin"]}, {name: []}, {others[0]: others[:1]}, [name], {name: "a"}]
    for text in ["{", *map(json.dumps, foreign)]:
        beside.write_text(text, encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"draws\.json: expected JSON") as caught:
            load_pair(own_vqvae, var)
        assert "\n" not in str(caught.value)


def test_matrices_are_stored_in_half_precision_and_the_quantizer_exactly(own):
    stored = load_file(own / VQVAE_FILE)
    for name, tensor in stored.items():
        exact = torch.float32 if name.startswith(EXACT) else torch.float16
        assert tensor.dtype == exact


def test_a_weight_beyond_half_precision_is_stored_in_full(tmp_path):
    var = VAR(OWN_VAR)
    with torch.no_grad():
        var.head.bias[0] = 1e6
    save_model(tmp_path, None, var, labels=LABELS, about="")
    assert load_var(tmp_path / VAR_FILE).head.bias[0] == 1e6


def test_channels_last_networks_can_be_saved(tmp_path):
    from engine.model.var.autoencoder import channels_last

    vqvae = VQVAE(OWN_VQVAE)
    channels_last(vqvae)
    save_model(tmp_path, vqvae, None, labels=[], about="")
    assert not (tmp_path / VAR_FILE).exists()
    assert load_vqvae(tmp_path / VQVAE_FILE).spec == OWN_VQVAE


def test_extra_metadata_is_kept_and_files_are_readable_by_others(own, tmp_path):
    save_model(
        tmp_path,
        None,
        VAR(OWN_VAR),
        labels=LABELS,
        about="a",
        extra={"licence": "MIT", "epoch": "3"},
    )
    with safe_open(tmp_path / VAR_FILE, "pt") as file:
        metadata = file.metadata()
    assert metadata["licence"] == "MIT"
    assert metadata["epoch"] == "3"
    assert (tmp_path / VAR_FILE).stat().st_mode & 0o777 == 0o644


def test_a_failed_save_leaves_the_old_file_and_no_rubbish(own, tmp_path, monkeypatch):
    save_model(tmp_path, None, VAR(OWN_VAR), labels=LABELS, about="old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RequestError, match="no space left"):
        save_model(tmp_path, None, VAR(OWN_VAR), labels=LABELS, about="new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_needs_a_name_for_each_class(tmp_path):
    with pytest.raises(CheckpointError, match="expected 3 class names, found 2"):
        save_model(tmp_path, None, VAR(OWN_VAR), labels=["a", "b"], about="")
    assert list(tmp_path.iterdir()) == []


def test_inspect_tells_what_a_file_is_without_reading_its_weights(own):
    found = inspect(own / VAR_FILE, "VAR")
    assert (found.spec, found.labels, found.about) == (OWN_VAR, tuple(LABELS), "Ours, MIT")
    assert inspect(own / VQVAE_FILE, "VQVAE").spec == OWN_VQVAE


def test_inspect_of_values_finds_what_is_not_a_number(tmp_path):
    state = official_state(PLAIN_VAR)
    state["head.bias"][3] = torch.nan
    torch.save(state, tmp_path / "var.pth")
    inspect(tmp_path / "var.pth", "VAR")
    with pytest.raises(CheckpointError, match="expected numbers in 'head"):
        inspect(tmp_path / "var.pth", "VAR", values=True)


def test_a_linear_encoder_is_inferred_from_the_file_and_gives_the_same_features(tmp_path):
    """The tower adds nothing while its last convolution is zero, so it can be left out."""
    from engine.training.export import without_idle_tower

    full = VQVAE(OWN_VQVAE)
    assert without_idle_tower(full) is full, "a tower that adds something stays"
    with torch.no_grad():
        full.encoder.conv_out.weight.zero_()
        full.encoder.conv_out.bias.zero_()
    small = without_idle_tower(full)
    assert small.spec.linear_encoder and "encoder.conv_in.weight" not in small.state_dict()
    save_model(tmp_path, small, None, labels=[], about="")
    for dtype in (torch.float32, torch.bfloat16):
        loaded = load_vqvae(tmp_path / VQVAE_FILE, dtype=dtype)
        assert loaded.spec == small.spec
        picture = torch.rand(1, 3, full.spec.side, full.spec.side) * 2 - 1
        with torch.inference_mode():
            torch.testing.assert_close(loaded.features(picture), full.features(picture))


def test_a_model_may_say_which_sampling_suits_it(tmp_path):
    spec = OWN_VAR
    vqvae, var = VQVAE(OWN_VQVAE), VAR(spec)
    extra = {"defaults": json.dumps({"top_k": 7})}
    save_model(tmp_path, vqvae, var, labels=LABELS, about="", extra=extra)
    loaded = load_pair(tmp_path / VQVAE_FILE, tmp_path / VAR_FILE)
    assert loaded.defaults == {"top_k": 7}
    situation = Situation(task="generate", scales=spec.scales, recommended=loaded.defaults)
    _, sampling, *_ = decide(EditOptions(guidance=1.0), situation)
    assert (sampling.top_k, sampling.guidance) == (7, 1.0)
    for text in ("[1]", '{"guidance": null}', '{"guidance": "3"}', '{"top_k": 20.0}'):
        save_model(tmp_path, vqvae, var, labels=LABELS, about="", extra={"defaults": text})
        with pytest.raises(CheckpointError, match="expected defaults"):
            load_pair(tmp_path / VQVAE_FILE, tmp_path / VAR_FILE)
    suits = {"guidance": 3, "guidance_schedule": "constant", "top_p": 0.5}
    extra = {"defaults": json.dumps(suits)}
    save_model(tmp_path, vqvae, var, labels=LABELS, about="", extra=extra)
    assert load_pair(tmp_path / VQVAE_FILE, tmp_path / VAR_FILE).defaults == suits
