"""Exported programs in the archive layouts of older PyTorch versions, which only those write.

Run once with each of PyTorch 2.1.2, 2.2.2, 2.3.1, 2.5.1, 2.7.1 and 2.8.0: `python testdata/gen/pytorch/old_exports.py`. It writes
`testdata/pytorch/export_<major>_<minor>/`. The archives are compressed afterwards, entry by entry.
"""
import torch
from common import ROOT, repack, save_io

if not hasattr(torch.utils._pytree, "tree_leaves"):
    torch.utils._pytree.tree_leaves = lambda tree: torch.utils._pytree.tree_flatten(tree)[0]


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(3)
        self.fc = torch.nn.Linear(3, 4)
        self.register_buffer("shift", torch.arange(4.0))
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0, 1.0]), persistent=False)

    def forward(self, x, scale):
        y = torch.relu(self.norm(self.conv(x)))
        y = torch.nn.functional.max_pool2d(y, 2).mean((2, 3))
        y = self.fc(y) * self.mask + self.shift
        z = y.view(y.size(0), 2, 2)
        z = torch.cat([z, scale.expand(z.shape[0], 2, 1)], dim=2).transpose(1, 2)
        return y.clamp(min=-1, max=5.5), z.sum(dim=[1], keepdim=True), torch.tensor([2.0, 3.0]) * scale


def main():
    major, minor = torch.__version__.split(".")[:2]
    torch.manual_seed(0)
    model = Model().eval()
    model.norm.running_mean.uniform_()
    model.norm.running_var.uniform_(0.5, 1.5)
    args = (torch.rand(2, 2, 6, 6), torch.rand(1, 1))
    if (major, minor) == ("2", "1"):
        batch = torch.export.dynamic_dim(args[0], 0)
        program = torch.export.export(model, args, constraints=[batch >= 2, batch <= 15])
    else:
        batch = torch.export.Dim("batch", min=2, max=15)
        program = torch.export.export(model, args, dynamic_shapes={"x": {0: batch}, "scale": None})
    folder = ROOT / f"export_{major}_{minor}"
    folder.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, folder / "model.pt2")
    repack(folder / "model.pt2")
    save_io(folder, "io.npz", model, args)
    save_io(folder, "io_batch.npz", model, (torch.rand(5, 2, 6, 6), torch.rand(1, 1)))


main()
