"""Growth: what a delivery costs when there are a million of them, and while they are pruned."""
