"""What params.yaml says of downloading: `download`."""

from typing import Annotated

from pydantic import Field

from stages.common.settings import Positive, PositiveFloat, Settings


class DownloadSettings(Settings):
    """How images are requested."""

    concurrency: Annotated[int, Field(ge=1, le=1024)]
    per_host: Annotated[int, Field(ge=1, le=1024)]
    connect_timeout_s: PositiveFloat
    read_timeout_s: PositiveFloat
    retries: Annotated[int, Field(ge=0, le=20)]
    backoff_s: PositiveFloat
    max_bytes: Annotated[int, Field(ge=1, lt=2**31)]  # memory that is asked for to read a file
    max_failed: Annotated[float, Field(ge=0, le=1)]
    retry_failed: bool
    shard_rows: Positive
