"""A plan within a budget of the whole network: held against the network that it makes, not only against its layers.

The menu counts convolutions and linear layers alone, since they are what a plan changes. Biases, norms, attention and
all that moves between operators cost something, too; so the plan's network is counted by `mj.costs`, which knows
nothing of the menu, and what is over the budget is taken from what the layers may cost.
"""

from collections.abc import Callable
from dataclasses import replace

from microjoule.compression.choice import Chosen, choose
from microjoule.compression.menu import Menu
from microjoule.compression.plan import Plan, restructure, sized
from microjoule.costs.count import costs
from microjoule.errors import SettingError
from microjoule.graph.network import Network
from microjoule.records.measured import Costs

TRIES = 20
"""Plans that are counted at most; each allows the layers as much less as the one before was over the budget."""

TOTALS: dict[str, Callable[[Costs], float]] = {
    "macs": lambda record: record.macs,
    "bytes": lambda record: record.weight_bytes,
    "energy": lambda record: record.energy_pj,
}
"""What the whole network costs, by the names of `currency`."""


def total(network: Network, currency: str) -> float:
    """What a whole network costs; it stays as it is.

    Args:
        network: any.
        currency: a name of `TOTALS`.
    """
    history = list(network.history)
    found = TOTALS[currency](costs(network))
    network.history[:] = history
    return found


def within(menu: Menu, share: float, pruned_to: float) -> Chosen:
    """The plan with the least foreseen loss whose network costs no more than a share of the whole network.

    Args:
        menu: what there is.
        share: of what the whole network costs.
        pruned_to: as in `choose`.

    Returns:
        The plan; its cost is that of the whole network that it makes.

    Raises:
        SettingError: if nothing on the menu is so cheap.
    """
    limit, layers = share * total(menu.network, menu.currency.name), menu.cost(Plan())
    budget = share * layers
    for _ in range(TRIES):
        chosen = choose(menu, budget, pruned_to)
        spent = made_by(menu, chosen.plan)
        if spent <= limit:
            return replace(chosen, cost=spent)
        budget -= spent - limit
        pruned_to = min(pruned_to, max(budget / layers, 0.0)) if pruned_to < 1 else pruned_to
    fact = (
        f"is {limit:,.0f} {menu.currency.unit}, and no plan for the layers that was tried keeps the whole network in it"
    )
    raise SettingError("budget", fact, remedy="give a larger one")


def made_by(menu: Menu, plan: Plan) -> float:
    """What the network costs that a plan makes, counted on its operators and shapes.

    Args:
        menu: of the network.
        plan: what goes.
    """
    made = menu.network.copy()
    restructure(made, plan, factors=sized)
    return total(made, menu.currency.name)
