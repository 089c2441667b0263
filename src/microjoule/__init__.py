"""microjoule: make trained neural networks small, fast and frugal, and prove that they still work.

The public names stand in `__init__.pyi`; each is imported when it is first used.
"""

from microjoule.on_demand import import_on_demand

import_on_demand(__name__)
