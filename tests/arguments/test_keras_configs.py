"""What Keras's `get_config` returns: keys that have no meaning here are left out where they ask for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nncore as nn


def policy(name: str) -> dict[str, Any]:
    """A dtype as Keras 3 describes it."""
    return {"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}, "registered_name": None}


def of_keras(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """An object as Keras 3 describes it."""
    return {"module": "keras", "class_name": kind, "config": config, "registered_name": None}


@pytest.mark.parametrize(
    ("config", "made"),
    [
        (
            of_keras(
                "Dense",
                {
                    "name": "d",
                    "trainable": True,
                    "dtype": policy("float32"),
                    "units": 3,
                    "activation": "relu",
                    "use_bias": True,
                    "kernel_initializer": of_keras("HeNormal", {"seed": None, "input_axes": None, "output_axes": None}),
                    "bias_initializer": of_keras("Zeros", {}),
                    "kernel_regularizer": of_keras("L2", {"l2": 0.5}),
                    "bias_regularizer": None,
                    "kernel_constraint": None,
                    "bias_constraint": None,
                    "quantization_config": None,
                },
            ),
            nn.Dense(3, "relu", kernel_initializer="he_normal", kernel_regularizer=nn.regularizers.L2(0.5), name="d"),
        ),
        (
            of_keras(
                "Dropout",
                {"name": "r", "trainable": True, "dtype": "float32", "rate": 0.5, "seed": None, "noise_shape": None},
            ),
            nn.Dropout(0.5, name="r"),
        ),
        (
            of_keras("Flatten", {"name": "f", "trainable": False, "dtype": policy("float32"), "data_format": None}),
            nn.Flatten(name="f"),
        ),
    ],
    ids=["dense", "dropout", "flatten"],
)
def test_layers(config: dict[str, Any], made: Any) -> None:
    cls = type(made)
    for found in (cls.from_config(config["config"]), nn.layers.deserialize(config)):
        assert type(found) is cls and found.get_config() == made.get_config()


def test_normalization_with_what_is_so_in_any_case() -> None:
    config = {
        "name": "b",
        "dtype": policy("float32"),
        "axis": -1,
        "momentum": 0.5,
        "synchronized": False,
        "renorm": False,
    }
    config |= {"renorm_clipping": None, "renorm_momentum": 0.99}
    assert nn.BatchNormalization.from_config(config).momentum == 0.5
    with pytest.raises(ValueError, match=r"config of BatchNormalization: unknown keys \['renorm'\]"):
        nn.BatchNormalization.from_config(config | {"renorm": True})


@pytest.mark.parametrize(
    ("extra", "strange"),
    [
        ({"dtype": policy("mixed_float16")}, "dtype"),
        ({"dtype": {"class_name": "DTypePolicy", "config": 3}}, "dtype"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"lora_rank": 4}, "lora_rank"),
        ({"nonsense": None}, "nonsense"),
    ],
)
def test_what_asks_for_something_is_refused(extra: dict[str, Any], strange: str) -> None:
    with pytest.raises(ValueError, match=rf"config of Dense: unknown keys \['{strange}'\]"):
        nn.Dense.from_config({"units": 3} | extra)


def test_losses_metrics_and_initializers() -> None:
    loss = nn.losses.get(of_keras("Huber", {"name": "h", "reduction": "sum", "delta": 0.5, "dtype": "float32"}))
    assert loss == nn.losses.Huber(0.5, "sum", "h", "float32")
    metric = nn.metrics.get(
        of_keras("F1Score", {"name": "f", "dtype": "float32", "average": "macro", "threshold": None})
    )
    assert metric == nn.metrics.F1Score("macro", None, "f", "float32")
    drawn = nn.initializers.get(of_keras("RandomNormal", {"mean": 1.0, "stddev": 0.5, "seed": 3, "dtype": "float32"}))
    assert drawn == nn.initializers.RandomNormal(1.0, 0.5, 3)


def test_no_initializer_is_the_default_one_of_keras() -> None:
    """Glorot's uniform distribution, on ±√(6 / (fan_in + fan_out)), for biases as for kernels: there of n and n."""
    layer = nn.Dense(500, kernel_initializer=None, bias_initializer=None)
    model = nn.Model([nn.Input(100), layer], seed=3)
    model.build(100)
    for values, limit in ((layer.kernel.numpy(), np.sqrt(6 / 600)), (layer.bias.numpy(), np.sqrt(6 / 1000))):
        assert 0.98 * limit < np.abs(values).max() <= limit
        assert abs(values.mean()) < 0.1 * limit and abs(values.var() / (limit**2 / 3) - 1) < 0.15
