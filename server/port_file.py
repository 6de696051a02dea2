"""Tells other programs the bound port: a file that is there once the server is ready."""

from server.config import Settings
from server.errors import SettingsError


def write_port(settings: Settings, port: int | None) -> None:
    """Writes the port file; an older one is removed first, so that nobody reads the port of another run."""
    if settings.port_file is None:
        return
    if settings.port_file.exists() and not settings.port_file.is_file():
        raise SettingsError(f"port_file: {settings.port_file} is there and no plain file; it is left alone")
    try:
        settings.port_file.unlink(missing_ok=True)
        if port is not None:
            settings.port_file.write_text(f"{port}\n", encoding="ascii")
    except OSError as error:
        raise SettingsError(f"port_file: {settings.port_file} cannot be written: {error.strerror}") from error
