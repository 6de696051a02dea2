"""Settings of the bundles: where they are, who must have signed them, and what one has to reach."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings


class BundleSettings(BaseSettings):
    """The part of the server's settings that is about bundles."""

    bundles: Path = Field(description="Folder of bundles; the file CURRENT in it names the one to serve.")
    bundle_keys: Path | None = Field(
        default=None,
        description="File of the publishers' public keys: only bundles that one of them signed are served. "
        "Needed unless allow_unsigned.",
    )
    allow_unsigned: bool = Field(
        default=False,
        description="Whether to serve bundles without asking who made them: whoever can write into the "
        "folder of bundles then decides what is answered.",
    )
    bundle_state: Path | None = Field(
        default=None,
        description="Folder that keeps changes of bundles over a restart: which one serves, rolled back or "
        "pinned. Default: none; a start serves what CURRENT names.",
    )
    bundle_recall_min: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.95,
        description="Share of the best products of its golden requests that searches must find in a bundle "
        "that is to take the place of the one that serves.",
    )
    bundle_quality_drop_max: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.05,
        description="Share by which its figures of quality may be below those of the bundle that serves.",
    )
    bundle_products_lost_max: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.2,
        description="Share of the products of the bundle that serves that it may lack.",
    )
    bundle_poll_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=1.0,
        description="Seconds between two looks at CURRENT: what it names is opened beside the bundle that "
        "serves, and takes its place if it may; 0 for the bundle of the start only.",
    )
