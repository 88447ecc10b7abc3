"""What Python's operators make of symbols: layers; and what says why one makes none."""

from __future__ import annotations

from typing import Any, ClassVar

from nncore.habits import EXPRESSION, OF_ARRAYS

#: Methods of symbols for operators, by the functions with which NumPy computes them.
REFLECTED = {
    "add": "__radd__",
    "subtract": "__rsub__",
    "multiply": "__rmul__",
    "divide": "__rtruediv__",
    "power": "__rpow__",
}


class Operators:
    """Base of `Symbol`: + - * / **, abs and slices, also beside numbers; others are errors that name what to use."""

    #: What makes layers of operators: layers stand above this module, and put it here (`layers.arithmetic`).
    arithmetic: ClassVar[Any] = None

    def __add__(self, other: Any) -> Any:
        return self.arithmetic.joined("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return self.arithmetic.joined("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return self.arithmetic.joined("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.arithmetic.joined("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return self.arithmetic.joined("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.arithmetic.joined("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.arithmetic.joined("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.arithmetic.joined("/", other, self)

    def __pow__(self, other: Any) -> Any:
        return self.arithmetic.joined("**", self, other)

    def __rpow__(self, other: Any) -> Any:
        return self.arithmetic.joined("**", other, self)

    def __neg__(self) -> Any:
        return self.arithmetic.scaled(self, -1.0, 0.0)

    def __abs__(self) -> Any:
        return self.arithmetic.absolute(self)

    def __getitem__(self, index: Any) -> Any:
        return self.arithmetic.part(self, index)

    def __iter__(self) -> Any:
        raise TypeError(f"{self!r} is not iterable. Of the steps of samples: [x[:, t] for t in range(x.shape[1])]")

    def _refuse(self, what: str) -> Any:
        raise TypeError(
            f"{what}: expected numbers, got {self!r}, which stands for data that are yet to come. {EXPRESSION}"
        )

    def __bool__(self) -> bool:
        raise TypeError(
            f"if, and, or, not: expected what is known before there are data, got {self!r}. Python's conditions hold "
            "for all samples at once; to choose by data, multiply by 0 or 1: an Input, or a Dense with a sigmoid"
        )

    def __matmul__(self, other: Any) -> Any:
        raise TypeError(f"@: expected arrays, got {self!r}. Dense multiplies by weights, Dot and Multiply by symbols")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(f"[…] =: expected an array, got {self!r}. Join parts anew: Concatenate()([x[:, :1], y])")

    __rmatmul__ = __matmul__

    def __lt__(self, other: Any) -> Any:
        return self._refuse("<, >, <=, >=")

    __le__ = __gt__ = __ge__ = __lt__

    def __float__(self) -> Any:
        return self._refuse("float, int, round")

    __int__ = __index__ = __round__ = __float__

    def __mod__(self, other: Any) -> Any:
        return self._refuse("%, //")

    __rmod__ = __floordiv__ = __rfloordiv__ = __mod__

    def __getattr__(self, name: str) -> Any:
        remedy = f". {OF_ARRAYS[name]}" if name in OF_ARRAYS else ""
        raise AttributeError(f"{name}: expected an attribute of Symbol, got one that it has not{remedy}")

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        """Take the operators of NumPy's numbers and arrays that stand before a symbol; refuse its functions."""
        if ufunc.__name__ in ("equal", "not_equal") and method == "__call__" and not options:
            same = operands[0] is operands[1]  # symbols are equal to themselves alone
            return same == (ufunc.__name__ == "equal")
        reflected = REFLECTED.get(ufunc.__name__)
        if reflected is None or method != "__call__" or options or isinstance(operands[0], Operators):
            raise TypeError(f"{ufunc.__name__}: expected arrays, got {self!r}. {EXPRESSION}")
        return getattr(self, reflected)(operands[0])

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(f"expected an array, got {self!r}, which stands for data that are yet to come. {EXPRESSION}")
