"""Notices as e-mail: the text (templates, languages), the bytes (MIME), and their delivery."""
