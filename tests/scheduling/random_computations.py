"""Small computations of every kind, and what they take by the words of `computation`: sets alone, nothing clever."""

import functools
import inspect
import random

from microjoule.scheduling.computation import Computation, Operator, Value


def computation_of(sizes, operators, *, inputs=(0,), outputs=()):
    """A computation of values v0, v1, ... by their sizes."""
    values = [Value(f"v{index}", size, index in inputs, index in outputs) for index, size in enumerate(sizes)]
    return Computation("c", tuple(values), tuple(operators))


def operator_of(inputs, *outputs, **options):
    """An operator that is named for the first value that it writes."""
    return Operator(f"o{outputs[0]}", tuple(inputs), outputs, **options)


def for_seeds(count):
    """Run a test's body for each seed, and say which one failed: a test for each would take longer than its body."""

    def decorate(test):
        @functools.wraps(test)
        def run(**fixtures):
            for seed in range(count):
                try:
                    test(seed=seed, **fixtures)
                except Exception as error:
                    error.add_note(f"with seed {seed}")
                    raise

        given = inspect.signature(test)
        rest = [one for name, one in given.parameters.items() if name != "seed"]
        run.__signature__ = given.replace(parameters=rest)
        return run

    return decorate


# At random ------------------------------------------------------------------------------------------------------------


def random_computation(seed, *, most=9):
    """Up to some operators, with accumulation, in place, views, workspaces, dead values and values of no bytes."""
    return _Draft(seed).computation(most)


class _Draft:
    """A computation that grows."""

    def __init__(self, seed):
        self.seed, self.random = seed, random.Random(seed)
        self.values, self.operators = [], []

    def computation(self, most):
        wanted = self.random.randint(1, most)
        for _ in range(self.random.randint(1, 2)):
            self.value(self.size(), is_input=True)
        while len(self.operators) < wanted:
            inputs = self.some(self.random.choice([0, 1, 1, 1, 2, 2, 3]))
            kind = self.random.random()
            if kind < 0.15 and inputs:
                self.operator(inputs, self.value(sum(self.values[one].size_bytes for one in inputs)), is_view=True)
            elif kind < 0.35:
                self.accumulation()
            elif inputs and self.random.random() < 0.3:
                given = self.values[inputs[0]].size_bytes
                output = self.value(self.random.choice([given, min(given, self.size())]))
                self.operator(inputs, output, inplace=inputs[0], workspace_bytes=self.workspace())
            else:
                outputs = [self.value(self.size()) for _ in range(self.random.choice([1, 1, 1, 2]))]
                self.operator(inputs, *outputs, workspace_bytes=self.workspace())
        return Computation(f"seed {self.seed}", tuple(self.values), tuple(self.operators))

    def accumulation(self):
        earlier, output = len(self.values), self.value(self.size())
        for _ in range(self.random.randint(2, 3)):
            inputs = self.random.sample(range(earlier), min(earlier, self.random.choice([1, 1, 2])))
            has_room = inputs and self.values[inputs[0]].size_bytes >= self.values[output].size_bytes
            place = inputs[0] if has_room else None  # nothing comes of it: more than one operator writes there
            self.operator(inputs, output, inplace=place, workspace_bytes=self.workspace())

    def size(self):
        return self.random.choice([0, 1, 1, 2, 3, 5, 8, 13, self.random.randint(0, 50)])

    def workspace(self):
        return self.random.choice([0, 0, 0, 0, 3, 7])

    def some(self, count):
        return tuple(self.random.sample(range(len(self.values)), min(len(self.values), count)))

    def value(self, size, *, is_input=False):
        self.values.append(Value(f"v{len(self.values)}", size, is_input, self.random.random() < 0.1))
        return len(self.values) - 1

    def operator(self, inputs, *outputs, **options):
        self.operators.append(Operator(f"o{len(self.operators)}", tuple(inputs), outputs, **options))


def random_orders(computation, count, *, seed=0):
    """Orders in which the operators can run."""
    chooser, before = random.Random(seed), computation.before()
    for _ in range(count):
        order = []
        while len(order) < len(before):
            ready = [one for one, needed in enumerate(before) if one not in order and needed <= set(order)]
            order.append(chooser.choice(ready))
        yield order


# By definition --------------------------------------------------------------------------------------------------------


class Naive:
    """What is live and what is needed, with the views left in."""

    def __init__(self, computation):
        self.values, self.operators = computation.values, computation.operators
        self.before = computation.before()
        self.writers = [set(found) for found in computation.writers()]
        self.under = {value: {value} for value in range(len(self.values))}
        for one in self.operators:
            if one.is_view:
                for output in one.outputs:
                    self.under[output] = set().union(*[self.under[given] for given in one.inputs])
        views = {value for one in self.operators if one.is_view for value in one.outputs}
        self.real = [value for value in range(len(self.values)) if value not in views]
        self.users = {value: self._users(value) for value in self.real}
        self.wanted = {
            value: any(one.is_output and value in self.under[seen] for seen, one in enumerate(self.values))
            for value in self.real
        }

    def _users(self, value):
        reading = {
            index
            for index, one in enumerate(self.operators)
            if not one.is_view and any(value in self.under[given] for given in one.inputs)
        }
        return self.writers[value] | reading

    def live(self, done):
        """The bytes of all that is there and still to be used."""
        total = 0
        for value in self.real:
            is_there = self.values[value].is_input or self.writers[value] & done
            if is_there and (self.wanted[value] or self.users[value] - done):
                total += self.values[value].size_bytes
        return total

    def need(self, index, done):
        """The bytes in use while an operator runs."""
        one = self.operators[index]
        if one.is_view:
            return self.live(done)
        fresh = [value for value in one.outputs if not self.writers[value] & done]
        need = self.live(done) + one.workspace_bytes + sum(self.values[value].size_bytes for value in fresh)
        return need - (self.values[one.outputs[0]].size_bytes if self.is_in_place(index, done) else 0)

    def is_in_place(self, index, done):
        """Whether an operator lays its output where its input lies."""
        one = self.operators[index]
        if one.inplace is None or len(self.under[one.inplace]) != 1 or len(self.writers[one.outputs[0]]) > 1:
            return False
        (place,) = self.under[one.inplace]
        has_room = self.values[place].size_bytes >= self.values[one.outputs[0]].size_bytes
        return has_room and not self.wanted[place] and self.users[place] - done <= {index}

    def peak(self, order):
        """The most bytes in use at any time."""
        peak, done = self.live(set()), set()
        for index in order:
            peak = max(peak, self.need(index, done))
            done.add(index)
        return peak

    def downsets(self):
        """All sets of operators that hold with each those that it needs, by their sizes."""
        found = [[frozenset()]]
        for _ in self.operators:
            found.append(list(dict.fromkeys(done | {one} for done in found[-1] for one in self.ready(done))))
        return [done for layer in found for done in layer]

    def ready(self, done):
        """The operators that can run."""
        return [one for one, needed in enumerate(self.before) if one not in done and needed <= done]


def smallest_peaks_through(naive):
    """For each set the smallest peak of the orders that run it first: up to it, and from it on."""
    downsets = naive.downsets()
    before, after = {frozenset(): naive.live(set())}, {downsets[-1]: naive.live(downsets[-1])}
    for done in downsets:
        for one in naive.ready(done):
            peak = max(before[done], naive.need(one, done))
            before[done | {one}] = min(before.get(done | {one}, peak), peak)
    for done in downsets[-2::-1]:
        after[done] = min(max(after[done | {one}], naive.need(one, done)) for one in naive.ready(done))
    return before, after


def smallest_peak(computation):
    """By trying all sets of operators, in all orders."""
    naive = Naive(computation)
    return smallest_peaks_through(naive)[0][frozenset(range(len(computation.operators)))]
