"""The state of the system at a glance: bounded statistics, and the series of the charts."""
