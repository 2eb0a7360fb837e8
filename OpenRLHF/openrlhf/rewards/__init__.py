"""Rewards for responses: functions, the built-in grader, servers, reward models, behind `functions.Rewards`."""
