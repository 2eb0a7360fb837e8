"""Rewards for responses: functions, the built-in grader, servers, reward models. Reached through `functions.Rewards`."""
