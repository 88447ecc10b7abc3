"""What lookups are: numbers by a list of tokens, which is given or learned from data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from nncore._kernels.hashing import fingerprints
from nncore.arguments import check_count, check_flag
from nncore.graph import Shape
from nncore.layers.arrays import label
from nncore.layers.preprocessing.base import (
    MODES,
    Encoder,
    check_mode,
    pieces,
    place,
    strange,
    values_of,
)
from nncore.layers.preprocessing.hashing import buckets, check_salt
from nncore.layers.preprocessing.learning import Given, Learning, batches
from nncore.parameter import Parameter
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Strange(Exception):
    """A value that is no token, and has no number."""


@dataclass(frozen=True)
class Others:
    """Which numbers values have that are no tokens.

    Parameters
    ----------
    kinds : tuple of type
        Of values that may be tokens.
    first, count : int
        The numbers of all others.
    salt : list of int or None
    remainder : bool
        Whether several numbers go by remainder, not by fingerprint.
    encoding : str
        Of bytes.
    """

    kinds: tuple[type, ...]
    first: int
    count: int
    salt: list[int] | None
    remainder: bool
    encoding: str

    def number(self, value: Any) -> int:
        """That of a value."""
        known = isinstance(value, self.kinds)
        if not known or self.count == 0:
            raise Strange
        if self.count == 1:
            return self.first
        if self.remainder:
            return self.first + int(value) % self.count
        text = value if isinstance(value, str) else str(int(value))
        return self.first + int(buckets(fingerprints([text], self.salt), self.count)[0])


class Table(dict[Any, int]):
    """The numbers of tokens, and of others."""

    others: Others

    def __missing__(self, token: Any) -> int:
        return self[token.decode(self.others.encoding)] if isinstance(token, bytes) else self.others.number(token)


class Known(NamedTuple):
    """Tokens, and their numbers: replaced as a whole, while other threads look them up."""

    tokens: tuple[Any, ...]
    table: Table


class IndexLookup(Learning, Encoder):
    """Base of the lookups: `tokens` have the numbers from `first` on, behind those of the mask and of other values."""

    vocabulary_dtype: str
    kinds: tuple[type, ...]  # of tokens
    remedies: ClassVar[dict[str, str]] = Encoder.remedies | {
        "vocabulary": "Call set_vocabulary.",
        "idf_weights": "Call set_vocabulary.",
    }

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary: Any,
        idf_weights: Any,
        invert: bool,
        output_mode: str,
        pad_to_max_tokens: bool,
        salt: Any,
        name: str | None,
    ) -> None:
        super().__init__(name)
        self.max_tokens = None if max_tokens is None else check_count(max_tokens, "max_tokens", 2)
        self.num_oov_indices = check_count(num_oov_indices, "num_oov_indices", 0)
        self.mask_token, self.oov_token = self.token(mask_token, "mask_token"), self.token(oov_token, "oov_token")
        self.output_mode = check_mode(output_mode, (*MODES, "tf_idf"))
        self.invert = check_flag(invert, "invert")
        self.pad_to_max_tokens = check_flag(pad_to_max_tokens, "pad_to_max_tokens")
        self.salt = check_salt(salt)
        if self.pad_to_max_tokens and max_tokens is None:
            raise ValueError("pad_to_max_tokens: expected False without max_tokens, got True. Give max_tokens, too")
        if self.invert and self.output_mode != "int":
            raise ValueError(f'output_mode: expected "int" where invert is True, got {output_mode!r}')
        self._known: Known | None = None
        self._factors: Array | None = None  # of each column, of mode "tf_idf"
        if vocabulary is None and idf_weights is not None:
            raise ValueError("idf_weights: expected None without a vocabulary, got some. Give the vocabulary, too")
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def token(self, value: Any, argument: str) -> Any:
        """A token, checked; None stays."""
        raise NotImplementedError

    def others(self) -> Others:
        """Which numbers values have that are no tokens."""
        return Others(self.kinds, self.first_other, self.num_oov_indices, self.salt, False, "utf-8")

    # -- its tokens ------------------------------------------------------------------------------------------------

    @property
    def vocabulary(self) -> list[Any] | None:
        """The tokens, without mask and other values; None before they are known."""
        return None if self._known is None else list(self._known.tokens)

    @property
    def idf_weights(self) -> Array | None:
        """Of mode "tf_idf": the factor of each column."""
        return None if self._factors is None else self._factors.copy()

    @property
    def first_other(self) -> int:
        """The number of values that are no tokens."""
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def first(self) -> int:
        """The number of the first token."""
        return self.first_other + self.num_oov_indices

    def known(self) -> Known:
        """The tokens; a ValueError before they are known."""
        if self._known is None:
            raise ValueError(f"{label(self)}: has no vocabulary yet. Call adapt(data), or give it vocabulary")
        return self._known

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their numbers.

        Parameters
        ----------
        include_special_tokens : bool, default True
            Begin with the mask and `oov_token` where these have numbers.
        """
        special = [self.mask_token] * self.first_other + [self.oov_token] * self.num_oov_indices
        return (special if include_special_tokens else []) + (self.vocabulary or [])

    def vocabulary_size(self) -> int:
        """How many numbers there are, those of the mask and of other values included."""
        return self.first + (len(self._known.tokens) if self._known else 0)

    @property
    def depth(self) -> int:
        """How many numbers there are, or `max_tokens` where columns are padded."""
        if self.output_mode == "int":
            return max(1, self.vocabulary_size())
        self.known()
        return self.max_tokens if self.pad_to_max_tokens and self.max_tokens else self.vocabulary_size()

    @property
    def codes(self) -> tuple[int, int]:
        """What `encode` makes: −1 where a mask has no column."""
        return -int(self.mask_token is not None and self.output_mode != "int"), self.depth

    @property
    def words_of_size(self) -> str:
        """How to say how many there are."""
        return f"{self.name}.vocabulary_size()"

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Let these be the tokens.

        Parameters
        ----------
        vocabulary : list, array or path
            Tokens, each once, perhaps behind those that `get_vocabulary` puts before them; or a text file with one in
            each line.
        idf_weights : array_like, optional
            Of mode "tf_idf": a factor for each token; other values get their mean, unless there are factors for them.

        Raises
        ------
        ValueError
            A token comes twice, is the mask, or there are more than `max_tokens`; the layer is part of a model which
            has columns for another number of tokens.
        """
        tokens = [self.token(t, "vocabulary") for t in self.listed(vocabulary)]
        special = self.get_vocabulary()[: self.first]
        count = len(tokens)
        if special and tokens[: self.first] == special:
            tokens = tokens[self.first :]
        if not tokens:
            raise ValueError("vocabulary: expected one token at least, got none")
        if twice := [t for t, times in Counter(tokens).items() if times > 1]:
            raise ValueError(f"vocabulary: expected each token once, got {twice[:8]} more than once")
        for argument in ("mask_token", "oov_token")[: 1 + self.invert]:
            if (reserved := getattr(self, argument)) is not None and reserved in tokens:
                raise ValueError(
                    f"vocabulary: expected tokens other than {argument}, {reserved!r}, or all of {special} in front, "
                    f"got it at {tokens.index(reserved)}"
                )
        self.take(tokens, self.factors_of(idf_weights, count, len(tokens)))

    def listed(self, vocabulary: Any) -> list[Any]:
        """The elements of a vocabulary in any form."""
        if isinstance(vocabulary, (str, Path)):
            path = Path(vocabulary)
            if not path.is_file():
                raise ValueError(f"vocabulary: expected tokens, or the path of a text file, got no file {str(path)!r}")
            return path.read_text("utf-8").rstrip("\n").split("\n")
        array = values_of(vocabulary, "vocabulary")
        if array.ndim != 1:
            raise ValueError(f"vocabulary: expected a list of tokens, got an array of shape {array.shape}")
        return list(array.tolist())

    def factors_of(self, given: Any, count: int, tokens: int) -> Array | None:
        """`idf_weights` for so many tokens, given for `count` of them, as the factor of each column."""
        if self.output_mode != "tf_idf":
            if given is not None:
                raise ValueError(f"idf_weights: expected None with output_mode={self.output_mode!r}, got some")
            return None
        factors = None if given is None else np.asarray(given, np.float64)
        if factors is None or factors.ndim != 1 or len(factors) not in (count, tokens, self.first + tokens):
            got = None if factors is None else factors.shape
            raise ValueError(f"idf_weights: expected a number for each of the {count} tokens, got {got}")
        if len(factors) == tokens:
            factors = np.concatenate([np.full(self.first, factors.mean()), factors])
        return factors

    def take(self, tokens: list[Any], factors: Array | None) -> None:
        """Have these tokens from now on, where what was built for others fits them."""
        size = self.first + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                f"vocabulary: expected at most max_tokens={self.max_tokens} with mask and other values, got {size}"
            )
        columns = self.output_mode != "int" and not self.pad_to_max_tokens
        if columns and self._models and self._known is not None and size != self.vocabulary_size():
            raise ValueError(
                f"{self.name}: expected {self.vocabulary_size()} tokens, for which its model has columns, got {size}. "
                "Make the model after adapt"
            )
        table = Table({token: self.first + i for i, token in enumerate(tokens)})
        if self.mask_token is not None:
            table[self.mask_token] = 0 if self.output_mode == "int" else -1
        table.others = self.others()
        before = self._known, self._factors
        vars(self).update(_known=Known(tuple(tokens), table), _factors=factors)
        try:
            for model in list(self._models or ()):
                model.graph.fed.check()
        except ValueError:
            vars(self).update(_known=before[0], _factors=before[1])
            raise
        if factors is not None:
            self.learned({"idf_weights": self.padded()})
        vars(self)["_forwards"] = None

    def padded(self) -> Array:
        """The factors of all columns."""
        assert self._factors is not None
        return np.concatenate([self._factors, np.zeros(self.depth - len(self._factors))])

    def output_shape(self, *shapes: Shape) -> Shape:
        """See `Numbering`; a ValueError where tokens would come out."""
        if self.invert:
            raise ValueError(
                f"{label(self)}: expected invert=False within a model, whose arrays hold no "
                "tokens, got True. Call the layer on what the model predicts"
            )
        return super().output_shape(*shapes)

    @property
    def declares_none(self) -> bool:
        """Whether it has no weights to declare: only factors of columns are such."""
        return self.output_mode != "tf_idf"

    def declare(self, *shapes: Shape) -> None:
        """Declare the factors of columns, of mode "tf_idf"."""
        self._scale: Parameter | None = None
        if self.output_mode == "tf_idf":
            self.known()
            self._scale = self.add_parameter("idf_weights", (self.depth,), Given(self.padded()), role="statistic")

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The numbers, or columns of them."""
        return self.emit_numbers(b, inputs[0], scale=self._scale)

    def argument(self, name: str) -> Any:
        """What describes the layer: its tokens as they are now."""
        if name == "idf_weights":
            return None if self._factors is None else self._factors.tolist()
        return super().argument(name)

    # -- learning them ---------------------------------------------------------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the tokens of data: all that occur, the most frequent first, of equally frequent ones the last by sort.

        Parameters
        ----------
        data : array_like, Series, or iterable or `PyDataset` of these
            Of any shape. Of mode "tf_idf" each row is a document; of one axis, each element is.
        steps : int, optional
            Of an iterable: how many of its arrays.

        Raises
        ------
        ValueError, TypeError
            There are missing values, or others than tokens; or as `set_vocabulary`.
        """
        counts: Counter[Any] = Counter()
        within: Counter[Any] = Counter()  # documents that hold it
        documents = 0
        for array in batches(data, steps, self.read, "data"):
            rows = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(-1, 1)
            documents += len(rows)
            for start, values in pieces(array):
                found = Counter(values)
                for token in found:
                    if (why := self.refused(token)) is not None:
                        raise strange(token, "data", place(array, start + values.index(token)), *why)
                counts += found
            if self.output_mode == "tf_idf":
                for row in rows.tolist():
                    within.update(set(row))
        counts = self.plain(counts)
        within = self.plain(within)
        for special in (self.mask_token, self.oov_token):
            counts.pop(special, None)
        if not counts:
            raise ValueError("data: expected some tokens, got none but mask_token and oov_token")
        most = None if self.max_tokens is None else self.max_tokens - self.first
        tokens = sorted(counts, reverse=True)
        tokens.sort(key=counts.__getitem__, reverse=True)
        tokens = tokens[:most]
        factors = None
        if self.output_mode == "tf_idf":
            factors = np.log(1 + documents / (1 + np.array([within[t] for t in tokens])))
            factors = np.concatenate([np.full(self.first, factors.mean()), factors])
        self.take(tokens, factors)

    def plain(self, counts: Counter[Any]) -> Counter[Any]:
        """The same by tokens as they are kept."""
        return counts

    def refused(self, token: Any) -> tuple[str, str] | None:
        """What was expected in place of this, and a remedy; None: it may be a token."""
        raise NotImplementedError

    # -- numbers of data -------------------------------------------------------------------------------------------

    def on_arrays(self, inputs: Any, training: Any) -> Array:
        """Called on arrays: numbers of tokens as int64, or tokens of numbers."""
        if self.invert:
            return self.inverted(inputs)
        if self.output_mode != "int":
            return super().on_arrays(inputs, training)
        self.known()
        argument = f"{label(self)}: inputs"
        return self.encode([self.read(inputs, argument)], [argument]).astype(np.int64)

    def inverted(self, numbers: Any) -> Array:
        """The token of each number."""
        array = np.asarray(numbers)
        if array.dtype.kind not in "iub" and not (array.dtype.kind == "f" and (array == np.floor(array)).all()):
            raise TypeError(f"{label(self)}: expected whole numbers, got dtype {array.dtype}")
        self.known()
        tokens = np.array([*self.get_vocabulary(), self.oov_token], dtype=self.made)
        inside = (array >= 0) & (array < len(tokens) - 1)
        made: Array = tokens[np.where(inside, array, -1).astype(np.int64)]
        return made

    made: Any = object  # dtype of tokens in arrays

    def encode(self, arrays: Sequence[Array], arguments: Sequence[str]) -> Array:
        """The number of each element."""
        [array], [argument] = arrays, arguments
        table = self.known().table
        numbers = np.empty(array.size, np.int32)
        for start, values in pieces(array):
            try:
                numbers[start : start + len(values)] = np.fromiter(
                    map(table.__getitem__, values), np.int32, len(values)
                )
            except (Strange, TypeError):
                raise self.unknown(table, values, array, start, argument) from None
        return numbers.reshape(array.shape)

    def unknown(self, table: Table, values: Iterable[Any], array: Array, start: int, argument: str) -> Exception:
        """The error for the first of these elements that has no number."""
        for i, value in enumerate(values):
            if (why := self.refused(value)) is not None:
                return strange(value, argument, place(array, start + i), *why)
            if value not in table and self.num_oov_indices == 0:
                break
        return ValueError(
            f"{argument}: expected tokens that layer {label(self)} knows, got {value!r} in "
            f"{place(array, start + i)}. Let it have num_oov_indices=1, or adapt it to all data"
        )
