"""The daemon: runs a cycle on a schedule, and ends it cleanly."""
