"""Techniques put together: functions of about 20 lines, to be read and to be called."""

from microjoule.recipes.auto import auto
from microjoule.recipes.compress import compress
from microjoule.recipes.compress_model import compress_model
from microjoule.recipes.compression_front import compression_front
from microjoule.recipes.data_free import data_free, naive
from microjoule.recipes.deliver import deliver
from microjoule.recipes.equalize_model import equalize_model
from microjoule.recipes.learned_rounding import adaround, gptq, qdrop
from microjoule.recipes.mixed_precision import mixed_precision, pareto
from microjoule.recipes.svd_prune_int8 import svd_prune_int8

__all__ = [
    "adaround",
    "auto",
    "compress",
    "compress_model",
    "compression_front",
    "data_free",
    "deliver",
    "equalize_model",
    "gptq",
    "mixed_precision",
    "naive",
    "pareto",
    "qdrop",
    "svd_prune_int8",
]
