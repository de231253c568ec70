"""Simulators of the services alerts go to: Slack, a mail server, Sentry. One process, real protocols, loopback only."""
