from microjoule.cli.auto import auto
from microjoule.cli.compress import compress
from microjoule.cli.deploy import export, measure, verify
from microjoule.cli.evaluate import evaluate
from microjoule.cli.inspect import inspect
from microjoule.cli.quantize import quantize
from microjoule.cli.quickstart import quickstart
from microjoule.cli.report import report
from microjoule.cli.schedule import schedule
from microjoule.cli.tradeoff import tradeoff

__all__ = [
    "auto",
    "compress",
    "evaluate",
    "export",
    "inspect",
    "measure",
    "quantize",
    "quickstart",
    "report",
    "schedule",
    "tradeoff",
    "verify",
]
