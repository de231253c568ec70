"""The warehouse's migrations: one file a step in `versions`, none ever changed once it was released."""
