"""/healthz, /readyz and /metrics, on loopback."""
