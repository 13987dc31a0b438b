"""LiveKit webhooks that are never lost."""
