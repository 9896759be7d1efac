#!/usr/bin/env python3
"""Trains a small convolutional network on the handwritten digits of scikit-learn and exports it with torch.export.

    digits_pt2.py OUT.pt2

Made with torch 2.15 and scikit-learn; the network has what mobile vision models have: depthwise convolutions, batch
norm, residuals, squeeze-and-excite, in-place activations. The batch is a symbolic dimension. The archive holds a sample input.
"""
import os
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


class Block(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        mid = 2 * c_in
        self.expand = nn.Sequential(nn.Conv2d(c_in, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.Hardswish(inplace=True))
        self.depth = nn.Sequential(nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False), nn.BatchNorm2d(mid), nn.ReLU6(inplace=True))
        self.squeeze, self.excite = nn.Conv2d(mid, mid // 4, 1), nn.Conv2d(mid // 4, mid, 1)
        self.project = nn.Sequential(nn.Conv2d(mid, c_out, 1, bias=False), nn.BatchNorm2d(c_out))
        self.keeps = c_in == c_out and stride == 1

    def forward(self, x):
        y = self.depth(self.expand(x))
        s = y.mean((2, 3), keepdim=True)
        y = y * nn.functional.hardsigmoid(self.excite(nn.functional.relu(self.squeeze(s))))
        y = self.project(y)
        if self.keeps:
            y += x
        return y


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(inplace=True))
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 24, 2), Block(24, 24, 1), Block(24, 32, 2))
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(nn.functional.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1)).softmax(-1)


def main(out):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(data.target)
    train = torch.arange(len(x)) % 5 != 0
    model = Digits()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(25):
        order = torch.randperm(int(train.sum()))
        for part in order.split(64):
            loss = nn.functional.nll_loss(model(x[train][part]).log(), y[train][part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    right = (model(x[~train]).argmax(1) == y[~train]).float().mean()
    print(f"accuracy on {int((~train).sum())} held-out digits: {right:.4f}")
    program = torch.export.export(model, (x[~train][:4],), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},))
    # Source lines stay, the folders of the machine go.
    for node in program.graph.nodes:
        if "stack_trace" in node.meta:
            for folder in (os.path.dirname(os.path.dirname(torch.__file__)), os.path.dirname(os.path.abspath(__file__))):
                node.meta["stack_trace"] = node.meta["stack_trace"].replace(folder + os.sep, "")
    torch.export.save(program, out)


main(sys.argv[1])
