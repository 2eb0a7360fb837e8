"""Batch inference and conversations. Only commands come here."""
