"""Train a network that microjoule brings along, on scikit-learn's digits; one to two minutes on one core.

    python examples/train_digits.py digits_resnet src/microjoule/zoo/embedded/digits_resnet.safetensors

The weights are written with a record of how they came about. The test digits are looked at once, at the end.

The large MobileNets end up, after weeks of training, with channels of very different ranges, which is what breaks
8-bit weights with one scale a tensor. A small network trained for seconds does not get there by itself. So in
digits_mobilenet_v2 the scales of the batch norms before depthwise convolutions are drawn between 1/SPREAD and 1 and
held there; the batch norm after the depthwise convolution undoes them, so the network can learn the same, only with
uneven weights. digits_resnet is trained as it is.
"""

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from microjoule.records.files import write_atomically
from microjoule.zoo.cards import card
from microjoule.zoo.digits import digits
from microjoule.zoo.digits_mobilenet import DigitsMobileNet

NAMES = ("digits_mobilenet_v2", "digits_resnet")
SEED = 0
EPOCHS = 40
BATCH = 64
LEARNING_RATE = 5e-3
SPREAD = 512


def together(part: str) -> tuple[Tensor, Tensor]:
    """All samples of a part: inputs (n, 1, 8, 8) and labels (n,)."""
    inputs, labels = zip(*digits(part), strict=True)
    return torch.stack(inputs), torch.stack(labels)


def shifted(inputs: Tensor) -> Tensor:
    """The batch moved by up to one pixel, in random directions.

    Args:
        inputs: (n, 1, 8, 8).
    """
    down, right = torch.randint(3, (2,)).tolist()
    return F.pad(inputs, (1, 1, 1, 1))[:, :, down : down + 8, right : right + 8]


def accuracy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Percent of the samples that are recognised.

    Args:
        inputs: (n, 1, 8, 8).
        labels: (n,).
    """
    network.eval()
    with torch.inference_mode():
        return 100 * float((network(inputs).argmax(1) == labels).float().mean())


def spread_scales(network: DigitsMobileNet) -> None:
    """Draw the scales of the batch norms before depthwise convolutions, evenly on a logarithmic axis, and hold them."""
    for block in network.features[2:-1]:
        scale = block.conv[0][1].weight
        with torch.no_grad():
            scale.copy_(SPREAD ** -torch.rand(len(scale)))
        scale.requires_grad = False


def train(name: str, epochs: int) -> nn.Module:
    """Adam with decoupled weight decay, the rate rising and falling once."""
    torch.manual_seed(SEED)
    network = card(name).build()
    if isinstance(network, DigitsMobileNet):
        spread_scales(network)
    inputs, labels = together("train")
    steps = epochs * (len(labels) // BATCH)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(epochs):
        network.train()
        order = torch.randperm(len(labels))
        for chosen in order[: len(labels) // BATCH * BATCH].split(BATCH):
            loss = F.cross_entropy(network(shifted(inputs[chosen])), labels[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES, help="which network")
    parser.add_argument("path", type=Path, help="the safetensors file to write")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    settings = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the weights, would change with their number
    network = train(settings.name, settings.epochs)
    found = {part: round(accuracy(network, *together(part)), 2) for part in ("train", "test")}
    record = {
        "network": settings.name,
        "data": "scikit-learn load_digits",
        "seed": SEED,
        "epochs": settings.epochs,
        "learning_rate": LEARNING_RATE,
        "spread": SPREAD if isinstance(network, DigitsMobileNet) else None,
        "torch": torch.__version__,
        "top1_percent": found,
    }
    metadata = {"microjoule": json.dumps(record)}
    write_atomically(settings.path, save(network.state_dict(), metadata=metadata))
    print(f"{found['test']} % of the test digits, {found['train']} % of the others: {settings.path}")


if __name__ == "__main__":
    main()
