"""What a run found: frozen records, and how they are read and written."""

from microjoule.records.files import write_atomically
from microjoule.records.json_io import from_json, records_from_json, to_json
from microjoule.records.machine import this_machine

__all__ = ["from_json", "records_from_json", "this_machine", "to_json", "write_atomically"]
