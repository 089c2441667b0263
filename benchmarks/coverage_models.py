"""Models that others wrote, small enough to run here: each by name, with its library and the inputs that it takes.

Weights are random, as drawn by the models' own constructors. Batch norms take their statistics from the inputs, and
layers that start at zero (the last batch norm of a residual block) get random values, so that every branch carries a
signal.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.coverage_transformers import TRANSFORMERS


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to try.

    Args:
        library: the package that it comes from.
        make: builds it.
        inputs: samples, seed -> inputs by position, or by keyword.
    """

    library: str
    make: Callable[[], nn.Module]
    inputs: Callable[[int, int], tuple[Any, ...] | dict[str, Any]]


TIMM: Mapping[str, int] = {
    "resnet18": 96,
    "resnext26ts": 96,
    "seresnet18": 96,
    "skresnet18": 96,
    "res2net50_14w_8s": 64,
    "resnest14d": 96,
    "cspresnet50": 64,
    "densenet121": 64,
    "dla34": 64,
    "dpn48b": 96,
    "hrnet_w18_small_v2": 96,
    "inception_v3": 96,
    "vgg11_bn": 64,
    "nf_regnet_b0": 96,
    "regnetx_002": 96,
    "regnety_002": 96,
    "repvgg_a0": 96,
    "ese_vovnet19b_dw": 96,
    "mobilenetv2_050": 96,
    "mobilenetv3_small_050": 96,
    "mobilenetv4_conv_small": 96,
    "mobileone_s0": 96,
    "mnasnet_small": 96,
    "tf_mixnet_s": 96,
    "efficientnet_lite0": 96,
    "efficientnet_b0": 96,
    "tf_efficientnetv2_b0": 96,
    "ghostnet_050": 96,
    "lcnet_050": 96,
    "rexnet_100": 96,
    "tinynet_e": 106,
    "hgnetv2_b0": 96,
    "starnet_s1": 96,
    "convnext_atto": 96,
    "convmixer_768_32": 56,
    "inception_next_atto": 96,
    "poolformer_s12": 96,
    "edgenext_xx_small": 96,
    "mambaout_femto": 96,
    "fastvit_t8": 128,
    "repvit_m0_9": 96,
    "vit_tiny_patch16_224": 224,
    "deit_tiny_distilled_patch16_224": 224,
    "swin_tiny_patch4_window7_224": 224,
    "levit_128s": 224,
    "xcit_nano_12_p16_224": 224,
    "pvt_v2_b0": 96,
    "mobilevit_xxs": 128,
    "mixer_s32_224": 224,
    "resmlp_12_224": 224,
    "coat_lite_tiny": 224,
    "crossvit_9_240": 240,
    "cait_xxs24_224": 224,
    "maxvit_rmlp_pico_rw_256": 256,
    "eva02_tiny_patch14_224": 224,
    "gcvit_xxtiny": 224,
    "visformer_tiny": 224,
    "efficientformer_l1": 224,
    "efficientvit_b0": 96,
    "tiny_vit_5m_224": 224,
    "pit_ti_224": 224,
    "twins_pcpvt_small": 96,
    "halonet26t": 256,
    "botnet26t_256": 256,
}
"""timm's models, a few of each family, and the size of their images."""

ULTRALYTICS: Mapping[str, str] = {
    "yolov5n": "DetectionModel",
    "yolov8n": "DetectionModel",
    "yolov10n": "DetectionModel",
    "yolo11n": "DetectionModel",
    "yolo12n": "DetectionModel",
    "yolov8n-seg": "SegmentationModel",
    "yolov8n-pose": "PoseModel",
    "yolo11n-obb": "OBBModel",
    "yolov8n-cls": "ClassificationModel",
}
"""Models of ultralytics by configuration, and their classes."""

SEGMENTATION: Mapping[str, str] = {
    "Unet": "resnet18",
    "UnetPlusPlus": "resnet18",
    "Linknet": "mobilenet_v2",
    "FPN": "timm-mobilenetv3_small_100",
    "DeepLabV3Plus": "mobilenet_v2",
    "PSPNet": "resnet18",
    "MAnet": "resnet18",
    "Segformer": "resnet18",
}
"""Decoders of segmentation_models_pytorch, each with one of its encoders."""

TORCHVISION = (
    "lraspp_mobilenet_v3_large",
    "deeplabv3_mobilenet_v3_large",
    "shufflenet_v2_x0_5",
    "googlenet",
    "swin_v2_t",
)


def names() -> list[str]:
    """Every model as "library/name"."""
    return list(subjects())


def subjects() -> dict[str, Subject]:
    """Every model by "library/name"."""
    found = {f"timm/{name}": Subject("timm", partial(_timm, name), _images(size)) for name, size in TIMM.items()}
    for name, cls in ULTRALYTICS.items():
        found[f"ultralytics/{name}"] = Subject("ultralytics", partial(_ultralytics, name, cls), _images(96))
    for name, encoder in SEGMENTATION.items():
        key = f"segmentation_models_pytorch/{name}"
        found[key] = Subject("segmentation_models_pytorch", partial(_segmentation, name, encoder), _images(96))
    for name in TORCHVISION:
        size = 256 if name.startswith("swin") else 96
        found[f"torchvision/{name}"] = Subject("torchvision", partial(_torchvision, name), _images(size))
    for name, (make, inputs) in TRANSFORMERS.items():
        found[f"transformers/{name}"] = Subject("transformers", make, inputs)
    return found


def model_of(subject: Subject, seed: int) -> nn.Module:
    """A model with weights of a seed and live branches, in evaluation mode."""
    torch.manual_seed(seed)
    model = subject.make()
    _enliven(model)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms:
        model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        inputs = subject.inputs(8, seed)
        with torch.no_grad():
            model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    return model.eval()


def _enliven(model: nn.Module) -> None:
    """Random values for scales that start at zero (or next to it), and for biases and shifts that are all zero."""
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if parameter.dim() <= 1 or "gamma" in name or "layer_scale" in name:
                if bool((parameter.abs() < 1e-2).all()):
                    last = name.rpartition(".")[2]
                    parameter.normal_(0.0, 0.05) if last == "bias" else parameter.uniform_(0.5, 1.0)
            elif bool((parameter == 0).all()):
                parameter.normal_(0.0, 0.02)
            if name.endswith("bias"):  # detectors start with scores next to nothing
                parameter.clamp_(min=-2.0)


def _images(size: int) -> Callable[[int, int], tuple[Tensor]]:
    """Normalized images: coarse colours and fine noise."""

    def make(samples: int, seed: int) -> tuple[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randn(samples, 3, max(size // 16, 2), max(size // 16, 2), generator=generator)
        smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
        return (smooth + 0.3 * torch.randn(samples, 3, size, size, generator=generator),)

    return make


def _timm(name: str) -> nn.Module:
    model: nn.Module = importlib.import_module("timm").create_model(name, pretrained=False)
    return model


def _ultralytics(name: str, cls: str) -> nn.Module:
    model: nn.Module = getattr(importlib.import_module("ultralytics.nn.tasks"), cls)(f"{name}.yaml", verbose=False)
    return model


def _segmentation(name: str, encoder: str) -> nn.Module:
    package = importlib.import_module("segmentation_models_pytorch")
    model: nn.Module = getattr(package, name)(encoder, encoder_weights=None, classes=5)
    return model


def _torchvision(name: str) -> nn.Module:
    models = importlib.import_module("torchvision.models")
    extra: dict[str, Any] = {"init_weights": False} if name == "googlenet" else {}
    if "deeplab" in name or "lraspp" in name:
        extra["weights_backbone"] = None
    model: nn.Module = models.get_model(name, weights=None, **extra)
    return model
