"""A run on labelled images, on one page: numbers, charts and words of each part together."""
