"""Models and data with pinned checksums, for trials, tests and benchmarks."""

from microjoule.on_demand import import_on_demand

import_on_demand(__name__)
