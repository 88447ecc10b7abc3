"""A data frame with columns of text: encoded by scikit-learn, learned by a network, beside a linear regression.

Needs pandas and scikit-learn, which brings the data: the course of diabetes in 442 patients. (On so few rows the linear
regression is as good; the example shows how, not that, one takes a network.)
Run: .venv/bin/pip install pandas scikit-learn && .venv/bin/python -P examples/table_with_text.py
"""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nncore as nn

table, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
table["sex"] = np.where(table["sex"] == 1, "one", "two")  # the data do not say which is which
table["age"] = pd.cut(table["age"], [0, 35, 50, 65, 120], labels=["young", "middle", "older", "old"])
table["bp"] = table["bp"].round().astype("Int64")
print(table.dtypes.to_string())

train, test, y_train, y_test = train_test_split(table, y, random_state=0)
encode = make_column_transformer((OneHotEncoder(), ["sex", "age"]), remainder=StandardScaler())
x_train, x_test = encode.fit_transform(train), encode.transform(test)

model = nn.Model(
    [
        nn.Dense(64, activation="relu", kernel_regularizer="l2"),
        nn.Dropout(0.2),
        nn.Dense(1),
        nn.Rescaling(y_train.std(), y_train.mean()),  # so that the layers before it work with numbers around 0
    ],
    seed=0,
)
model.compile(nn.Adam(0.003), "mse", metrics=["mae"])
try:
    model.fit(train, y_train, verbose=0)
except TypeError as error:
    print(error)  # which columns are text, and what to do
model.fit(x_train, y_train, epochs=60, verbose=0)

mae = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["mae"]
linear = np.abs(LinearRegression().fit(x_train, y_train).predict(x_test) - y_test).mean()
constant = np.abs(y_train.mean() - y_test).mean()
print(f"mean absolute error: {mae:.1f} (linear regression {linear:.1f}, always the mean {constant:.1f})")
assert mae < 1.1 * linear < constant
