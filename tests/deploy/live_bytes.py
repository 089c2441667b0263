"""The most bytes at any one time, counted step by step: slow, and by no code of the library."""

from microjoule.scheduling.computation import Computation


def live_bytes(computation: Computation) -> int:
    """The most that is there in any step; a view and what is in place lie on other values."""
    operators, values, readers = computation.operators, computation.values, computation.readers()
    below = [{value} for value in range(len(values))]

    def read_after(base: int, step: int) -> bool:
        users = [value for value in range(len(values)) if base in below[value]]
        return any(values[one].is_output or any(reader > step for reader in readers[one]) for one in users)

    for step, operator in enumerate(operators):
        for output in operator.outputs:
            if operator.is_view:
                below[output] = set().union(*(below[value] for value in operator.inputs))
            elif operator.inplace is not None and not any(read_after(base, step) for base in below[operator.inplace]):
                below[output] = below[operator.inplace]
    most, there = 0, {value for value, one in enumerate(values) if one.is_input}
    for step, operator in enumerate(operators):
        there |= {base for output in operator.outputs for base in below[output]}
        most = max(most, operator.workspace_bytes + sum(values[base].size_bytes for base in there))
        there = {base for base in there if read_after(base, step)}
    return most
