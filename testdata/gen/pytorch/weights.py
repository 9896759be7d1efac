"""Writes the files of weights that the command-line tests read into testdata/cli/inputs. Needs PyTorch 2.15.

weights.pth is a state dict, older.pth the same in the layout of PyTorch before 1.6, training.ckpt one beside an optimizer's state, module.pt
a whole module, program.pt2 the program of the module with other weights; quantized.pth and sparse.pth hold tensors that are no plain views.
"""
import pathlib

import torch

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "cli" / "inputs"


def model(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2, bias=False)).eval()


def main():
    net = model(0)
    state = net.state_dict()
    torch.save(state, FOLDER / "weights.pth")
    torch.save(state, FOLDER / "older.pth", _use_new_zipfile_serialization=False)
    wide = torch.arange(12.0).reshape(3, 4)
    moments = {"exp_avg": wide.t(), "exp_avg_sq": wide[1:, :2], "step": torch.tensor(3)}
    training = {
        "state_dict": {f"module.{k}": v for k, v in state.items()},
        "optimizer": {"state": {0: moments}, "param_groups": [{"lr": 0.1}]},
        "epoch": 7,
    }
    torch.save(training, FOLDER / "training.ckpt")
    torch.save(net, FOLDER / "module.pt")
    channels = torch.quantize_per_channel(wide, torch.tensor([0.5, 1.0, 2.0]), torch.tensor([0, 1, 2]), 0, torch.qint8)
    quantized = {"a": torch.quantize_per_tensor(wide, 0.25, 3, torch.quint8), "b": channels}
    torch.save(quantized, FOLDER / "quantized.pth")
    torch.save({"a": wide, "b": wide.to_sparse(), "c": torch.empty(2, device="meta")}, FOLDER / "sparse.pth")
    batch = torch.export.Dim("batch")
    program = torch.export.export(model(1), (torch.rand(2, 3),), dynamic_shapes=({0: batch},))
    torch.export.save(program, FOLDER / "program.pt2")


main()
