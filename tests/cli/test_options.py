"""Options that several commands share."""

from microjoule.cli import options


def test_every_option_that_commands_share_has_help():
    shared = [value for name, value in vars(options).items() if hasattr(value, "__metadata__")]
    assert len(shared) > 5
    assert all(option.help for value in shared for option in value.__metadata__)
