"""The pure middle: events, features, conditions, decisions. No I/O, no clock, no async, no logging."""
