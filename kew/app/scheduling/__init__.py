"""Schedules: what is declared, when their ticks are due, and submitting these."""
