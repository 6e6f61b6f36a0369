"""What a deployment does under load: its throughput and latency, where the time goes, and which knob to turn."""
