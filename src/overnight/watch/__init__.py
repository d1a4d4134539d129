"""The dashboard at the terminal: the same looks and the same acts as the pages', drawn with Textual.

Only `overnight watch` imports it, and it alone imports Textual.
"""
