"""Small networks whose channels are tied in every way that we know: name -> (module, shape of a sample)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.capture.models import Function


def conv(ins: int, outs: int, kernel: int = 3, **settings: object) -> nn.Conv2d:
    return nn.Conv2d(ins, outs, kernel, padding=kernel // 2, **settings)


def plain() -> nn.Module:
    return nn.Sequential(
        conv(3, 6), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 8), nn.PReLU(8), nn.MaxPool2d(2), conv(8, 5, 1)
    )


def flattened() -> nn.Module:
    return nn.Sequential(conv(3, 4), nn.Sigmoid(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 7), nn.Linear(7, 2))


def residual() -> nn.Module:
    def run(m, x):
        x = F.relu(m.bn0(m.stem(x)))
        x = F.relu(m.bn2(m.b(F.relu(m.bn1(m.a(x))))) + x)
        x = F.relu(m.d(F.relu(m.c(x))) + m.bn3(m.project(x)))
        return m.head(x.mean((2, 3)))

    return Function(
        run,
        stem=conv(3, 4),
        a=conv(4, 6),
        b=conv(6, 4),
        c=conv(4, 5, stride=2),
        d=conv(5, 8),
        project=conv(4, 8, 1, stride=2),
        head=nn.Linear(8, 3),
        **{f"bn{i}": nn.BatchNorm2d(width) for i, width in enumerate((4, 6, 4, 8))},
    )


def dense() -> nn.Module:
    def run(m, x):
        a = m.a(x)
        b = m.b(F.relu(m.norm(a)))
        c = m.c(torch.cat([a, b], 1))
        return m.d(torch.cat([a, b, c, x], 1).relu())

    return Function(run, a=conv(3, 4), norm=nn.BatchNorm2d(4), b=conv(4, 5), c=conv(9, 6), d=conv(18, 2))


def grouped() -> nn.Module:
    return nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 12, groups=4), nn.BatchNorm2d(12), conv(12, 6, 1), conv(6, 2))


def depthwise() -> nn.Module:
    return nn.Sequential(
        conv(3, 6, 1), nn.ReLU6(), conv(6, 6, groups=6), nn.BatchNorm2d(6), conv(6, 12, groups=6), conv(12, 3, 1)
    )


def gate() -> nn.Module:
    def run(m, x):
        y = F.silu(m.a(x))
        scale = F.hardsigmoid(m.up(F.relu(m.down(F.adaptive_avg_pool2d(y, 1)))))
        return m.b(y * scale)

    return Function(run, a=conv(3, 8), down=conv(8, 4, 1), up=conv(4, 8, 1), b=conv(8, 3))


def spatial_gate() -> nn.Module:
    return Function(lambda m, x: m.c(m.a(x) * m.b(x).sigmoid()), a=conv(3, 6), b=conv(3, 1), c=conv(6, 2))


def shuffled() -> nn.Module:
    def unit(m, x, name):
        left, right = x.chunk(2, 1)
        y = torch.cat([left, getattr(m, name)(right)], 1)
        n, c, h, w = y.shape
        return y.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)

    def run(m, x):
        return m.head(unit(m, unit(m, m.stem(x), "a"), "b").mean((2, 3)))

    return Function(run, stem=conv(3, 8), a=conv(4, 4), b=conv(4, 4), head=nn.Linear(8, 3))


def shuffled_groups() -> nn.Module:
    return nn.Sequential(conv(3, 8, groups=1), conv(8, 12, 1, groups=2), nn.ChannelShuffle(2), conv(12, 2))


def split() -> nn.Module:
    def run(m, x):
        a, b, c = m.a(x).split([2, 3, 4], 1)
        return m.d(torch.cat([c, a], 1)) + m.e(b) + m.f(m.a(x)[:, 2:7])

    return Function(run, a=conv(3, 9), d=conv(6, 2), e=conv(3, 2), f=conv(5, 2))


def padded() -> nn.Module:
    def run(m, x):
        y = m.a(x)
        return m.c(F.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)) + m.b(F.relu(y)))

    return Function(run, a=conv(3, 4), b=conv(4, 7, stride=2), c=conv(7, 2))


def u_shaped() -> nn.Module:
    def run(m, x):
        first = F.relu(m.down(x))
        low = F.relu(m.low(F.max_pool2d(first, 2)))
        return m.out(torch.cat([first, m.up(low)], 1))

    return Function(run, down=conv(3, 4), low=conv(4, 6), up=nn.ConvTranspose2d(6, 5, 2, 2), out=conv(9, 1))


def transposed() -> nn.Module:
    return nn.Sequential(
        conv(3, 8),
        nn.ConvTranspose2d(8, 12, 2, 2, groups=4),
        nn.BatchNorm2d(12),
        conv(12, 6),
        nn.ConvTranspose2d(6, 12, 3, groups=6),
        conv(12, 2),
    )


def attention(heads: int = 4) -> nn.Module:
    def run(m, x):
        n, tokens, width = x.shape
        y = m.norm(x + m.place)
        q, k, v = m.qkv(y).reshape(n, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = x + m.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))
        return y + m.down(F.gelu(m.up(y)))

    made = Function(
        run,
        norm=nn.LayerNorm(8),
        qkv=nn.Linear(8, 24),
        proj=nn.Linear(8, 8),
        up=nn.Linear(8, 16),
        down=nn.Linear(16, 8),
    )
    made.place = nn.Parameter(torch.randn(1, 5, 8))
    return made


def written_attention() -> nn.Module:
    """Attention as a product of matrices, heads beside samples, scores with a bias a head."""

    def run(m, x):
        n, tokens, _ = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.reshape(n, tokens, 4, 3).transpose(1, 2)

        scores = heads(m.q(x)) @ heads(m.k(x)).transpose(-1, -2) * 3**-0.5 + m.bias
        mixed = scores.softmax(-1).reshape(n * 4, tokens, tokens) @ heads(m.v(x)).reshape(n * 4, tokens, 3)
        return m.proj(mixed.reshape(n, 4, tokens, 3).transpose(1, 2).flatten(2))

    made = Function(run, **{name: nn.Linear(8, 12) for name in "qkv"}, proj=nn.Linear(12, 8))
    made.bias = nn.Parameter(torch.randn(4, 1, 1))
    return made


def shared() -> nn.Module:
    """One layer called twice, in a row and on another value."""

    def run(m, x):
        y = m.norm(m.stem(x))
        return m.head(m.twice(m.norm(m.twice(y).relu())).relu())

    return Function(run, stem=conv(3, 6), twice=conv(6, 6), norm=nn.BatchNorm2d(6), head=conv(6, 2))


def scaled() -> nn.Module:
    """A stored number a channel, one for all, and one a place."""

    def run(m, x):
        y = m.a(x) * m.scale + m.shift
        return m.b(torch.minimum(y, m.cap) * m.place)

    made = Function(run, a=conv(3, 5), b=conv(5, 2))
    made.scale = nn.Parameter(torch.randn(5, 1, 1))
    made.shift = nn.Parameter(torch.randn(1))
    made.register_buffer("cap", torch.rand(1, 5, 1, 1))
    made.place = nn.Parameter(torch.randn(8, 8))
    return made


def normed() -> nn.Module:
    return nn.Sequential(conv(3, 6), nn.GroupNorm(3, 6), nn.ELU(), conv(6, 4), nn.BatchNorm2d(4), conv(4, 2))


def resized() -> nn.Module:
    return nn.Sequential(conv(3, 8), nn.PixelShuffle(2), nn.Upsample(scale_factor=2), conv(2, 6), conv(6, 1))


def radix() -> nn.Module:
    """Split attention: two branches, weighed against each other channel by channel."""

    def run(m, x):
        y = m.a(x)
        n, _, h, w = y.shape
        parts = y.reshape(n, 2, 4, h, w)
        weights = m.b(parts.sum(1).mean((2, 3), keepdim=True)).reshape(n, 2, 4, 1, 1).softmax(1)
        return m.c((parts * weights).sum(1))

    return Function(run, a=conv(3, 8), b=conv(4, 8, 1), c=conv(4, 2))


def one_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 4, 3), nn.Flatten(), nn.Linear(16, 2)
    )


IMAGE = (3, 8, 8)
NETWORKS = {
    **{
        build.__name__: (build, IMAGE)
        for build in (
            *(plain, flattened, residual, dense, grouped, depthwise, gate, spatial_gate, shuffled, shuffled_groups),
            *(split, padded, u_shaped, transposed, shared, scaled, normed, resized, radix),
        )
    },
    "attention": (attention, (5, 8)),
    "written_attention": (written_attention, (5, 8)),
    "one_dimensional": (one_dimensional, (3, 8)),
}
