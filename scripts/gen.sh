#!/bin/sh
# Regenerates gen/ from proto/. google/api and google/rpc come from the
# @grpc/grpc-js-xds package, which ships them under the Apache licence.
set -eu
cd "$(dirname "$0")/.."
from=node_modules/@grpc/grpc-js-xds/deps/googleapis/google
mkdir -p proto/google/api proto/google/rpc
cp "$from/api/annotations.proto" "$from/api/http.proto" proto/google/api/
cp "$from/rpc/status.proto" "$from/rpc/error_details.proto" proto/google/rpc/
PATH="$PWD/node_modules/.bin:$PATH"
export PATH
buf generate
buf build proto -o gen/descriptors.binpb
node --import tsx scripts/openapi.mjs
