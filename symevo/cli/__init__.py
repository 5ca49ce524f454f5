"""The ``symevo`` command. Light to import, so that a signal seldom comes before someone listens."""

try:
    from symevo.cli.main import entry, main
except KeyboardInterrupt:  # nothing has begun
    raise SystemExit(130) from None

__all__ = ["entry", "main"]
