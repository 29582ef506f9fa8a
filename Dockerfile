# A static binary and nothing else. `docker build .` is for people and clusters; `--target ci` adds the shell that GitLab needs.
ARG RUST=1.95
ARG ALPINE=3.22

FROM rust:${RUST}-alpine${ALPINE} AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --profile dist --locked --bin roadworthy \
    && cp target/dist/roadworthy /roadworthy

FROM alpine:${ALPINE} AS ci
COPY --from=build /roadworthy /usr/local/bin/roadworthy
RUN adduser -D -u 65532 roadworthy
USER 65532:65532
WORKDIR /work
CMD ["roadworthy", "--help"]

# It brings the certificates of authorities, a user without rights, and no shell.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /roadworthy /usr/local/bin/roadworthy
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/usr/local/bin/roadworthy"]
CMD ["--help"]
