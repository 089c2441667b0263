"""What commands call beside the public names, in `work.pyi`: imported when one runs, not to tell of its options."""

from microjoule.on_demand import import_on_demand

import_on_demand(__name__)
