"""The databases of a cloud in one encrypted file, and back again."""
