"""Image encoders: pixels to features, and what their weights files say they need."""
