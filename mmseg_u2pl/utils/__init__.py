"""Small helpers that several rooms use."""
