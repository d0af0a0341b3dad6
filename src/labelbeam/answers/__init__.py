"""Answers: what a trained model says of images, the same for every kind of model; decided and told."""
