"""The one text analyser: strings to grains, grains to ids, in core TensorFlow ops."""
