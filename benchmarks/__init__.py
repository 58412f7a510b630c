"""Speed, memory and quality, measured: README.md says what each module answers."""
