"""Records to tables, plots and one self-contained page."""

from microjoule.report.page import report

__all__ = ["report"]
