"""microjoule: make trained networks small, fast and frugal, and prove that they still work."""

from microjoule import recipes, zoo
from microjoule.capture.export import capture
from microjoule.capture.load import load
from microjoule.compression.bayesian.prune import bayesian_prune
from microjoule.compression.low_rank import low_rank
from microjoule.costs.count import costs
from microjoule.costs.target import Target, target
from microjoule.deploy.encodings import load_encodings
from microjoule.deploy.integer import IntegerRunner
from microjoule.deploy.integer_share import integer_share
from microjoule.deploy.measure import measure
from microjoule.deploy.onnx_file import export
from microjoule.deploy.verify import verify
from microjoule.errors import MicrojouleError
from microjoule.execution.allocator import tune_allocator
from microjoule.execution.arena import run_in_arena
from microjoule.execution.batches import batches
from microjoule.execution.compare import compare
from microjoule.execution.evaluate import evaluate
from microjoule.execution.train import train
from microjoule.graph.card import ModelCard
from microjoule.graph.channels import channel_groups
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import Network
from microjoule.graph.preprocessing import Preprocessing
from microjoule.graph.prune import remove_channels
from microjoule.graph.split import split_concatenations
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.histograms import histograms
from microjoule.quantization.mixed_precision import mixed_precision
from microjoule.quantization.observation import observe_statistics
from microjoule.quantization.ptq.absorption import absorb_high_biases
from microjoule.quantization.ptq.adaround import adaround
from microjoule.quantization.ptq.balanced_rounding import balance_rounding
from microjoule.quantization.ptq.bias_correction import correct_biases, correct_biases_from_statistics
from microjoule.quantization.ptq.clipping import clip_weights
from microjoule.quantization.ptq.constant_channels import fold_constant_channels
from microjoule.quantization.ptq.equalization import equalize
from microjoule.quantization.ptq.gptq import gptq
from microjoule.quantization.ptq.noise import natural_noise
from microjoule.quantization.ptq.noise_equalization import equalize_noise
from microjoule.quantization.ptq.qdrop import qdrop
from microjoule.quantization.ptq.rounding import round_weights
from microjoule.quantization.ptq.sequential_mse import sequential_mse
from microjoule.quantization.ptq.smoothing import smooth
from microjoule.quantization.ptq.statistic_ranges import ranges_from_statistics
from microjoule.quantization.simulate import freeze, quantize, unfreeze
from microjoule.quantization.spread import errors_by_layer, weight_ranges
from microjoule.quantization.tie_free import avoid_ties
from microjoule.recipes.compress import compress
from microjoule.recipes.compress_model import compress_model
from microjoule.recipes.compression_sensitivity import compression_sensitivity
from microjoule.recipes.equalize_model import equalize_model
from microjoule.recipes.reach import reach
from microjoule.recipes.report import report
from microjoule.recipes.sensitivity import sensitivity
from microjoule.scheduling.schedule import schedule

__all__ = [
    "IntegerRunner",
    "MicrojouleError",
    "ModelCard",
    "Network",
    "Preprocessing",
    "Target",
    "absorb_high_biases",
    "adaround",
    "avoid_ties",
    "balance_rounding",
    "batches",
    "bayesian_prune",
    "calibrate",
    "capture",
    "channel_groups",
    "clip_weights",
    "compare",
    "compress",
    "compress_model",
    "compression_sensitivity",
    "correct_biases",
    "correct_biases_from_statistics",
    "costs",
    "equalize",
    "equalize_model",
    "equalize_noise",
    "errors_by_layer",
    "evaluate",
    "export",
    "fold_batch_norms",
    "fold_constant_channels",
    "freeze",
    "gptq",
    "histograms",
    "integer_share",
    "load",
    "load_encodings",
    "low_rank",
    "measure",
    "mixed_precision",
    "natural_noise",
    "observe_statistics",
    "qdrop",
    "quantize",
    "ranges_from_statistics",
    "reach",
    "recipes",
    "remove_channels",
    "report",
    "round_weights",
    "run_in_arena",
    "schedule",
    "sensitivity",
    "sequential_mse",
    "smooth",
    "split_concatenations",
    "target",
    "train",
    "tune_allocator",
    "unfreeze",
    "verify",
    "weight_ranges",
    "zoo",
]
