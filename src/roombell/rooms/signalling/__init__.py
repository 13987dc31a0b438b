"""Signalling: how LiveKit's clients join, and what they are told."""
