"""The loops, the roles on their ranks, their places. No method is known by name, only through `methods.base`."""
