"""The frame, the design and the charts that every page shares. Knows no run and no data set."""
