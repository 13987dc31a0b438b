"""Media: what comes from one participant goes to the others, as it came and without being decoded."""
