"""Techniques put together: functions of about 20 lines, to be read and to be called."""

from microjoule.on_demand import import_on_demand

import_on_demand(__name__)
