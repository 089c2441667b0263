from microjoule.cli.data import Reading, find_data
from microjoule.cli.describe import describe
from microjoule.cli.inspected import bits_of, channels_tables, layers_table, totals_table, warnings
from microjoule.cli.keep import history_keeper, keep, write_network
from microjoule.cli.models import find_model
from microjoule.cli.names import RULES
from microjoule.cli.output import finish, plain_table, written_table
from microjoule.cli.places import base_of, check_outputs, outputs
from microjoule.cli.scored import find_task, model_and_metric
from microjoule.cli.seed import seed_everything
from microjoule.cli.values import amount_or_bits, bit_pairs, layer_bits, range_of
from microjoule.compression.alone import CHANNELS, LOW_RANK
from microjoule.deploy.measure import measure_together
from microjoule.execution.progress import Progress
from microjoule.execution.signature import Signature
from microjoule.recipes.compress import budget_of
from microjoule.recipes.compress_model import SCHEMES
from microjoule.recipes.schedule_file import schedule_file
from microjoule.records.compressed import Compressed
from microjoule.records.facts import Captured
from microjoule.records.json_io import records_of
from microjoule.records.measured import Evaluated
from microjoule.records.stages import stage_name
from microjoule.report import units
from microjoule.report.attempts import attempts_table, outcome
from microjoule.report.comparisons import sentence
from microjoule.report.compression import compressed, compressed_table, sensitivity_table
from microjoule.report.deployment import agreements, outputs_table, share_text, verdict
from microjoule.report.front import front_table
from microjoule.report.memory_plots import certificate, obeyed, plan, saving
from microjoule.report.notices import notices
from microjoule.report.tables import evaluations, files, measurements
from microjoule.report.terminal import history_table, rich_table, summary

__all__ = [
    "CHANNELS",
    "LOW_RANK",
    "RULES",
    "SCHEMES",
    "Captured",
    "Compressed",
    "Evaluated",
    "Progress",
    "Reading",
    "Signature",
    "agreements",
    "amount_or_bits",
    "attempts_table",
    "base_of",
    "bit_pairs",
    "bits_of",
    "budget_of",
    "certificate",
    "channels_tables",
    "check_outputs",
    "compressed",
    "compressed_table",
    "describe",
    "evaluations",
    "files",
    "find_data",
    "find_model",
    "find_task",
    "finish",
    "front_table",
    "history_keeper",
    "history_table",
    "keep",
    "layer_bits",
    "layers_table",
    "measure_together",
    "measurements",
    "model_and_metric",
    "notices",
    "obeyed",
    "outcome",
    "outputs",
    "outputs_table",
    "plain_table",
    "plan",
    "range_of",
    "records_of",
    "rich_table",
    "saving",
    "schedule_file",
    "seed_everything",
    "sensitivity_table",
    "sentence",
    "share_text",
    "stage_name",
    "summary",
    "totals_table",
    "units",
    "verdict",
    "warnings",
    "write_network",
    "written_table",
]
