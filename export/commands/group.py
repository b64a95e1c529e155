"""How every command ends: errors in one sentence, and Ctrl-C in one line."""

from __future__ import annotations

import errno

import click

from export.exit_codes import INTERRUPTED, INTERRUPTED_LINE
from serving_config.errors import InvalidReplyError, ServingError

# What the transports say where nobody listens, or another kind of server does.
_ANOTHER_PROTOCOL = "HTTP/2"
_NO_SUCH_MODEL = "Servable not found for request"
_NO_MODEL_SERVER = ("connect", "resolving", "illegal request line", "HTTP")


class Commands(click.Group):
    """Shows errors as one sentence and no traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the chosen command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, ImportError):
            # They know how to show themselves; what is not installed is said by the entry point.
            raise
        except (KeyboardInterrupt, click.Abort) as error:
            click.echo(INTERRUPTED_LINE, err=True)
            raise click.exceptions.Exit(INTERRUPTED) from error
        except Exception as error:
            # A reader that went away, such as `head`, is ended quietly by click.
            if ctx.params.get("debug") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            raise click.ClickException(sentence_of(error)) from error


def import_tensorflow() -> None:
    """Imports TensorFlow for the running command, quietly unless `--debug` was given."""
    if not click.get_current_context().find_root().params.get("debug"):
        from serving_config.quiet import import_tensorflow

        import_tensorflow()


def sentence_of(error: Exception) -> str:
    """What users read of an error: its own sentence, if it was raised for them.

    >>> sentence_of(FileNotFoundError(2, "No such file or directory", "maps.npz"))
    'maps.npz: No such file or directory; --debug shows where it was needed'
    >>> sentence_of(KeyError("model"))
    "unexpected KeyError: 'model'; --debug, before the command, shows where it comes from"
    """
    if isinstance(error, ServingError):
        return f"{error}{_hint(error)}"
    if type(error).__module__.partition(".")[0] in ("export", "signatures", "serving_config"):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror}; --debug shows where it was needed"
    said = " ".join(str(error).split()) or "no reason given"
    return (
        f"unexpected {type(error).__name__}: {said[:400]}; --debug, before the command, shows "
        "where it comes from"
    )


def _hint(error: ServingError) -> str:
    """What to try where the server is not the one that was meant."""
    if _ANOTHER_PROTOCOL in error.server_text:
        return (
            "; is that a model server's port for gRPC, usually 8500? start one with: "
            "peakserve serve"
        )
    if error.code == "NOT_FOUND" and _NO_SUCH_MODEL in error.server_text:
        return "; is --model what the server hosts?"
    if _is_about_the_address(error):
        return "; is a model server at that address? start one with: peakserve serve"
    return ""


def _is_about_the_address(error: ServingError) -> bool:
    """Whether there may be no model server where one was asked for its status."""
    if isinstance(error, InvalidReplyError):
        return not error.signature
    return error.code == "UNAVAILABLE" and any(
        word in error.server_text for word in _NO_MODEL_SERVER
    )
