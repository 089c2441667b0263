"""Small models, each with something that a front end may stumble over: name -> (module, example inputs)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Function(nn.Module):
    """Named modules, and a function of them and the inputs."""

    def __init__(self, function: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


class Tokens(nn.Module):
    """Parameters at the root, of which one is unused, and a buffer that the state dict leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.randn(1, 6, 8))
        self.unused = nn.Parameter(torch.randn(3))
        self.register_buffer("mean", torch.randn(8), persistent=False)
        self.register_buffer("count", torch.tensor(3))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x - self.mean], dim=1) + self.pos_embed
        return self.head(self.norm(x)[:, 0])


class Attention(nn.Module):
    """Self-attention as vision transformers spell it."""

    def __init__(self, heads: int = 2, features: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, features = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, features))


class SqueezeExcitation(nn.Module):
    """Channels weighted by what their means say."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)), inplace=True)))


class Tied(nn.Module):
    """A language model whose output layer reads the embedding's table."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8, padding_idx=0)
        self.mixer = nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(F.gelu(self.mixer(self.embedding(tokens))))


def residual(m: Any, x: Tensor) -> Tensor:
    return F.relu(m.bn2(m.conv2(F.relu_(m.bn1(m.conv1(x))))) + x)


def write_slice(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    y[:, 0] = 1
    return m.conv2(y)


def write_seen_through_a_view(m: Any, x: Tensor) -> Tensor:
    y = m.bn(m.conv(x))
    flat = y.view(-1, 4 * 36)
    y.mul_(2)
    return flat + 1


def activations(m: Any, x: Tensor) -> Tensor:
    y = F.silu(x) + F.hardswish(x) + F.gelu(x) + F.gelu(x, approximate="tanh") + m.prelu(x) + F.leaky_relu(x, 0.1)
    return y + m.elu(x) + F.mish(x) + x * torch.sigmoid(x) + torch.tanh(x) + F.softplus(x) + m.relu6(x).clamp(0.5, 2)


def lstm_states(m: Any, x: Tensor) -> dict[str, Any]:
    out, (h, c) = m.lstm(x)
    return {"last": out[:, -1], "states": [h, c]}


def nested(m: Any, pair: dict[str, Any], *, scale: Tensor) -> dict[str, Any]:
    a, (b, c) = pair["a"], pair["rest"]
    return {"sum": m.linear(a) + b * scale, "both": (c, [a - b])}


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def plain(module: nn.Module, *shape: int) -> tuple[nn.Module, tuple[Any, ...]]:
    return module, (images(2, *shape),)


def seeded() -> dict[str, tuple[nn.Module, tuple[Any, ...]]]:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    return {
        "functional": plain(
            Function(
                lambda m, x: F.max_pool2d(F.relu(F.conv2d(x, m.conv.weight, m.conv.bias)), 2).flatten(1), conv=conv
            ),
            4,
            6,
            6,
        ),
        "reused layer": plain(
            Function(lambda m, x: m.conv(m.act(m.conv(m.act(m.conv(x))))), conv=conv, act=nn.ReLU()), 4, 6, 6
        ),
        "one layer at two paths": plain(nn.Sequential(conv, nn.ReLU(), conv), 4, 6, 6),
        "depthwise": plain(
            nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, stride=2), nn.BatchNorm2d(4), nn.ReLU6(inplace=True)), 4, 7, 7
        ),
        "grouped": plain(nn.Sequential(nn.Conv2d(4, 8, 3, groups=2, padding="same", bias=False)), 4, 6, 6),
        "dilated": plain(nn.Sequential(nn.Conv2d(4, 8, 3, dilation=2, padding=(2, 1))), 4, 6, 6),
        "reflecting": plain(nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect")), 4, 6, 6),
        "transposed": plain(
            nn.Sequential(
                nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), nn.BatchNorm2d(6)
            ),
            4,
            5,
            5,
        ),
        "1d": plain(
            nn.Sequential(
                nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.ConvTranspose1d(4, 2, 2), nn.MaxPool1d(2)
            ),
            3,
            9,
        ),
        "3d": plain(nn.Sequential(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3)), 2, 4, 4, 4),
        "batch norms without affine": plain(
            nn.Sequential(nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 2, 1)), 4, 5, 5
        ),
        "group norm": plain(
            nn.Sequential(nn.GroupNorm(2, 4), nn.GroupNorm(4, 4, affine=False), nn.Conv2d(4, 2, 1)), 4, 5, 5
        ),
        "residual": plain(
            Function(
                residual,
                conv1=nn.Conv2d(4, 4, 3, padding=1, bias=False),
                bn1=nn.BatchNorm2d(4),
                conv2=nn.Conv2d(4, 4, 3, padding=1, bias=False),
                bn2=nn.BatchNorm2d(4),
            ),
            4,
            6,
            6,
        ),
        "concatenation": plain(
            Function(
                lambda m, x: torch.cat([m.a(x), F.relu(m.b(x)), x], 1), a=nn.Conv2d(4, 2, 1), b=nn.Conv2d(4, 3, 1)
            ),
            4,
            5,
            5,
        ),
        "squeeze-excitation": plain(SqueezeExcitation(), 4, 6, 6),
        "activations": plain(
            Function(activations, prelu=nn.PReLU(4), elu=nn.ELU(), relu6=nn.ReLU6(inplace=True)), 4, 5, 5
        ),
        "layer norm": plain(
            nn.Sequential(nn.LayerNorm(8), nn.LayerNorm((5, 8), elementwise_affine=False), nn.Linear(8, 3)), 5, 8
        ),
        "attention": plain(Attention(), 5, 8),
        "multi-head attention": plain(
            Function(lambda m, x: m.mha(x, x, x)[0], mha=nn.MultiheadAttention(8, 2, batch_first=True)), 5, 8
        ),
        "transformer layer": plain(nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)), 5, 8),
        "lstm": plain(Function(lstm_states, lstm=nn.LSTM(3, 5, batch_first=True)), 7, 3),
        "deep lstm": plain(
            Function(
                lambda m, x: m.lstm(x)[0],
                lstm=nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True, dropout=0.1),
            ),
            7,
            3,
        ),
        "projecting lstm": plain(Function(lstm_states, lstm=nn.LSTM(3, 5, proj_size=2, batch_first=True)), 7, 3),
        "gru": plain(
            Function(lambda m, x: m.gru(x), gru=nn.GRU(3, 5, bidirectional=True, batch_first=True, bias=False)), 7, 3
        ),
        "rnn": plain(Function(lambda m, x: m.rnn(x)[1], rnn=nn.RNN(3, 5, batch_first=True)), 7, 3),
        "slice written to": plain(Function(write_slice, conv=nn.Conv2d(4, 4, 1), conv2=nn.Conv2d(4, 2, 1)), 4, 6, 6),
        "write seen through a view": plain(
            Function(write_seen_through_a_view, conv=nn.Conv2d(4, 4, 1), bn=nn.BatchNorm2d(4)), 4, 6, 6
        ),
        "tied": (Tied(), (torch.tensor([[1, 2, 3], [4, 0, 10]]),)),
        "tokens": plain(Tokens(), 5, 8),
        "dropout": plain(
            Function(
                lambda m, x: F.dropout(m.drop(m.linear(x)), 0.3, m.training),
                linear=nn.Linear(4, 4),
                drop=nn.Dropout(0.5),
            ),
            4,
        ),
        "upsampling": plain(
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 1), nn.Upsample(size=(5, 5), mode="bilinear")),
            4,
            3,
            3,
        ),
        "a layer by itself": plain(nn.Conv2d(4, 2, 1), 4, 5, 5),
        "an lstm by itself": plain(nn.LSTM(3, 5, batch_first=True), 7, 3),
        "weight computed": plain(
            Function(lambda m, x: F.linear(x, m.linear.weight.abs(), m.linear.bias), linear=nn.Linear(4, 3)), 4
        ),
        "weight norm": plain(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))), 4),
        "half precision": (nn.Sequential(nn.Linear(4, 3), nn.ReLU()).double(), (images(2, 4).double(),)),
    }


MODELS = seeded()


def alive(module):
    """The module with statistics as after training."""
    torch.manual_seed(1)
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.running_mean is not None:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            if norm.affine:
                nn.init.normal_(norm.weight)
                nn.init.normal_(norm.bias)
    return module.eval()
