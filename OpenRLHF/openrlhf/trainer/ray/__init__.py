"""Roles as Ray actors, and their places on a cluster."""
