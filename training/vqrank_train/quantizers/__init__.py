"""Quantizers of item vectors: fitting them, and what their codes are worth."""
