"""Records from files and hubs, and what is made of them: prompts, texts, preferences, steps."""
