"""The ``symevo`` command. Kept light so that signal handlers are installed early."""

try:
    from symevo.cli.main import entry, main
except KeyboardInterrupt:  # nothing has begun
    raise SystemExit(130) from None

__all__ = ["entry", "main"]
