"""Fourier transforms: torch.fft, what core ATen has instead, and short-time transforms."""
import torch
from common import export
from torch.export import Dim

fft = torch.fft


def pairs(*zs):
    return tuple(torch.view_as_real(z.resolve_conj()) if z.is_complex() else z for z in zs)


class One(torch.nn.Module):
    """Along one axis: cut, filled up, all norms, other axes."""

    def forward(self, x):
        z = torch.view_as_complex(x)
        r = x[..., 0]
        ys = [fft.fft(z), fft.fft(r), fft.ifft(z, norm="ortho"), fft.fft(z, 3, dim=0), fft.fft(z, 9, norm="forward"), fft.ifft(r, 4)]
        ys += [fft.rfft(r), fft.rfft(r, 5, dim=0, norm="ortho"), fft.rfft(r, 10), fft.irfft(z), fft.irfft(z, 7), fft.irfft(r, 4, dim=0)]
        ys += [fft.irfft(z, 20, norm="forward"), fft.hfft(z), fft.hfft(z, 5, norm="ortho"), fft.ihfft(r), fft.ihfft(r, 4, dim=0)]
        ys += [fft.fft(torch.arange(4)), fft.fftshift(z), fft.ifftshift(z, dim=1), fft.fftshift(r, dim=0)]
        ys += [fft.fftfreq(5, 0.5) + r[0, :5], fft.rfftfreq(7) * r[0, :4], fft.fft(z, dim=0).abs(), fft.rfft(r, 1)]
        return pairs(*ys)


class Many(torch.nn.Module):
    def forward(self, x):
        z = torch.view_as_complex(x)
        r = x[..., 1]
        ys = [fft.fft2(z), fft.ifft2(r, norm="ortho"), fft.fftn(z), fft.fftn(r, s=(4, 3)), fft.ifftn(z, dim=(0, 2), norm="forward")]
        ys += [fft.rfft2(r), fft.rfftn(r, s=(3, -1), dim=(0, 1)), fft.irfft2(z), fft.irfft2(z, s=(4, 7), norm="ortho")]
        ys += [fft.irfftn(z, dim=(2, 0)), fft.hfft2(z), fft.hfftn(z, s=(3, 4)), fft.ihfft2(r, norm="forward"), fft.ihfftn(r)]
        ys += [fft.irfft2(fft.rfft2(r), s=r.shape[-2:])]
        return pairs(*ys)


class Lengths(torch.nn.Module):
    """Lengths beyond a matrix, with the operator."""

    def forward(self, x):
        f = fft.rfft(x)
        z = fft.fft(torch.complex(x[..., :1801], x[..., 7:1808]))
        return fft.irfft(f * f.conj(), n=4096), f[..., ::64].abs(), z.real[..., ::100], fft.ifft(z, norm="ortho").imag[..., ::100]


class Dynamic(torch.nn.Module):
    """A long convolution, and half spectra of lengths not known before."""

    def __init__(self):
        super().__init__()
        self.k = torch.nn.Parameter(torch.randn(6))

    def forward(self, x):
        n = x.shape[-1]
        f = fft.rfft(x, n=2 * n) * fft.rfft(self.k, n=2 * n)
        return fft.irfft(f, n=2 * n)[..., :n], fft.fft(x, norm="ortho").imag, fft.ihfft(x, norm="forward").real, fft.fftshift(x, -1)


class Short(torch.nn.Module):
    """Spectra of frames and back: windows shorter than frames, all options."""

    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.hann_window(12))

    def forward(self, x):
        a = torch.stft(x, 16, 4, 12, self.w, return_complex=True)
        b = torch.stft(x, 16, window=torch.hamming_window(16, False), center=False, onesided=False, normalized=True, return_complex=True)
        c = torch.stft(x[0], 10, 3, pad_mode="constant", return_complex=True)
        d = torch.stft(torch.complex(x, -x), 8, window=torch.kaiser_window(8, True, 3.0), return_complex=True)
        ys = [a, b, c, d, a.abs(), a.angle().cos(), torch.istft(a, 16, 4, 12, self.w), torch.istft(a, 16, 4, 12, self.w, length=70)]
        ys += [torch.istft(b, 16, window=torch.bartlett_window(18)[1:-1], center=False, normalized=True, onesided=False)]
        ys += [torch.istft(c, 10, 3, length=30), torch.istft(d, 8, window=torch.blackman_window(10, False)[1:-1], return_complex=True)]
        return pairs(*ys)


class Frames(torch.nn.Module):
    """A signal of any length there and back."""

    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.hann_window(16))

    def forward(self, x):
        z = torch.stft(x, 16, 5, window=self.w, return_complex=True)
        return z.abs() ** 2, torch.istft(z * 0.5j, 16, 5, window=self.w)


class Long(torch.nn.Module):
    def forward(self, x):
        z = torch.stft(x, 2048, 1024, return_complex=True)
        return z.abs()[:, ::100], torch.istft(z, 2048, 1024, length=x.shape[-1])[:, ::50]


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


torch.manual_seed(0)
sizes = {0: Dim("b"), 1: Dim("n", min=4, max=64)}
for core in (False, True):
    tail = "_core" if core else ""
    export("fft_one" + tail, One(), (noise(3, 6, 2),), decompose=core)
    export("fft_dynamic" + tail, Dynamic(), (noise(2, 12),), dynamic=(sizes,), more=[(noise(1, 17),)], decompose=core)
    export("fft_short_time" + tail, Short(), (noise(2, 64),), decompose=core)
export("fft_many", Many(), (noise(3, 4, 5, 2),))
export("fft_lengths", Lengths(), (noise(1, 4096),), rtol=1e-3, atol=1e-2)
export("fft_double", Short(), (noise(2, 64).double(),), rtol=1e-5, atol=1e-6)
export("fft_frames", Frames(), (noise(2, 80),), dynamic=({1: Dim.AUTO},), more=[(noise(2, 97),)])
export("fft_long_frames", Long(), (noise(1, 6000),), rtol=1e-3, atol=1e-3)
