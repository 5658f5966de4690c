"""Commands that train, score and convert models, and build the data they are trained on."""
