"""The daemon: wakes the cycle up on a schedule, and ends it well."""
