"""``make monitor``: a server, Prometheus and some load on this machine, and what every rule and panel finds."""
