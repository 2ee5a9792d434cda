"""Notices as e-mail: the words (templates, languages), the bytes (MIME), and their delivery."""
