"""RandWire's cells: those of the shared graphs are drawn again, to the last edge."""

import networkx
import pytest

from benchmarks.randwire import cell, with_kinds
from microjoule.scheduling import read_graph


def structure(computation):
    """Operators by what they read, whatever they are called and numbered."""
    graph = networkx.DiGraph()
    for index, one in enumerate(computation.operators):
        graph.add_edges_from((("value", value), ("operator", index)) for value in one.inputs)
        graph.add_edges_from((("operator", index), ("value", value)) for value in one.outputs)
    return graph


@pytest.mark.parametrize("seed", range(5))
def test_the_shared_cells_are_drawn_again(seed, data_folder):
    shared = read_graph(data_folder / "scheduling" / "graphs" / f"randwire_ws32_seed{seed}.json")
    drawn = cell(32, seed)
    assert networkx.faster_could_be_isomorphic(structure(drawn), structure(shared))
    assert [one.inputs for one in drawn.operators] == [one.inputs for one in shared.operators]


def test_what_reads_several_values_is_a_sum():
    drawn = with_kinds(cell(8, 0))
    assert all((one.kind == "add") == (len(one.inputs) > 1) for one in drawn.operators)
