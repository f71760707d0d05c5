"""Keeps every user's segments right, second by second."""
