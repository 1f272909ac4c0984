"""Send sample webhooks and load to a receiver."""
