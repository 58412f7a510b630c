"""How well a camera is found: extractors, attackers, identification, scores. No files here."""
