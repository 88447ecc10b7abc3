"""Numbers of texts and of whole numbers by a list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nncore.arguments import is_whole
from nncore.layers.base import LAYERS
from nncore.layers.preprocessing.base import place, strange, values_of
from nncore.layers.preprocessing.index import IndexLookup, Others, Table
from nncore.state import Array


@LAYERS.register()
class StringLookup(IndexLookup):
    """Each text's number, by a list of texts that is given or learned by `adapt`; others share a number of their own.

    Numbers are those of `get_vocabulary`: first `mask_token`, of mode "int" and if there is one; then `num_oov_indices`
    for texts that are not in the list; then the list's. They are found in Python, once, where data are bound to a fit
    or prediction; the list is part of the model, its copies and files.

    Shapes: X (B, …) of an `Input`, whose dtype may be "string". Y by `output_mode`: "int" (B, …), for `Embedding` and
    `CategoryEncoding`; "one_hot" (B, …, depth), of (B, …, 1) (B, …, depth); "multi_hot", "count", "tf_idf" of (B, …, k)
    (B, …, depth), with depth = `vocabulary_size()`.

    Parameters
    ----------
    max_tokens : int, optional
        Most numbers there may be.
    num_oov_indices : int, default 1
        How many numbers texts share that are not in the list: more than one, by FarmHash's Fingerprint64, or SipHash
        with a salt, as in Keras. 0: such a text is an error.
    mask_token : str, optional
        The text that stands for a gap: it has the number 0, or no column.
    oov_token : str, default "[UNK]"
        What `invert` makes of numbers of texts that are not in the list.
    vocabulary : list of str, array or path, optional
        The list, or a text file with a line for each.
    idf_weights : array_like, optional
        Of mode "tf_idf": the list's factors. `adapt` learns log(1 + documents / (1 + those that hold the text)).
    invert : bool, default False
        Called on arrays of numbers, it returns texts; such a layer cannot be part of a model.
    output_mode : {"int", "one_hot", "multi_hot", "count", "tf_idf"}
    pad_to_max_tokens : bool, default False
        Whether there are `max_tokens` columns, however many texts.
    encoding : str, default "utf-8"
        Of texts that come as bytes.
    name : str, optional
    salt : int or pair of int, optional

    Raises
    ------
    ValueError, TypeError
        An argument is wrong; where data are bound: there is no list yet, or there are missing values or numbers.
    """

    vocabulary_dtype = "string"
    kinds = (str,)

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
    ) -> None:
        self.encoding = encoding
        super().__init__(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            vocabulary,
            idf_weights,
            invert,
            output_mode,
            pad_to_max_tokens,
            salt,
            name,
        )

    def others(self) -> Others:
        """With the encoding of bytes."""
        return replace(super().others(), encoding=self.encoding)

    def token(self, value: Any, argument: str) -> Any:
        """A text, checked; bytes are decoded."""
        value = value.decode(self.encoding) if isinstance(value, bytes) else value
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{argument}: expected texts, got {value!r}. Numbers have IntegerLookup")
        return None if value is None else str(value)

    def read(self, data: Any, argument: str) -> Array:
        """Texts, or objects that are texts."""
        array = values_of(data, argument)
        if array.dtype.kind == "S":
            array = np.char.decode(array, self.encoding)
        if array.dtype.kind not in "UO" and array.size:
            raise TypeError(
                f"{argument}: expected texts for {self.name or 'StringLookup'}, got dtype {array.dtype}. Whole numbers "
                "have IntegerLookup"
            )
        return array

    def refused(self, token: Any) -> tuple[str, str] | None:
        """Numbers, gaps and other objects are no texts."""
        if isinstance(token, (str, bytes)):
            return None
        return "texts", "Convert them, or look up whole numbers by IntegerLookup"

    def plain(self, counts: Counter[Any]) -> Counter[Any]:
        """Bytes count as their text."""
        for token in [t for t in counts if isinstance(t, bytes)]:
            counts[token.decode(self.encoding)] += counts.pop(token)
        return counts


@LAYERS.register()
class IntegerLookup(IndexLookup):
    """The place of each whole number in a list of them that is given or learned by `adapt`, as `StringLookup`.

    Shapes and arguments are those of `StringLookup`, tokens are whole numbers of int64. In models the places are found
    in Python, once, where data are bound.

    Parameters
    ----------
    max_tokens, num_oov_indices, mask_token
        As for `StringLookup`; several numbers for others are the remainder of the division by `num_oov_indices`.
    oov_token : int, default -1
    vocabulary : list of int, array or path, optional
    vocabulary_dtype : {"int64"}
    idf_weights, invert, output_mode, pad_to_max_tokens
        As for `StringLookup`.
    oov_method : {"floormod", "farmhash"}
        "farmhash": by the fingerprint of the decimal number.
    salt : int or pair of int, optional
        With "farmhash": SipHash.
    name : str, optional

    Raises
    ------
    ValueError, TypeError
        An argument is wrong; where data are bound: there is no list yet, or there are missing values or reals.
    """

    kinds = (bool, int, np.integer)
    made = np.int64

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
    ) -> None:
        if vocabulary_dtype != "int64":
            raise ValueError(f'vocabulary_dtype: expected "int64", got {vocabulary_dtype!r}')
        if oov_method not in ("floormod", "farmhash"):
            raise ValueError(f'oov_method: expected "floormod" or "farmhash", got {oov_method!r}')
        if salt is not None and oov_method != "farmhash":
            raise ValueError(f'salt: expected None without oov_method="farmhash", got {salt!r}')
        self.oov_method, self.vocabulary_dtype = oov_method, vocabulary_dtype
        self._sorted: tuple[Table, Array, Array] | None = None
        super().__init__(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            vocabulary,
            idf_weights,
            invert,
            output_mode,
            pad_to_max_tokens,
            salt,
            name,
        )

    def token(self, value: Any, argument: str) -> Any:
        """A whole number, checked; lines of a file are read as such."""
        try:
            whole = value if value is None or is_whole(value) else int(value)
        except (TypeError, ValueError):
            whole = value
        if whole is not None and ((whole != value and not isinstance(value, str)) or not is_whole(whole)):
            raise TypeError(f"{argument}: expected whole numbers, got {value!r}. Texts have StringLookup")
        return None if whole is None else int(whole)

    def others(self) -> Others:
        """By remainder, or by fingerprint."""
        return replace(super().others(), remainder=self.oov_method == "floormod")

    def refused(self, token: Any) -> tuple[str, str] | None:
        """Texts, gaps and reals are no whole numbers."""
        if isinstance(token, self.kinds):
            return None
        return "whole numbers", "Convert them, or look up texts by StringLookup"

    def encode(self, arrays: Sequence[Array], arguments: Sequence[str]) -> Array:
        """The place of each number: of arrays of whole numbers all at once, by halves of the sorted list."""
        [array] = arrays
        if array.dtype.kind not in "iub":
            return super().encode(arrays, arguments)
        table = self.known().table
        if self._sorted is None or self._sorted[0] is not table:
            keys = np.fromiter(table.keys(), np.int64, len(table))
            order = np.argsort(keys)
            self._sorted = table, keys[order], np.fromiter(table.values(), np.int32, len(table))[order]
        _, keys, places = self._sorted
        flat = array.reshape(-1).astype(np.int64, copy=False)
        at = np.minimum(np.searchsorted(keys, flat), len(keys) - 1)
        numbers = places[at]
        if len(others := np.flatnonzero(keys[at] != flat)):
            if self.num_oov_indices == 0:
                return super().encode(arrays, arguments)  # which says where
            single = self.num_oov_indices == 1
            numbers[others] = table.others.first if single else super().encode([flat[others]], arguments)
        return numbers.reshape(array.shape)

    def read(self, data: Any, argument: str) -> Array:
        """Whole numbers of any dtype."""
        array = values_of(data, argument)
        if array.dtype.kind == "f":
            whole = array == np.floor(array)
            if not (whole & np.isfinite(array)).all():
                bad = int(np.argmin((whole & np.isfinite(array)).reshape(-1)))
                value = array.reshape(-1)[bad].item()
                raise strange(value, argument, place(array, bad), "whole numbers", "Cut reals by Discretization")
            array = array.astype(np.int64)
        if array.dtype.kind not in "iubO" and array.size:
            raise TypeError(
                f"{argument}: expected whole numbers for {self.name or 'IntegerLookup'}, got dtype {array.dtype}. "
                "Texts have StringLookup"
            )
        return array
