"""Names that are imported when they are first used, so that importing a package of many names takes no seconds.

The names of `some.py` stand in the stub `some.pyi` beside it, as plain imports written by hand. Type checkers and
editors read that stub, and here it says where each name comes from, so there is one list. Beside these a package has
its submodules, as after `import microjoule.errors`.
"""

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def import_on_demand(name: str) -> None:
    """Give a module the names in its stub.

    Args:
        name: of the module, which calls this while it is imported.
    """
    module = sys.modules[name]
    assert module.__file__ is not None
    module.__dict__["_origins"] = origins(Path(module.__file__).with_suffix(".pyi"))
    module.__class__ = OnDemand


def origins(stub: Path) -> dict[str, tuple[str, str]]:
    """Where each name in a stub comes from: a module, and what it is called there."""
    body = ast.parse(stub.read_text(encoding="utf-8")).body
    imports = [(line.module, line.names) for line in body if isinstance(line, ast.ImportFrom)]
    return {alias.asname or alias.name: (module, alias.name) for module, names in imports if module for alias in names}


class OnDemand(ModuleType):
    """A module whose names are imported when they are first used."""

    _origins: dict[str, tuple[str, str]]

    @property
    def __all__(self) -> list[str]:
        """The names of the stub."""
        return sorted(self._origins)

    def __dir__(self) -> list[str]:
        """The same, and those of every module."""
        return sorted({*self._origins, *(name for name in vars(self) if name.startswith("__"))})

    def __getattr__(self, name: str) -> Any:
        """A name that has not been used yet, or a submodule."""
        module, attribute = self._origins.get(name, (self.__name__, name))
        if module != self.__name__:
            value = getattr(import_module(module), attribute)
        elif self._is_submodule(attribute):
            value = import_module(f"{module}.{attribute}")
        else:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        """A name is set; but importing `microjoule.capture.load` does not put a package in place of `mj.capture`."""
        if isinstance(value, ModuleType) and self._origins.get(name, (self.__name__,))[0] != self.__name__:
            return
        super().__setattr__(name, value)

    def _is_submodule(self, name: str) -> bool:
        is_package = "__path__" in self.__dict__
        return is_package and not name.startswith("__") and find_spec(f"{self.__name__}.{name}") is not None
