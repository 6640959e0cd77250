"""Operations: one module each, same order everywhere (see engine/operation.py)."""
