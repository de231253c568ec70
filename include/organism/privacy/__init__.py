"""What protects people: minimum groups, pseudonyms, opting out, leave, export and erasure (docs/privacy.md)."""
