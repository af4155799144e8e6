"""The embedded model server: TensorFlow Serving's protocol over SavedModels, in one Python process."""

import os

# Seen with TF 2.20: two batches of differing sizes run at a time through oneDNN's matrix products corrupt the heap
# ("corrupted size vs. prev_size", then an abort). Without them the same load runs, and no slower at these sizes.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
