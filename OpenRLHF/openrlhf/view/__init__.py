"""What a run or a model does, for people: token pictures and reports. Read by the commands."""
