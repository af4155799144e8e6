"""The embedded model server: TensorFlow Serving's protocol over SavedModels, in one Python process."""
