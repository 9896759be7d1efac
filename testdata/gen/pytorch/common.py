"""What the generators of PyTorch fixtures have in common.

A generator builds `testdata/pytorch/<name>/` for each of its programs: the exported program, and inputs and outputs as PyTorch computes them.
Run with PyTorch 2.15: `python testdata/gen/pytorch/<family>.py`.
"""
import json
import os
import pathlib
import zipfile

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2] / "pytorch"


def array(value):
    """A leaf as an array; what NumPy lacks is widened."""
    if isinstance(value, torch.Tensor):
        value = value.detach().resolve_conj().resolve_neg()
        if value.dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2):
            value = value.float()
        return value.numpy()
    kind = np.bool_ if isinstance(value, bool) else np.int64 if isinstance(value, int) else np.float32
    return np.asarray(value, kind)


def leaves(tree):
    """Arrays of the leaves that are values; None is none."""
    return [array(leaf) for leaf in torch.utils._pytree.tree_leaves(tree) if leaf is not None]


def write_npz(path, arrays):
    """As numpy.savez, with the same bytes on every day."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            with archive.open(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), "w") as f:
                np.lib.format.write_array(f, np.require(value, requirements="C"), version=(1, 0))


def repack(path):
    """The archive compressed, with the same bytes on every day and without sample inputs and what tools add."""
    with zipfile.ZipFile(path) as old:
        entries = [(i.filename, old.read(i)) for i in old.infolist()]
    entries = [(n, b) for n, b in entries if "sample_inputs" not in n and ".data/" not in n]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in entries:
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def save_io(folder, name, model, args, kwargs=None, constants=0):
    """Inputs and outputs of one call. The inputs are kept as they are before it; the last `constants` became part of the program."""
    kwargs = kwargs or {}
    ins = [a.copy() for a in leaves((args, kwargs))]
    ins = ins[: len(ins) - constants]
    outs = leaves(model(*args, **kwargs))
    arrays = {f"in{i}": a for i, a in enumerate(ins)} | {f"out{i}": a for i, a in enumerate(outs)}
    write_npz(folder / name, arrays)


def export(name, model, args, kwargs=None, dynamic=None, more=(), decompose=False, strict=False, **meta):
    """Writes the case `name`: `more` are further argument tuples for other sizes; `meta` goes to meta.json."""
    model = model.eval() if meta.pop("eval", True) else model
    constants = meta.pop("constants", 0)
    defer = meta.pop("defer", False)
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    copy = lambda tree: torch.utils._pytree.tree_map(lambda t: t.clone() if isinstance(t, torch.Tensor) else t, tree)
    program = torch.export.export(model, copy(args), copy(kwargs), dynamic_shapes=dynamic, strict=strict,
                                  prefer_deferred_runtime_asserts_over_guards=defer)
    if decompose:
        program = program.run_decompositions()
    path = folder / "model.pt2"
    torch.export.save(program, path)
    repack(path)
    with torch.no_grad():
        for i, one in enumerate([args, *more]):
            save_io(folder, "io.npz" if i == 0 else f"io{i}.npz", model, copy(one), copy(kwargs), constants)
    if meta:
        (folder / "meta.json").write_text(json.dumps(meta, sort_keys=True) + "\n")
    elif (folder / "meta.json").exists():
        os.remove(folder / "meta.json")
    return program
