"""Models that are not on this machine: object stores, web servers, the Hub by ranges, anything of fsspec."""
