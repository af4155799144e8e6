# %% [markdown]
# # From a data folder to a model that is searched
#
# `make demo`, or `python -m preprocessing.pipeline` on logs of your own, leaves a data folder: requests and the
# catalogue as TFRecords, and the vocabularies that give their ids a meaning. This page trains a model on it by Keras
# `fit`, and asks it a query in words. `python -m trainer.task` makes the same steps, and adds checkpoints, validation
# and many devices.

# %%
# The project's own come first: they set up TensorFlow's environment.
from preprocessing.command.experiment import load_section
from preprocessing.data.spec import read_spec
from trainer.config import TrainerConfig
from trainer.data.dataset import catalog
from trainer.data.training_data import TrainingData
from trainer.evaluation.encode_requests import encode_queries
from trainer.job.restore import TrainedTowers
from trainer.models.build import build_model
from trainer.training.loop import steps_of
from trainer.training.optimizers import build_optimizer
from trainer.training.validation import Validation

import tensorflow as tf
import tensorflow_recommenders as tfrs

DATA = "out/data"
CONFIG = "configs/mgdspr.yaml"

# %% [markdown]
# The spec says which features the records hold and how large the vocabularies are. The config names a model, its parts
# and its loss; any key of it can be set here, as by `--set` on the command line.

# %%
spec = read_spec(DATA)
config = load_section(CONFIG, "trainer", TrainerConfig, ["trainer.training.epochs=2", "trainer.data.batch=128"])
print(f"{spec['examples']['train']:,} requests to train on, {spec['items']:,} items")

# %% [markdown]
# A model is a query tower, an item tower and an objective: Keras layers inside a `tfrs.Model`. Each tower says which
# features it reads, so that nothing else is parsed. A batch holds requests, and beside them items of the whole
# catalogue, which are the shared negatives of the step.

# %%
tf.keras.utils.set_random_seed(config.seed)
model = build_model(config, spec)
data = TrainingData(DATA, config, model.request_columns, model.item_columns)

# %% [markdown]
# Embedding tables learn by Adagrad, everything else by Adam. The stream of batches has no end, so `fit` is told how
# many steps there are.

# %%
steps = steps_of(config, data.requests)
model.compile(build_optimizer(model, config.optimizer, steps))
model.fit(data.batches(), steps_per_epoch=steps, verbose=2)

# %% [markdown]
# Recall over the whole catalogue, of requests that came after those of the training.

# %%
print(f"recall@{config.validation.k}: {Validation(model, DATA, config.validation).recall():.3f}")

# %% [markdown]
# The score of a query and an item is the inner product of their vectors, so any index of inner products serves. This
# one is TFRS's exact search; `tfrs.layers.factorized_top_k.ScaNN` takes its place for millions of items.

# %%
towers = TrainedTowers(model)
batches = list(catalog(DATA, batch=4096))
titles = tf.concat([items["title"] for items in batches], axis=0)
vectors = tf.concat([towers.item(items) for items in batches], axis=0)
index = tfrs.layers.factorized_top_k.BruteForce(k=5).index(vectors, identifiers=titles)

# %% [markdown]
# A query in words, from somebody without a past. The analyser and the vocabularies are those that made the records.

# %%
query = "red sofa"
scores, found = index(encode_queries(towers, DATA, [query]))
print(f"{query}:")
for score, title in zip(scores[0].numpy(), found[0].numpy(), strict=True):
    print(f"  {score:6.2f}  {title.decode()}")
