"""What is in the zoo: one card a model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from microjoule.errors import SettingError
from microjoule.graph.card import ModelCard
from microjoule.graph.preprocessing import Preprocessing
from microjoule.zoo.deeplab import DeepLabV3
from microjoule.zoo.digits_mobilenet import DigitsMobileNet
from microjoule.zoo.digits_resnet import DigitsResNet
from microjoule.zoo.ds_cnn import DsCnn
from microjoule.zoo.efficientnet_lite import EfficientNetLite0
from microjoule.zoo.lstm_keywords import LstmKeywords
from microjoule.zoo.mobilenet_v1 import MobileNetV1, PersonMobileNetV1
from microjoule.zoo.mobilenet_v2 import MobileNetV2
from microjoule.zoo.mobilenet_v3 import MobileNetV3Small
from microjoule.zoo.preprocessing import (
    DIGITS,
    GREY,
    IMAGENET,
    KEYWORD_RANGE,
    RAW,
    TENSORFLOW,
    UNIT,
    keyword_features,
)
from microjoule.zoo.resnet import ResNet18
from microjoule.zoo.resnet8 import ResNet8
from microjoule.zoo.resnet_cifar import CifarResNet
from microjoule.zoo.squeezenet import SqueezeNet
from microjoule.zoo.ssd import Ssd
from microjoule.zoo.super_resolution import Espcn, Fsrcnn, espcn_name, fsrcnn_name
from microjoule.zoo.unet import UNet
from microjoule.zoo.vit import VisionTransformer

BSD = "BSD-2-Clause"
APACHE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class Card:
    """One model.

    Args:
        name: what `load` takes; with weights, also the name of their file.
        build: makes the module, weights still random.
        input_shape: of one sample, without the batch.
        prepare: from stored values to an input.
        input_range: the smallest and the largest value an input can hold.
        licence: of the weights; None for a model that comes with random ones.
        dataset: a set it can be judged on; None if there is none.
        metric: how it is judged there.
        rename: from a name in the weights' file to a name in the module; None if they are the same.
        dynamic: dimensions of an input that are free beside the batch, as `capture` takes them.
    """

    name: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    prepare: Callable[[Tensor], Tensor]
    input_range: tuple[float, float]
    licence: str | None = None
    dataset: str | None = None
    metric: str | None = None
    rename: Callable[[str], str] | None = None
    dynamic: tuple[int, ...] = ()

    @property
    def model_card(self) -> ModelCard:
        """What goes with the network when it is captured."""
        prepared = None
        if isinstance(self.prepare, Preprocessing):
            prepared = replace(self.prepare, size=(self.input_shape[1], self.input_shape[2]))
        return ModelCard(self.input_range, prepared, metric=self.metric, name=self.name)


def _image(name: str, build: Callable[[], nn.Module], shape: tuple[int, int, int], prepare: Preprocessing) -> Card:
    return Card(name, build, shape, prepare, prepare.value_range)


def _luma(name: str, build: Callable[[], nn.Module], rename: Callable[[str], str]) -> Card:
    return Card(name, build, (1, 128, 128), GREY, GREY.value_range, rename=rename, dynamic=(2, 3))


def _judged(plain: Card, licence: str, dataset: str, metric: str) -> Card:
    return replace(plain, licence=licence, dataset=dataset, metric=metric)


VAL = "imagenet_val650_dev"
CIFAR = "cifar10_jpeg"
COCO = "coco128_val"
KWS = "kws01_dev"
SET5 = "sr_set5_set14/Set5"

EMBEDDED = ("digits_mobilenet_v2", "digits_resnet")
"""Models whose weights come with the package, in the folder `embedded`."""

CARDS = (
    _judged(_image("mobilenet_v2_1.0_224_tf", MobileNetV2, (3, 224, 224), TENSORFLOW), APACHE, VAL, "top1"),
    _judged(_image("mobilenet_v1_0.25_224_keras", MobileNetV1, (3, 224, 224), TENSORFLOW), APACHE, VAL, "top1"),
    _judged(_image("squeezenet1_1", SqueezeNet, (3, 224, 224), IMAGENET), APACHE, VAL, "top1"),
    _judged(_image("resnet20_cifar10", partial(CifarResNet, 3), (3, 32, 32), IMAGENET), BSD, CIFAR, "top1"),
    _judged(_image("resnet32_cifar10", partial(CifarResNet, 5), (3, 32, 32), IMAGENET), BSD, CIFAR, "top1"),
    _judged(_image("resnet56_cifar10", partial(CifarResNet, 9), (3, 32, 32), IMAGENET), BSD, CIFAR, "top1"),
    _judged(_image("resnet8_cifar10_mlperftiny", ResNet8, (3, 32, 32), RAW), APACHE, CIFAR, "top1"),
    _judged(Card("kws_dscnn", DsCnn, (1, 49, 10), keyword_features, KEYWORD_RANGE), APACHE, KWS, "top1"),
    _judged(_image("vww_mobilenetv1_0.25_96", PersonMobileNetV1, (3, 96, 96), UNIT), APACHE, f"{COCO}/person", "top1"),
    _judged(_image("deeplabv3_mnv2_pascal_tf", DeepLabV3, (3, 513, 513), TENSORFLOW), APACHE, f"{COCO}/masks", "miou"),
    _judged(_luma("fsrcnn_x2", partial(Fsrcnn, 2), fsrcnn_name), APACHE, SET5, "psnr"),
    _judged(_luma("espcn_x2", partial(Espcn, 2), espcn_name), APACHE, SET5, "psnr"),
    replace(_luma("fsrcnn_x4", partial(Fsrcnn, 4), fsrcnn_name), licence=APACHE),
    replace(_luma("espcn_x4", partial(Espcn, 4), espcn_name), licence=APACHE),
    _judged(_image("digits_mobilenet_v2", DigitsMobileNet, (1, 8, 8), DIGITS), APACHE, "digits_test", "top1"),
    _judged(_image("digits_resnet", DigitsResNet, (1, 8, 8), DIGITS), APACHE, "digits_test", "top1"),
    # Shapes to try things on, with random weights.
    _image("resnet18", ResNet18, (3, 224, 224), IMAGENET),
    _image("mobilenet_v3_small", MobileNetV3Small, (3, 224, 224), IMAGENET),
    _image("efficientnet_lite0", EfficientNetLite0, (3, 224, 224), TENSORFLOW),
    _image("vit_small", VisionTransformer, (3, 64, 64), TENSORFLOW),
    _image("unet_small", UNet, (3, 64, 64), TENSORFLOW),
    _image("ssd_small", Ssd, (3, 128, 128), TENSORFLOW),
    Card("lstm_keywords", LstmKeywords, (1, 49, 10), keyword_features, KEYWORD_RANGE),
)

_BY_NAME = {entry.name: entry for entry in CARDS}


def names() -> tuple[str, ...]:
    """The models of the zoo."""
    return tuple(_BY_NAME)


def card(name: str) -> Card:
    """The card of a model.

    Raises:
        SettingError: there is no such model.
    """
    if name not in _BY_NAME:
        raise SettingError("model", f"there is no {name!r} in the zoo", remedy=f"choose one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
