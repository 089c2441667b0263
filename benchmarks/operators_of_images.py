"""Operators that pool, pad, resize and rearrange, and the values that their attributes take."""

from collections.abc import Iterator
from typing import Any

from benchmarks.operator_cases import Given, Operator

SIZES = {
    1: ((2, 3, 9), (1, 3, 8), (3, 3, 11)),
    2: ((2, 3, 7, 9), (1, 2, 8, 8), (3, 1, 11, 6)),
    3: ((2, 3, 5, 6, 7), (1, 2, 8, 8, 8)),
}
WINDOWS = {1: [2], 2: [3, 2], 3: [2, 3, 2]}


def self_of(*shapes: tuple[int, ...], values: str | int = "normal", name: str = "self") -> tuple[dict[str, Given], ...]:
    """One tensor of each shape."""
    return tuple({name: Given(shape, values)} for shape in shapes)


def _pooling() -> Iterator[Operator]:
    for axes in (1, 2, 3):
        given = self_of(*SIZES[axes])
        common: dict[str, Any] = {
            "kernel_size": [[2] * axes, [3] * axes, WINDOWS[axes]], "stride": [[], [1] * axes, [2, 3, 1][:axes]],
            "padding": [[0] * axes, [1] * axes], "ceil_mode": [False, True],
        }  # fmt: skip
        averages = {**common, "count_include_pad": [True, False]}
        if axes > 1:
            averages["divisor_override"] = [None, 3]
        yield Operator(f"avg_pool{axes}d.default", given, averages)
        yield Operator(f"max_pool{axes}d.default", given, {**common, "dilation": [[1] * axes, [2] * axes]})
        sizes = [[1] * axes, [3] * axes, [2, 4, 3][:axes], [5] * axes]
        yield Operator(f"adaptive_avg_pool{axes}d.default", given, {"output_size": sizes})
        yield Operator(f"adaptive_max_pool{axes}d.default", given, {"output_size": sizes})
    common = {
        "kernel_size": [[2, 2], [3, 3]],
        "stride": [[], [1, 1]],
        "padding": [[0, 0], [1, 1]],
        "dilation": [[1, 1], [2, 2]],
        "ceil_mode": [False, True],
    }
    yield Operator("max_pool2d_with_indices.default", self_of(*SIZES[2]), common)


def _padding() -> Iterator[Operator]:
    for shape, pads in (
        ((2, 3, 7), ([1, 2], [2, 0], [-1, 1], [-1, -2])),
        ((2, 3, 5, 7), ([1, 2, 3, 1], [1, 1], [2, 1, 0, 0], [-1, 1, 2, -1], [0, 1, 0, 1, 2, 0])),
        ((2, 3, 4, 5, 6), ([1, 1, 2, 2, 1, 0], [1, -1, 0, 0, 2, 1])),
    ):
        given = self_of(shape)
        yield Operator("constant_pad_nd.default", given, {"pad": pads, "value": [0, 1.5, -2]})
        yield Operator("pad.default", given, {"pad": pads, "mode": ["constant"], "value": [None, 1.5, 0.0]})
        spatial = [one for one in pads if len(one) == 2 * (len(shape) - 2)]
        for mode in ("reflect", "replicate", "circular"):
            yield Operator("pad.default", given, {"pad": spatial, "mode": [mode], "value": [None]})
    yield Operator("constant_pad_nd.default", self_of((2, 5)), {"pad": [[1, 2], [1, 0, 0, 2]], "value": [0, 3]})
    yield Operator("reflection_pad1d.default", self_of((2, 3, 7)), {"padding": [[1, 2], [3, 0]]})
    yield Operator("reflection_pad2d.default", self_of((2, 3, 5, 7)), {"padding": [[1, 2, 3, 1], [1, 1, 1, 1]]})
    yield Operator("replication_pad2d.default", self_of((2, 3, 5, 7)), {"padding": [[1, 2, 3, 1], [-1, 1, 0, 2]]})


def _resizing() -> Iterator[Operator]:
    def vec(name: str, axes: int, **more: list[Any]) -> Iterator[Operator]:
        small, large, mixed = [2.0] * axes, [1.7] * axes, [0.6, 2.5, 1.3][:axes]
        given = self_of(*SIZES[axes], name="input")
        yield Operator(
            f"{name}.vec", given, {"output_size": [None], "scale_factors": [small, large, mixed, [3.0] * axes], **more}
        )
        sizes = [[2 * size for size in SIZES[axes][0][2:]], [11, 5, 6][:axes], [1] * axes]
        yield Operator(f"{name}.vec", given, {"output_size": sizes, "scale_factors": [None], **more})

    corners = {"align_corners": [False, True]}
    yield from vec("upsample_nearest1d", 1)
    yield from vec("upsample_nearest2d", 2)
    yield from vec("upsample_nearest3d", 3)
    yield from vec("_upsample_nearest_exact1d", 1)
    yield from vec("_upsample_nearest_exact2d", 2)
    yield from vec("upsample_linear1d", 1, **corners)
    yield from vec("upsample_bilinear2d", 2, **corners)
    yield from vec("upsample_trilinear3d", 3, **corners)
    yield from vec("upsample_bicubic2d", 2, **corners)
    yield from vec("_upsample_bilinear2d_aa", 2, **corners)
    yield from vec("_upsample_bicubic2d_aa", 2, **corners)


def _sampling() -> Iterator[Operator]:
    settings = {"interpolation_mode": [0, 1, 2], "padding_mode": [0, 1, 2], "align_corners": [False, True]}
    given = (
        {"input": Given((2, 3, 5, 6)), "grid": Given((2, 4, 3, 2), "unit")},
        {"input": Given((2, 3, 5, 6)), "grid": Given((2, 4, 3, 2))},
    )
    yield Operator("grid_sampler.default", given, settings)
    yield Operator("grid_sampler_2d.default", given, settings)
    yield Operator(
        "grid_sampler.default",
        ({"input": Given((2, 3, 4, 5, 6)), "grid": Given((2, 3, 4, 3, 3), "unit")},),
        {**settings, "interpolation_mode": [0, 1]},
    )
    yield Operator(
        "affine_grid_generator.default",
        self_of((2, 2, 3), name="theta"),
        {"size": [[2, 3, 4, 5]], "align_corners": [False, True]},
    )


def _rearranging() -> Iterator[Operator]:
    yield Operator("pixel_shuffle.default", self_of((2, 18, 3, 5), (1, 36, 2, 2)), {"upscale_factor": [3, 1]})
    yield Operator("pixel_unshuffle.default", self_of((2, 3, 6, 12), (1, 2, 6, 6)), {"downscale_factor": [2, 3, 1]})
    yield Operator("channel_shuffle.default", self_of((2, 6, 3, 5)), {"groups": [2, 3]})
    settings = {
        "kernel_size": [[3, 2], [2, 2]],
        "dilation": [[1, 1], [2, 1]],
        "padding": [[0, 0], [1, 0]],
        "stride": [[1, 1], [2, 1]],
    }
    yield Operator("im2col.default", self_of((2, 3, 6, 7)), settings)
    yield Operator(
        "col2im.default",
        self_of((2, 12, 30)),
        {
            "output_size": [[6, 7]],
            "kernel_size": [[2, 2]],
            "dilation": [[1, 1]],
            "padding": [[0, 0]],
            "stride": [[1, 1]],
        },
    )
    yield Operator(
        "col2im.default",
        self_of((2, 12, 12)),
        {
            "output_size": [[6, 7], [7, 6]],
            "kernel_size": [[2, 2]],
            "dilation": [[1, 1]],
            "padding": [[0, 1]],
            "stride": [[2, 2]],
        },
    )
    yield Operator("unfold.default", self_of((2, 3, 8)), {"dimension": [2, -1], "size": [3, 2], "step": [1, 2]})


IMAGES = (*_pooling(), *_padding(), *_resizing(), *_sampling(), *_rearranging())
