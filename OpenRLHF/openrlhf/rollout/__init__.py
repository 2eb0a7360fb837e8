"""Engines that generate, a pool of them, and how weights reach them. Reached through `engine.RolloutEngine`."""
