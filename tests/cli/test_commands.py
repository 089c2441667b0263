"""The commands, imported when they are asked for."""

import inspect

from microjoule.cli import commands


def test_every_name_is_a_command_of_that_name():
    assert len(commands.__all__) == 12
    for name in commands.__all__:
        command = getattr(commands, name)
        assert command.__name__ == name
        assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in inspect.signature(command).parameters.values())
