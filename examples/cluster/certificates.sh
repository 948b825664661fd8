#!/usr/bin/env bash
# Keys for a Dask cluster: whoever has them may run any code on its machines, and nobody else.
#   certificates.sh FOLDER [PLACE]   PLACE: where the folder will lie on each machine, if elsewhere
# Copy the folder to each machine, but for ca.key, and there: export DASK_CONFIG=PLACE/dask.yaml
set -euo pipefail
folder="${1:?usage: certificates.sh FOLDER [PLACE]}"
umask 077
mkdir -p "$folder"
cd "$folder"
place="${2:-$PWD}"
curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${curve[@]}" -days 365 -subj "/CN=fsmd authority" -keyout ca.key -out ca.pem
openssl req "${curve[@]}" -subj "/CN=fsmd cluster" -keyout cluster.key -out cluster.csr
openssl x509 -req -in cluster.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
    -out cluster.pem
rm -f cluster.csr ca.srl
cat >dask.yaml <<END
distributed:
  comm:
    default-scheme: tls
    require-encryption: true
    tls:
      ca-file: $place/ca.pem
      scheduler: {cert: $place/cluster.pem, key: $place/cluster.key}
      worker: {cert: $place/cluster.pem, key: $place/cluster.key}
      client: {cert: $place/cluster.pem, key: $place/cluster.key}
END
