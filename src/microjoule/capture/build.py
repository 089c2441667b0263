"""An exported program to a network: canonical, its constants folded, its layers modules again."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import GraphModule

from microjoule.capture.canonical import ASSERTIONS, NO_OPS, canonicalize, needs_functionalization
from microjoule.capture.constants import Folding, fold_constants, stored_at
from microjoule.capture.home import house
from microjoule.capture.lift import lift
from microjoule.capture.linear_maps import write_linear_maps
from microjoule.capture.modules import DROPOUTS, LIFTED
from microjoule.capture.precision import has_autocast, types_of
from microjoule.capture.program import WRAPPED, flat_graph
from microjoule.graph.contract import Contract
from microjoule.graph.nest import Nest
from microjoule.graph.network import Example, Network, copied
from microjoule.records.facts import Skipped


@dataclass(frozen=True, slots=True)
class Built:
    """A network out of a program.

    Args:
        network: in the program's own types of numbers.
        functional: the operators with weights that stay functional, with the reason.
        replaced: the program's operators that the network computes by others.
        folded: the model's stored tensors of which only constants are left.
        unfolded: constants that are computed each time, with the reason.
        moved: the paths of tensors that became a layer's own -> where they are now.
        types: the floating-point types other than float32 of the model.
        autocast: whether it switches autocast on.
    """

    network: Network
    functional: tuple[Skipped, ...]
    replaced: tuple[str, ...]
    folded: tuple[str, ...]
    unfolded: tuple[Skipped, ...]
    moved: Mapping[str, str]
    types: tuple[torch.dtype, ...]
    autocast: bool


def built(program: ExportedProgram, nest: Nest, contract: Contract, example: Example, *, wrapped: bool) -> Built:
    """Make a network of a program.

    Args:
        program: as torch.export gave it.
        nest: of its output.
        contract: of its inputs.
        example: inputs in plain containers.
        wrapped: whether the program is of a model in `Flat`.
    """
    names = [one.name for one in contract.inputs]
    module = canonicalize(flat_graph(program, nest, names, wrapped=wrapped))
    if needs_functionalization(module):
        program = _functionalized(program)
        module = canonicalize(flat_graph(program, nest, names, wrapped=wrapped))
    write_linear_maps(module)
    folding = fold_constants(module)
    stored = stored_tensors(program, wrapped=wrapped)
    gone = drop_sources(module, folding)
    moved = house(module, folding.stored)
    kept = {moved.get(name, name): tensor for name, tensor in stored.items() if name not in gone}
    new = [moved.get(path, path) for path, sources in folding.stored.items() if not sources.isdisjoint(stored)]
    kept = {name: _current(module, name, tensor) for name, tensor in kept.items()}
    module, functional = lift(module, kept | {name: stored_at(module, name) for name in new})
    # A copy, because the program's tensors are those of the user's model.
    network = Network(copied(module), example, contract=contract).eval()
    network.recompile()
    return Built(
        network,
        tuple(functional),
        replaced_operators(program, network.module),
        tuple(sorted(gone & set(stored))),
        tuple(folding.skipped),
        {old: new for old, new in moved.items() if old in stored},
        types_of(program),
        has_autocast(program),
    )


def _current(module: GraphModule, path: str, tensor: Tensor) -> Tensor:
    """What is stored at a path now; the model's own tensor where the graph has nothing there."""
    try:
        found: Tensor = stored_at(module, path)
    except AttributeError:
        return tensor
    return found


def drop_sources(module: GraphModule, folding: Folding) -> set[str]:
    """Drop the stored tensors that nothing but constants was made of; returns their paths."""
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    gone = folding.sources - read
    for path in gone:
        above, _, name = path.rpartition(".")
        delattr(module.get_submodule(above), name)
    return gone


def stored_tensors(program: ExportedProgram, *, wrapped: bool) -> dict[str, Tensor]:
    """The model's parameters and persistent buffers by name."""
    prefix = f"{WRAPPED}." if wrapped else ""
    return {name.removeprefix(prefix): tensor for name, tensor in program.state_dict.items()}


def _functionalized(program: ExportedProgram) -> ExportedProgram:
    """A program that writes into no tensor but, at its end, into inputs.

    To make a module of it, torch copies its graph, which renames an input that is called like one of Python's builtins
    ("input", as in nn.Sequential), but goes on looking for the old name.
    """
    made: ExportedProgram = program.run_decompositions({})
    names = {old.name: new.name for old, new in zip(made.graph.nodes, copy.deepcopy(made.graph).nodes, strict=True)}
    for spec in made.graph_signature.output_specs:
        if spec.kind is OutputKind.USER_INPUT_MUTATION:
            spec.target = names[str(spec.target)]
    return made


def replaced_operators(program: ExportedProgram, module: GraphModule) -> tuple[str, ...]:
    """The operators of a program that the network computes by others (or by a module that calls another kernel)."""
    kept = {node.target for node in module.graph.nodes} | set(ASSERTIONS) | set(NO_OPS) | set(LIFTED) | set(DROPOUTS)
    used = {node.target for node in program.graph.nodes if node.op == "call_function"}
    return tuple(sorted(str(target) for target in used - kept))
