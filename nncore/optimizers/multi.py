"""Several optimizers, each for some of the weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, ClassVar, NamedTuple

from nncore._kernels.table import RULES
from nncore.graph import Shape
from nncore.optimizers.base import OPTIMIZERS, Optimizer, get
from nncore.parameter import Parameter
from nncore.registry import serialize
from nncore.schedules import Ahead, Scheduled
from nncore.state import Settings


class Named(NamedTuple):
    """What a function that chooses an optimizer is given of a weight."""

    path: str
    shape: Shape

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class OptimizerMap(MutableMapping[str, Optimizer]):
    """Optimizers by regular expressions that match the whole path of a weight: ``map["dense_1/.*"] = Adam()``.

    A mapping of those that have a key; what is looked up is a path, of which any has an optimizer.

    Parameters
    ----------
    default_optimizer : Optimizer
        Of weights that none matches.
    optimizer_map : dict of str to Optimizer, optional

    Raises
    ------
    TypeError, ValueError
        A key is no string or there already, or a value is no optimizer of arrays; on a look-up, where several match.
    """

    def __init__(self, default_optimizer: Optimizer, optimizer_map: Mapping[str, Optimizer] | None = None) -> None:
        if not isinstance(default_optimizer, Optimizer) or len(default_optimizer.parts) != 1:
            raise TypeError(f"default_optimizer: expected an optimizer, got {default_optimizer!r}; call its class")
        if optimizer_map is not None and not isinstance(optimizer_map, Mapping):
            raise TypeError(f"optimizer_map: expected a dict of optimizers, got {optimizer_map!r}")
        self.default_optimizer = default_optimizer
        self._optimizers: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    def __getitem__(self, key: str) -> Optimizer:
        if key in self._optimizers:
            return self._optimizers[key]
        matching = [pattern for pattern in self._optimizers if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ValueError(
                f"optimizer_map: expected one key that matches {key!r}, got {matching}. Make them exclude one another"
            )
        return self._optimizers[matching[0]] if matching else self.default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if not isinstance(key, str):
            raise ValueError(f"key: expected a regular expression, got {key!r}")
        if key in self._optimizers:
            raise ValueError(
                f"key: expected a new one, got {key!r}, which has {self._optimizers[key]!r}; delete it before"
            )
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"optimizer: expected an optimizer, got {optimizer!r}; call its class")
        if isinstance(optimizer, MultiOptimizer):
            raise ValueError("optimizer: expected one of arrays, got a MultiOptimizer; put what it has here")
        self._optimizers[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizers[key]

    def __len__(self) -> int:
        return len(self._optimizers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizers)

    def get(self, key: str, default: Any = None) -> Any:
        """The optimizer of this key itself, as a dict has it."""
        return self._optimizers.get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The optimizer of this key itself, which becomes `default` where there is none."""
        if key not in self._optimizers:
            self[key] = default
        return self._optimizers[key]

    def __contains__(self, key: object) -> bool:
        return key in self._optimizers

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OptimizerMap):
            return NotImplemented
        return self._optimizers == other._optimizers and self.default_optimizer == other.default_optimizer

    def __call__(self, variable: Any) -> Optimizer:
        """The optimizer of a weight, by its `path`."""
        return self[variable.path]

    def __copy__(self) -> OptimizerMap:
        """The same with copies of the optimizers."""
        twins = {id(o): copy.copy(o) for o in (*self.values(), self.default_optimizer)}
        made = {key: twins[id(o)] for key, o in self._optimizers.items()}
        return OptimizerMap(twins[id(self.default_optimizer)], made)

    def get_config(self) -> dict[str, Any]:
        """Both arguments, as values that JSON can hold."""
        return {
            "default_optimizer": serialize(self.default_optimizer),
            "optimizer_map": {key: serialize(optimizer) for key, optimizer in self._optimizers.items()},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> OptimizerMap:
        """Build the map that `get_config` described."""
        optimizers = {key: get(value, f"optimizer_map[{key!r}]") for key, value in config["optimizer_map"].items()}
        return cls(get(config["default_optimizer"], "default_optimizer"), optimizers)


@OPTIMIZERS.register("MultiOptimizer", name="multioptimizer")
class MultiOptimizer(Optimizer):
    """Several optimizers, each for some of the weights, with rates, schedules, clipping and state of its own.

    Steps are counted for all of them together. `learning_rate` is that of each: ``multi.optimizers[0].learning_rate``.
    A norm of all gradients is that of the optimizer's own weights; all have the same `gradient_accumulation_steps`.

    Parameters
    ----------
    optimizer_map : OptimizerMap or callable
        By regular expressions of paths, such as ``dense/kernel``; or a function that is given what has the `path`,
        `name` and `shape` of a weight and returns its optimizer, once for each weight. A model with a function cannot
        be saved.
    loss_scale_factor : float, optional
        See `Optimizer`; in place of those of the optimizers.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        `optimizer_map` is none of these; when it is used: there are more optimizers than 8, or one that is none.

    Attributes
    ----------
    optimizers : list of Optimizer
        Those of the map, and the default; of a function those that it has returned.
    """

    kernel: ClassVar[str] = "sgd"

    def __init__(self, optimizer_map: Any, loss_scale_factor: float | None = None, name: str | None = None) -> None:
        self.momentum, self.nesterov = 0.0, False
        if isinstance(optimizer_map, Mapping) and set(optimizer_map) == {"default_optimizer", "optimizer_map"}:
            optimizer_map = OptimizerMap.from_config(optimizer_map)
        if not callable(optimizer_map):
            raise TypeError(f"optimizer_map: expected an OptimizerMap or a function of a weight, got {optimizer_map!r}")
        self.optimizer_map: Callable[[Any], Optimizer] = optimizer_map
        self._parts: list[Optimizer] = []
        self._given: list[Optimizer] = []  # what the map has for each of them
        self._is_copy = False  # whose parts, of a function, are copies of what that returns
        self._chosen: dict[Named, int] = {}  # by a function, which may make an optimizer at each call
        self._together: tuple[list[Ahead | None], Ahead] | None = None
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._add(optimizer)

    def _add(self, optimizer: Any) -> int:
        """The number of an optimizer, which shares the counter from now on."""
        for number, known in enumerate(self._given):
            if known is optimizer:
                return number
        if not isinstance(optimizer, Optimizer) or isinstance(optimizer, MultiOptimizer):
            raise ValueError(f"optimizer_map: expected optimizers of arrays, got {optimizer!r}")
        if len(self._parts) == RULES:
            raise ValueError(
                f"optimizer_map: expected at most {RULES} optimizers, got another: {optimizer!r}. A function may "
                "return one that was made before it for many weights"
            )
        mine = copy.copy(optimizer) if self._is_copy and not isinstance(self.optimizer_map, OptimizerMap) else optimizer
        return self._take(mine, optimizer)

    def _take(self, optimizer: Optimizer, given: Optimizer) -> int:
        vars(optimizer)["counter"] = self.counter
        self._parts.append(optimizer)
        self._given.append(given)
        return len(self._parts) - 1

    @property
    def optimizers(self) -> list[Optimizer]:
        """All of them."""
        return list(self._parts)

    @property
    def parts(self) -> list[Optimizer]:
        """See `Optimizer`."""
        return list(self._parts)

    def part_of(self, path: str, variable: Any = None) -> int:
        """See `Optimizer`."""
        weight = Named(path, tuple(getattr(variable, "shape", ())))
        if isinstance(self.optimizer_map, OptimizerMap):
            return self._add(self.optimizer_map(weight))
        if weight not in self._chosen:
            self._chosen[weight] = self._add(self.optimizer_map(weight))
        return self._chosen[weight]

    def settings(self, number: int, p: Parameter, path: str) -> Settings:
        """See `Optimizer`."""
        which = self.part_of(path, p)
        return self._parts[which].settings(number, p, path)._replace(optimizer=which)

    @property
    def steps(self) -> int:
        """See `Optimizer`: of all of them alike."""
        found = {part.steps for part in self._parts}
        if len(found) > 1:
            raise ValueError(
                f"gradient_accumulation_steps: expected the same of all optimizers, got {sorted(found)}; give all one"
            )
        return found.pop() if found else 1

    # -- the learning rates --------------------------------------------------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """An AttributeError that says where they are."""
        raise AttributeError("learning_rate: a MultiOptimizer has none; see that of each of its optimizers")

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if hasattr(self, "_learning_rate"):
            raise AttributeError("learning_rate: a MultiOptimizer has none; set that of each of its optimizers")
        self._learning_rate: Scheduled = 0.0

    @property
    def _ahead(self) -> Ahead | None:
        """What was made of the numbers of all, as long as these are the same."""
        made_of, whole = self._together or ([], None)
        return whole if [id(p._ahead) for p in self._parts] == [id(one) for one in made_of] else None

    @_ahead.setter
    def _ahead(self, value: Ahead | None) -> None:
        self._together = None

    def ahead(self) -> Ahead:
        """See `Optimizer`: the numbers of all, one after another."""
        found = [part.ahead() for part in self._parts]
        whole = self._ahead
        if whole is None:
            whole = Ahead(0, 2**63 - 1, [])
            for one in found:
                whole = whole.beside(one)
            self._together = list(found), whole
        return whole

    def described(self) -> list[Optimizer]:
        """See `Optimizer`."""
        mapped: Any = self.optimizer_map
        return [*mapped.values(), mapped.default_optimizer]

    def rates(self) -> list[Scheduled]:
        """See `Optimizer`."""
        return [part._learning_rate for part in self._parts]

    # -- descriptions and copies ---------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; a TypeError where the map is a function."""
        if not isinstance(self.optimizer_map, OptimizerMap):
            raise TypeError(
                f"optimizer_map: expected an OptimizerMap, which can be described, got {self.optimizer_map!r}. Use one"
            )
        described = {"loss_scale_factor": self.loss_scale_factor, "name": self.name}
        return {"optimizer_map": self.optimizer_map.get_config()} | described

    def __eq__(self, other: object) -> bool:
        if not isinstance(self.optimizer_map, OptimizerMap):
            return self is other
        return super().__eq__(other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._parts))})"

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"optimizer_map": copy.copy(self.optimizer_map), "_together": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> MultiOptimizer:
        for known in self._given:
            memo[id(known)] = known  # a function returns these, of which the copy has its own
        made = type(self).__new__(type(self))
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return made

    def __setstate__(self, state: dict[str, Any]) -> None:
        state.pop("_ahead", None)
        parts, given, original = state.pop("_parts"), state.pop("_given"), state["optimizer_map"]
        vars(self).update(state, _parts=[], _given=[], _is_copy=True, _chosen=dict(state["_chosen"]))
        if isinstance(original, OptimizerMap):
            for optimizer in (*original.values(), original.default_optimizer):
                self._add(optimizer)
        else:
            for optimizer, known in zip(parts, given, strict=True):
                self._take(copy.copy(optimizer), known)
