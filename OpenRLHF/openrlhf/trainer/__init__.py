"""The loops, the roles on their ranks and where they are placed. Knows no method: those are asked through `methods.base`."""
