"""The organisation's objects: one module each, with the object in `OBJECT`. A new module is found by itself."""
