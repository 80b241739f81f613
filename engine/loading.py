"""From a model's name to an editor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engine.editor import Editor
from engine.machine.allocator import keep_freed_memory, keep_weights_apart
from engine.machine.device import choose_device, choose_precision
from engine.machine.packed import pack
from engine.machine.packed_conv import pack_convolutions
from engine.machine.shelf import Shelf
from engine.model.family import Model
from engine.model.var.autoencoder import channels_last
from engine.model.var.labelled import Modulated
from engine.weights.cards import card_of
from engine.weights.checkpoint import load_pair, load_relay
from engine.weights.places import WEIGHTS, ModelFiles, PairFiles
from engine.weights.registry import free_memory, resolve

SELDOM = 32_000_000  # bytes of weights read once a label from which a CPU holds them in a file
TIGHT = 2_000_000_000  # bytes left on a GPU after loading below which every third weight moves out


def load_editor(
    model: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: Path = WEIGHTS,
) -> Editor:
    """Load a model and return its editor.

    ``model`` is "auto" (the best one present that fits the memory), "bundled", a name of the
    registry such as "var-d16", a folder with a model in it, or two of these in turn, such as
    "var-d30+var-d16@8". ``weights`` is the folder that
    downloads go to. Raises ModelNotFoundError, CheckpointError or DeviceError.
    """
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    files = files_of(model, device=device, precision=precision, weights=weights)
    if isinstance(files, PairFiles):
        first, second = ((each.vqvae, each.var) for each in files.parts)
        loaded = load_relay(first, second, files.switch, device=where, dtype=dtype)
    else:
        loaded = load_pair(files.vqvae, files.var, device=where, dtype=dtype)
    if where.type == "cuda" and free_memory(str(where)) < TIGHT:
        for network in transformers(loaded.model):
            network.move_modulation(torch.device("cpu"))
    lay_out(loaded.model)
    return Editor(loaded.model, card_of(files, loaded))


def files_of(
    model: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: Path = WEIGHTS,
) -> ModelFiles | PairFiles:
    """The files that `load_editor` would read: what is known of a model before it is loaded stands
    in them (`engine.weights.cards.read_card`). Raises ModelNotFoundError or DeviceError."""
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    free = free_memory(str(where))
    return resolve(model, weights, memory=free, bytes_per_weight=dtype.itemsize)


def load_in_own_process(model: str = "auto", *, device: str = "auto", **more: Any) -> Editor:
    """`load_editor` for a program, which may tell the C library of its process how to hold memory:
    weights apart while they are loaded, and later what a layer lets go of for the next layer."""
    if choose_device(device).type != "cpu":
        return load_editor(model, device=device, **more)
    keep_weights_apart()
    try:
        return load_editor(model, device=device, **more)
    finally:
        keep_freed_memory()


def lay_out(model: Model) -> None:
    """Hold the weights of networks that are only to be run as their device likes them best.

    The official state dicts are lost.
    """
    for transformer in transformers(model):
        transformer.shelve_modulation(Shelf(), SELDOM)  # first: it makes room
    for network in model.networks:
        if isinstance(network, Modulated):
            pack(network)
            continue
        pack_convolutions(network)
        channels_last(network)


def transformers(model: Model) -> list[Modulated]:
    """The networks of a model that read labels."""
    return [network for network in model.networks if isinstance(network, Modulated)]
