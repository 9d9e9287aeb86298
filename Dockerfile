# Meshlog with its embedding model: `docker build -t meshlog .`, then `docker run -p 127.0.0.1:7700:7700 -v data:/data meshlog`.
# docker-compose.yml runs the roles from it.

FROM rust:1.95.0-bookworm AS build
# The image has this toolchain; rust-toolchain.toml would have parts fetched that a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked && install -D target/release/meshlog /out/meshlog

FROM python:3.13-slim-bookworm AS model
WORKDIR /build
COPY scripts/fetch-model.sh scripts/
RUN scripts/fetch-model.sh /out/all-MiniLM-L6-v2

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin meshlog && install -d -o meshlog -g meshlog /data
COPY --from=model /out /models
COPY --from=build /out/meshlog /usr/local/bin/meshlog
ENV MESHLOG_DATA=/data MESHLOG_MODEL=/models/all-MiniLM-L6-v2 MESHLOG_LISTEN=0.0.0.0:7700
USER meshlog
VOLUME /data
EXPOSE 7700
# Ready is what the server itself says it is.
HEALTHCHECK --interval=10s --timeout=5s --start-period=2m CMD ["curl", "--fail", "--silent", "http://127.0.0.1:7700/readyz"]
ENTRYPOINT ["meshlog"]
CMD ["up"]
