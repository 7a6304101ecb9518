"""Views: rows made of what the hub says, as text and as HTML.

Owns how things look. Never asks anyone anything. Read next: `viewmodel.py`, `views.py`.
"""
