"""What a person reads: one self-contained HTML page for a report or a comparison. Imports the rooms before it."""
