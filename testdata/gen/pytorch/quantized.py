"""Quantization as pt2e leaves it in programs, dynamic quantization, and simulated quantization."""
import torch
import torch.ao.quantization.fx._decomposed  # noqa: F401  defines torch.ops.quantized_decomposed
from common import export

Q = torch.ops.quantized_decomposed
I8, U8, I16, I32 = torch.int8, torch.uint8, torch.int16, torch.int32


class Static(torch.nn.Module):
    """A quantized convolution and a linear layer: per tensor and per channel, several types and narrower ranges."""

    def __init__(self):
        super().__init__()
        self.register_buffer("conv", torch.randint(-127, 128, (4, 3, 3, 3), dtype=I8))
        self.register_buffer("conv_scale", torch.rand(4) * 0.02 + 0.01)
        self.register_buffer("conv_zero", torch.zeros(4, dtype=torch.int64))
        self.register_buffer("bias", torch.randint(-500, 500, (4,), dtype=I32))
        self.register_buffer("weight", torch.randn(5, 4))
        self.register_buffer("scale", torch.rand(4) * 0.1 + 0.02)
        self.register_buffer("zero", torch.tensor([0, -3, 5, 1], dtype=torch.int64))

    def forward(self, x):
        q = Q.quantize_per_tensor.default(x, 0.031, 7, -128, 127, I8)
        x = Q.dequantize_per_tensor.default(q, 0.031, 7, -128, 127, I8)
        w = Q.dequantize_per_channel.default(self.conv, self.conv_scale, self.conv_zero, 0, -127, 127, I8)
        b = Q.dequantize_per_tensor.default(self.bias, 0.003, 0, -(2**31), 2**31 - 1, I32)
        y = torch.conv2d(x, w, b, padding=1).relu()
        u = Q.quantize_per_tensor.default(y, 0.021, 12, 0, 127, U8)
        y = Q.dequantize_per_tensor.default(u, 0.021, 12, 0, 127, U8).mean((2, 3))
        p = Q.quantize_per_channel.default(self.weight, self.scale, self.zero, -1, -8, 7, I8)
        w = Q.dequantize_per_channel.default(p, self.scale, self.zero, 1, -8, 7, I8)
        z = torch.nn.functional.linear(y, w)
        wide = Q.quantize_per_tensor.default(z, 0.001, -5, -32768, 32767, I16)
        bias = Q.quantize_per_tensor.default(z, 0.0007, 3, -(2**20), 2**20, I32)
        back = Q.dequantize_per_tensor.default(bias, 0.0007, 3, -(2**20), 2**20, I32)
        return q, u, p, z, wide, bias, back


class Dynamic(torch.nn.Module):
    """Scales chosen at run time: per tensor, per token; weights in groups of four bits."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.randint(-8, 8, (3, 8), dtype=I8))
        self.register_buffer("scales", torch.rand(3, 2) * 0.1 + 0.01)
        self.register_buffer("zeros", torch.randint(-2, 3, (3, 2), dtype=I32))

    def forward(self, x):
        scale, zero = Q.choose_qparams.tensor(x, -128, 127, 1e-6, I8)
        q = Q.quantize_per_tensor.tensor(x, scale, zero, -128, 127, I8)
        y = Q.dequantize_per_tensor.tensor(q, scale, zero, -128, 127, I8)
        scale2, zero2 = Q.choose_qparams_symmetric.tensor(x, 0, 255, 1e-6, U8)
        u = Q.quantize_per_tensor.tensor(x, scale2, zero2, 0, 255, U8)
        st, zt = Q.choose_qparams_per_token_asymmetric.default(y, I8)
        t = Q.quantize_per_token.default(y, st, zt, -128, 127, I8)
        y = Q.dequantize_per_token.default(t, st, zt, -128, 127, I8, torch.float32)
        s, z = Q.choose_qparams_per_token.default(y, I8)
        k = Q.quantize_per_token.default(y, s, z, -127, 127, I8)
        w = Q.dequantize_per_channel_group.default(self.weight, self.scales, self.zeros, -8, 7, I8, 4, torch.float32)
        g = Q.quantize_per_channel_group.default(w, self.scales, self.zeros, -8, 7, I8, 4)
        return q, u, scale, zero, scale2, zero2, t, k, w, g, torch.nn.functional.linear(y, w)


class Simulated(torch.nn.Module):
    """Quantization of floats for training."""

    def forward(self, x, s, z):
        a = torch.fake_quantize_per_tensor_affine(x, 0.1, 3, -8, 7)
        b = torch.fake_quantize_per_tensor_affine(x, s[0], z[0], 0, 255)
        c = torch.fake_quantize_per_channel_affine(x, s, z, 1, -100, 100)
        d = torch.fake_quantize_per_tensor_affine(x, 0.001, 0, -2000, 2000)
        return a, b, c, d


if __name__ == "__main__":
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=1)
    export("quantized_static", Static(), (torch.randn(2, 3, 6, 6),), dynamic=({0: batch},), more=[(torch.randn(1, 3, 6, 6),)])
    export("quantized_dynamic", Dynamic(), (torch.randn(3, 8),))
    zeros = torch.tensor([1, -2, 0, 5], dtype=I32)
    export("quantized_simulated", Simulated(), (torch.randn(3, 4), torch.rand(4) * 0.05 + 0.01, zeros))
