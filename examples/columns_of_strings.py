"""A table with columns of strings and numbers, of which few rows count: looked up, embedded and weighted by the model.

Claims of an insurance, invented: one in thirty is a fraud, which depends on the city, on the kind of claim, and on what
is usual for both. The model reads the table as it is, as a dict of columns; a data frame would do as well. What it
learned of the columns (which cities there are, how large amounts are) is part of it, and of its file.
Needs nothing but nncore. Run: .venv/bin/python -P examples/columns_of_strings.py
"""

import numpy as np

import nncore as nn

rng = np.random.default_rng(0)
n = 12_000
cities = np.array([f"city {i:02}" for i in range(40)])
kinds = np.array(["fire", "theft", "water", "glass", "storm"])
place, kind = rng.choice(40, n, p=rng.dirichlet(np.ones(40) * 3)), rng.integers(0, 5, n)
habit = rng.normal(0, 1.2, 40)[place] + rng.normal(0, 1.0, (40, 5))[place, kind]
amount, age = rng.lognormal(7, 1, n), rng.integers(18, 90, n)
risk = -4.3 + habit + 0.8 * (np.log(amount) - 7) - 0.9 * ((age > 30) & (age < 60))
table = {"city": cities[place], "kind": kinds[kind], "amount": np.log(amount), "age": age}
fraud = rng.random(n) < 1 / (1 + np.exp(-risk))
train = {name: column[:9000] for name, column in table.items()}
test = {name: column[9000:] for name, column in table.items()}
print(f"{n} claims, {fraud.mean():.1%} of them frauds")

city, claim = nn.Input((1,), name="city", dtype="string"), nn.Input((1,), name="kind", dtype="string")
size, years = nn.Input((1,), name="amount"), nn.Input((1,), name="age")

lookup, usual, decades = nn.StringLookup(), nn.Normalization(), nn.Discretization(num_bins=8, output_mode="one_hot")
lookup.adapt(train["city"])
usual.adapt(train["amount"][:, None])
decades.adapt(train["age"])
which = nn.StringLookup(vocabulary=kinds, output_mode="one_hot")
pair = nn.HashedCrossing(512)
print(f"{lookup.vocabulary_size()} numbers of cities, such as {lookup.get_vocabulary()[:3]}; ages cut at "
      f"{[round(b) for b in decades.bin_boundaries]}")  # fmt: skip

columns = [
    nn.Flatten()(nn.Embedding(lookup.vocabulary_size(), 4)(lookup(city))),
    nn.Flatten()(nn.Embedding(512, 2)(pair([city, claim]))),
    which(claim),
    usual(size),
    decades(years),
]
hidden = nn.Dense(16, activation="relu", kernel_regularizer=nn.regularizers.L2(1e-3))(nn.layers.Concatenate()(columns))
model = nn.Model([city, claim, size, years], nn.Dense(1, activation="sigmoid")(hidden), seed=0)

model.compile(nn.Adam(0.003), "binary_crossentropy", metrics=["accuracy"])
stop = nn.callbacks.EarlyStopping("val_loss", patience=4, restore_best_weights=True)
model.fit(train, fraud[:9000], epochs=40, class_weight="balanced", validation_split=0.2, callbacks=[stop], verbose=0)

p, held_out = model.predict(test)[:, 0], fraud[9000:]
area, first = nn.metrics.AUC()(held_out, p), np.argsort(-p)[:300]
print(
    f"held out: area under the ROC curve {area:.2f}; of the 300 most suspicious {held_out[first].mean():.0%} are frauds"
)

model.save("claims.safetensors")
again = nn.load_model("claims.safetensors")
new = {"city": ["city 07", "a city that is new"], "kind": ["fire", "glass"], "amount": [7.5, 7.5], "age": [41, 41]}
print(f"two new claims: {np.round(again.predict(new)[:, 0], 2)}")
try:
    again.predict(new | {"city": ["city 07", None]})
except ValueError as error:
    print(error)
assert np.array_equal(again.predict(test)[:, 0], p)
assert area > 0.75 and held_out[first].mean() > 3 * held_out.mean()
