"""The watchdog: measures what should stay within limits, and warns once an episode."""
