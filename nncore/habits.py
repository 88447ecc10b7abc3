"""Arguments and names of Keras that have none here: when arguments ask for nothing, and what to do instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nncore.dtypes import floatx


@dataclass(frozen=True)
class Habit:
    """An argument that users of Keras bring along.

    Parameters
    ----------
    remedy : str
        What to do about it here.
    harmless : tuple
        Values that ask for nothing, beside None: what they ask for is so in any case.
    types : tuple of type
        All values of these types ask for nothing.
    """

    remedy: str
    harmless: tuple[Any, ...] = ()
    types: tuple[type, ...] = ()

    def asks_nothing(self, value: Any) -> bool:
        """Whether the argument may be left out without a word."""
        if value is None or isinstance(value, self.types):
            return True
        return any(type(value) is type(known) and value == known for known in self.harmless)


class OfDtype(Habit):
    """A dtype, under any of the forms that Keras has for it: a name, one of NumPy, a policy or its configuration."""

    def asks_nothing(self, value: Any) -> bool:
        """See `Habit`."""
        if isinstance(value, dict):
            config = value.get("config", value)
            value = config.get("name", config) if isinstance(config, dict) else config
        name = value.__name__ if isinstance(value, type) else getattr(value, "name", value)
        return super().asks_nothing(name) or name == floatx()


INPUT = "Let nncore.Input(shape) come first in the model."
DTYPE = "A model has one dtype: Model(…, dtype=…), or that of nncore.backend.set_floatx."
GENERATOR = "Batches are taken in the thread that trains."
FORMAT = "What is written is safetensors."

#: Layers that make whole numbers, or columns of them, and the dtypes that Keras has for either.
NUMBERING = "StringLookup", "IntegerLookup", "Hashing", "HashedCrossing", "Discretization", "CategoryEncoding"
WHOLE = "float32", "int32", "int64"

#: By name, or by "owner.name" where the same name means different things.
HABITS = {
    "lr": Habit("The optimizers call it learning_rate."),
    "input_shape": Habit(INPUT),
    "input_dim": Habit(INPUT),
    "batch_input_shape": Habit(INPUT),
    # clone_model
    "input_tensors": Habit("Call the clone: clone_model(model)(symbol)."),
    "call_function": Habit("Call the layers one by one, then Model(inputs, outputs)."),
    "recursive": Habit("Layers within models are cloned, too, in any case.", (True, False)),
    # layers
    "dtype": OfDtype(DTYPE, ("float32",)),
    **{f"{name}.dtype": OfDtype(DTYPE, WHOLE) for name in NUMBERING},
    "activity_regularizer": Habit("Put an ActivityRegularization layer behind it."),
    "lora_rank": Habit("Set trainable=False where weights should stay."),
    "lora_alpha": Habit("Set trainable=False where weights should stay."),
    "quantization_config": Habit("For products of lower precision call compile(…, matmul_precision=…)."),
    "gptq_unpacked_column_size": Habit("No weights are packed: leave it out."),
    "input_length": Habit("Sequences are as long as the input says.", types=(int,)),
    "seed": Habit("Every random choice derives from the model's: Model(…, seed=…)."),
    "synchronized": Habit("A batch is one, whatever the number of threads.", (False,)),
    "renorm": Habit("Statistics are those of the batch.", (False,)),
    "renorm_clipping": Habit("Statistics are those of the batch."),
    "renorm_momentum": Habit("Statistics are those of the batch.", types=(float,)),
    "rms_scaling": Habit("It is a layer of its own, RMSNormalization.", (False,)),
    "autocast": Habit(DTYPE, types=(bool,)),
    "data_format": Habit("Axes keep their order.", ("channels_last",)),
    "trainable": Habit("It learns nothing.", types=(bool,)),
    "bounding_box_format": Habit("Boxes are not moved."),
    "LeakyReLU.alpha": Habit("It is called negative_slope."),
    # optimizers, losses, metrics
    "decay": Habit("Set optimizer.learning_rate in a callback, such as on_epoch_begin.", (0, 0.0)),
    "axis": Habit("Classes are along the last axis.", (-1,)),
    "name": Habit("It has none.", types=(str,)),
    # compile
    "run_eagerly": Habit("Python is called at each step in any case: give True or False.", (True, False)),
    "jit_compile": Habit("Steps are native code in any case.", (True, False, "auto")),
    "steps_per_execution": Habit("Epochs are native code in any case.", ("auto",), (int,)),
    "auto_scale_loss": Habit("There is no scaling of losses.", types=(bool,)),
    # fit, evaluate, predict
    "nb_epoch": Habit("It is called epochs."),
    "workers": Habit(GENERATOR, types=(int,)),
    "use_multiprocessing": Habit(GENERATOR, types=(bool,)),
    "max_queue_size": Habit(GENERATOR, types=(int,)),
    "period": Habit("It is called save_freq, an epoch or a number of batches."),
    # files
    "include_optimizer": Habit("For weights without the optimizer call save_weights.", (True,)),
    "save_format": Habit(FORMAT),
    "zipped": Habit(FORMAT, (False,)),
    "max_shard_size": Habit(FORMAT + " All of it is in one file."),
    "safe_mode": Habit("Loading runs nothing of the file in any case.", types=(bool,)),
    "skip_mismatch": Habit("The file must fit; for a part of it call layer.set_weights.", (False,)),
    "by_name": Habit("Weights are found by the layers' names in any case.", (True, False)),
    # summary
    "line_length": Habit("Lines are as long as they must be.", types=(int,)),
    "positions": Habit("Columns are as wide as they must be."),
    "layer_range": Habit("See model.layers."),
    # plot_model
    "show_shapes": Habit("Shapes are shown in any case.", (True, False)),
    "show_layer_names": Habit("Names are shown in any case.", (True, False)),
    "show_dtype": Habit("A model has one dtype: model.dtype.", (False,)),
    "show_layer_activations": Habit("Activations are not shown.", (False,)),
    "show_trainable": Habit("See model.summary(show_trainable=True).", (False,)),
    "expand_nested": Habit("Draw each model within by itself.", (False,)),
    "rankdir": Habit("Layers stand below what they read.", ("TB",)),
    # Input
    "Input.input_shape": Habit("Give it first: Input((28, 28, 1))."),
    "Input.sparse": Habit("Sparse matrices may be given in any case.", types=(bool,)),
    "sparse": Habit("Columns are made as dense arrays.", (False,)),
    "ragged": Habit("Give rows of one length.", (False,)),
    "optional": Habit("The input is needed.", (False,)),
    "tensor": Habit("Give arrays to fit and predict."),
}

DATASET = "Nothing is downloaded: read the arrays by NumPy, or take scikit-learn's fetch_openml."
EXPRESSION = (
    "Symbols take + - * / ** and slices, and so do the functions of nncore.activations; "
    "anything else is a layer, such as Concatenate, Reshape and Dot, or a layer of your own, of NumPy arrays: "
    "see nncore.Layer."
)

#: Methods and attributes of arrays, and what does their work on symbols.
OF_ARRAYS = {
    **dict.fromkeys(("reshape", "ravel"), "Call Reshape or Flatten."),
    "flatten": "Call Flatten.",
    **dict.fromkeys(("T", "transpose", "swapaxes"), "Call Permute."),
    **dict.fromkeys(("mean", "max"), "GlobalAveragePooling1D and GlobalMaxPooling1D are over steps."),
    **dict.fromkeys(("sum", "min", "std", "var", "prod", "argmax", "clip", "cumsum"), EXPRESSION),
    "dot": "Dense multiplies by weights, Dot by another symbol.",
    "astype": "A model has one dtype: Model(…, dtype=…).",
    **dict.fromkeys(("numpy", "tolist", "item", "copy"), "It has no values: call model.predict."),
    **dict.fromkeys(("ndim", "size"), "Its axes are those of symbol.shape, of which the first is the batch's, None."),
}
STEPS = "Steps are native code; callbacks see each, and train_on_batch(x, grad=…) takes the gradient of any loss."
BATCHES = "fit, evaluate and predict take batches, too."
OBJECTS = "Each module has its own, such as nncore.layers.serialize and nncore.layers.deserialize."
PICTURES = "Pillow reads and writes pictures: numpy.asarray(PIL.Image.open(path))."
IMAGES = "Give images as an array (n, height, width, channels); layers such as RandomFlip augment them."
VOLUMES = "There are no layers for volumes."
RECURRENT = "There are no recurrent layers: Conv1D reads series."

#: Names in Keras's modules, and of methods of its models, and what does their work here.
NAMES = {
    # layers
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "LSTMCell", "GRUCell", "SimpleRNNCell"), RECURRENT),
    **dict.fromkeys(("Bidirectional", "ConvLSTM1D", "ConvLSTM2D"), RECURRENT),
    **dict.fromkeys(("MultiHeadAttention", "Attention", "AdditiveAttention"), "There is no attention."),
    **dict.fromkeys(("Conv3D", "Conv3DTranspose", "MaxPooling3D", "AveragePooling3D"), VOLUMES),
    "Lambda": EXPRESSION,
    "TextVectorization": "Make numbers of texts first, for example by scikit-learn's CountVectorizer.",
    # modules
    "applications": "There are no trained networks.",
    "mixed_precision": "For products of lower precision call compile(…, matmul_precision=…).",
    "ops": EXPRESSION,
    "preprocessing": IMAGES + " nncore.utils.pad_sequences fills sequences up to one length.",
    "legacy": "There is one form of each optimizer.",
    "random": "Draw by numpy.random.default_rng.",
    "wrappers": "nncore.sklearn has estimators.",
    "GradientTape": "model.gradients gives gradients, train_on_batch(x, grad=…) takes them.",
    "Variable": "A layer of your own has weights by add_weight: see nncore.Layer.",
    # data sets
    **dict.fromkeys(("mnist", "fashion_mnist", "cifar10", "cifar100", "imdb", "reuters"), DATASET),
    **dict.fromkeys(("california_housing", "boston_housing"), DATASET),
    # utils, backend
    "FeatureSpace": "Give each column an Input and a layer, or take nncore.sklearn.TabularClassifier.",
    "get_file": "Nothing is downloaded here; urllib.request.urlretrieve does it.",
    "image_dataset_from_directory": IMAGES,
    "model_to_dot": "Call model.plot().",
    "split_dataset": "Slice arrays, or call fit(…, validation_split=…).",
    "timeseries_dataset_from_array": "nncore.data.windows makes windows of a series.",
    **dict.fromkeys(("set_value", "get_value"), "Assign: model.optimizer.learning_rate = 0.01."),
    "set_epsilon": "It is fixed.",
    "set_image_data_format": "Channels stand last; layers take data_format.",
    **dict.fromkeys(("load_img", "save_img", "img_to_array", "array_to_img"), PICTURES),
    **dict.fromkeys(("text_dataset_from_directory", "audio_dataset_from_directory"), "fit takes batches of arrays."),
    **dict.fromkeys(("enable_interactive_logging", "disable_interactive_logging"), "Give verbose=0, 1 or 2 to fit."),
    "Progbar": "tqdm shows one.",
    **dict.fromkeys(("serialize_keras_object", "deserialize_keras_object"), OBJECTS),
    "LossScaleOptimizer": "Gradients are float32, which need no scaling.",
    "OrbaxCheckpoint": "It is ModelCheckpoint, or BackupAndRestore.",
    "Functional": "It is Model(inputs, outputs).",
    "dtype_policies": "A model has one dtype: Model(…, dtype=…).",
    "config": "Its floatx and set_floatx are those of nncore.backend.",
    # methods
    "add_loss": "Give losses to compile, penalties to layers (ActivityRegularization); train_on_batch(x, grad=…) takes "
    "the gradient of any loss.",
    "add_metric": "Give metrics to compile.",
    **dict.fromkeys(("train_step", "test_step", "predict_step", "make_train_function", "make_test_function"), STEPS),
    **dict.fromkeys(("compute_loss", "compute_metrics"), "evaluate and test_on_batch give loss and metrics."),
    **dict.fromkeys(("fit_generator", "evaluate_generator", "predict_generator"), BATCHES),
    "predict_classes": "It is model.predict(x).argmax(axis=-1).",
    "predict_proba": "It is model.predict(x).",
    "export": "model.save writes safetensors, whose arrays many libraries read.",
    "quantize": "For products of lower precision call compile(…, matmul_precision=…).",
    "to_yaml": "It is model.to_json().",
    "stateless_call": "It is model(x).",
}
