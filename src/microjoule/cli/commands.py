"""The commands, in `commands.pyi`: each is imported when it is asked for, so that help stays quick."""

from microjoule.on_demand import import_on_demand

import_on_demand(__name__)
